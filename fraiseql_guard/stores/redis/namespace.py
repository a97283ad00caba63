"""The names of our keys on Redis. All begin with one namespace, so that apps can share a server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fraiseql_guard.core.context import Subject

NAMESPACE: Final = "fg"
"""The namespace where none is chosen."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """What all keys of a deployment begin with, before a colon: ``fg:*`` matches them all, and no other keys."""

    name: str = NAMESPACE

    def common(self, name: str) -> str:
        """A key that belongs to no subject. Its name is its hash tag: all keys that begin like it are on one node."""
        return f"{self.name}:{{{name}}}"

    def of(self, subject: Subject) -> str:
        """What all keys of a subject begin with."""
        return f"{self.name}:{{{subject.tag}}}:"

    def sanctions_of(self, subject: Subject) -> str:
        """Where a subject's sanctions are."""
        return f"{self.of(subject)}s{subject.member}"

    def override_of(self, subject: Subject) -> str:
        """Where the override of a subject's limits is."""
        return f"{self.of(subject)}l{subject.member}"

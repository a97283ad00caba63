"""The names of the guard's keys on Redis. All begin with one namespace, so that apps can share a server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fraiseql_guard.core.callers import Subject

NAMESPACE: Final = "fg"
"""The namespace where none is chosen."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """The beginning of all keys of a deployment, before a colon: ``fg:*`` matches all of them, and no other keys."""

    name: str = NAMESPACE

    def common(self, name: str) -> str:
        """A key that belongs to no subject. Its name is its hash tag: all keys with this beginning are on one node."""
        return f"{self.name}:{{{name}}}"

    def of(self, subject: Subject) -> str:
        """The beginning of all keys of a subject."""
        return f"{self.name}:{{{subject.tag}}}:"

    def sanctions_of(self, subject: Subject) -> str:
        """The key of a subject's sanctions."""
        return f"{self.of(subject)}s{subject.member}"

    def override_of(self, subject: Subject) -> str:
        """The key of the override of a subject's limits."""
        return f"{self.of(subject)}l{subject.member}"

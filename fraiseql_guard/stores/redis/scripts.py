"""Lua scripts by the name that Redis knows them by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha1
from importlib.resources import files
from typing import Final

from fraiseql_guard.stores.redis.client.address import Command
from fraiseql_guard.stores.redis.namespace import Namespace


@dataclass(slots=True)  # made with every request: a frozen one takes three times as long to make
class Call:
    """A packed call of a script; ``sha`` is the script's digest, ``key`` where it runs, and
    ``namespace`` what that key begins with.

    ``command`` makes it as a command, for a server that does not know the script any more.
    """

    sha: str
    packed: bytes
    key: str
    command: Callable[[], Command]
    namespace: Namespace


Question = Command | Call
"""What a server can be asked."""


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script: its text, and the digest that EVALSHA names."""

    text: str = field(repr=False)
    sha: str

    @classmethod
    def read(cls, name: str) -> Script:
        """The script ``lua/NAME.lua`` of this package."""
        text = (files("fraiseql_guard.stores.redis") / "lua" / f"{name}.lua").read_text(encoding="utf-8")
        return cls(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


_NAMES: Final = (
    "admit", "impose", "lift", "index", "page", "control", "limit", "fleet", "ring", "documents", "refused", "lift_job",
)  # fmt: skip


def read_scripts() -> dict[str, Script]:
    """All scripts of the store, by name."""
    return {name: Script.read(name) for name in _NAMES}

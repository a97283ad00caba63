"""The requests to a server: commands, and calls of Lua scripts that are packed beforehand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha1

import hiredis

from fraiseql_guard.stores.protocol import StoreError

Command = tuple[str | int | float | bytes, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script: its text, and the digest that EVALSHA names."""

    text: str = field(repr=False)
    sha: str

    @classmethod
    def of(cls, text: str) -> Script:
        """The script with this text; its digest is computed."""
        return cls(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


@dataclass(slots=True)  # made with every request: a frozen one takes three times as long to make
class ScriptCall:
    """A packed call of a script. ``sha`` is the script's digest, ``key`` routes the call to a node, and ``namespace``
    is the beginning of that key.

    ``command`` makes the call as a command, for a server that does not know the script any more.
    """

    sha: str
    packed: bytes
    key: str
    command: Callable[[], Command]
    namespace: str


Question = Command | ScriptCall


def pack(command: Command) -> bytes:
    """The bytes of a command on the wire; StoreError if a part of it cannot be sent."""
    try:
        packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # the stub allows one part alone
    except (TypeError, ValueError, hiredis.HiredisError) as error:  # text that is no UTF-8
        raise StoreError("script", f"unsendable command: {error}", opens_breaker=False) from error
    return packed

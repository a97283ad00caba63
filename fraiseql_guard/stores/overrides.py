"""The control set: what an operator has said and every process keeps in mind, because no single subject's slot can hold
it: blocks of networks, addresses that are allowed, switches for the whole fleet.

It is small and versioned. A process asks twice a second whether the version has changed, and keeps the last set while
the store does not answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from secrets import token_hex
from typing import Final, Protocol

from fraiseql_guard.core import parsing

LONGEST_SECONDS: Final = 365 * 86_400.0
"""Everything that an operator says ends some time; by default after a year."""


class OverrideKind(StrEnum):
    """What an entry says."""

    BLOCK = "block"  # key: an address or a network
    ALLOW = "allow"  # key: an address or a network
    MODE = "mode"  # key: a protection, or ALL; value: enforce or monitor
    SETTING = "setting"  # key: the name of a variable; value: as in the environment
    DOCUMENT = "document"  # key: the SHA-256 of a document's text, in hex: it is refused
    OPERATION = "operation"  # key: an operation's name: it is refused
    APP_DOCUMENT = "app_document"  # key: such a digest; told by workers: to be refused for it is no offence
    COMMAND = "command"  # key: one of COMMANDS; done once by every process that is alive


ALL: Final = "all"
"""Key of a MODE entry that is about every protection. An entry for a single one wins over it."""
GC: Final = "gc"
CLEAR_CACHES: Final = "clear_caches"
COMMANDS: Final = frozenset({GC, CLEAR_CACHES})
"""What every process can be told to do once: collect its garbage; forget remembered documents, tokens and refusals."""
COMMAND_SECONDS: Final = 30.0
"""A command is told for this long: who does not hear of it meanwhile does not do it."""


@dataclass(frozen=True, slots=True)
class Override:
    """One thing that an operator has said. ``expires_in_seconds`` counts from the moment it was read or is written.

    ``id`` tells two commands with the same key apart; :func:`command` makes one.
    """

    kind: OverrideKind
    key: str
    expires_in_seconds: float = LONGEST_SECONDS
    reason: str = ""
    actor: str = ""
    value: str = ""
    id: str = ""


def command(key: str, *, reason: str = "", actor: str = "") -> Override:
    """A command to all processes: one of COMMANDS. Told twice, it is done twice."""
    return Override(OverrideKind.COMMAND, key, COMMAND_SECONDS, reason, actor, id=token_hex(8))


@dataclass(frozen=True, slots=True)
class Overrides:
    """All entries in force at one version. Version 0 is the empty set of a store that was told nothing."""

    version: int = 0
    entries: tuple[Override, ...] = ()

    def of(self, kind: OverrideKind) -> Iterable[Override]:
        """The entries of one kind."""
        return (entry for entry in self.entries if entry.kind is kind)

    def networks(self, kind: OverrideKind) -> Iterator[tuple[parsing.Network, Override]]:
        """The entries of one kind with their keys as networks. One that is none (written by hand) binds no caller, and
        keeps no other from binding."""
        for entry in self.of(kind):
            with suppress(ValueError):
                yield parsing.network(entry.key), entry


class OverrideStore(Protocol):
    """The part of a store that keeps the control set. Every method may raise StoreError."""

    async def read(self, known_version: int) -> Overrides | None:
        """The control set, or None if it still has the known version."""
        ...

    async def put(self, entry: Override) -> None:
        """Bring an entry into force, in place of one of the same kind and key."""
        ...

    async def delete(self, kind: OverrideKind, key: str) -> bool:
        """Take an entry back; False if there was none."""
        ...


class MemoryOverrides:
    """OverrideStore in the memory of a process."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._version = 0
        self._entries: dict[tuple[OverrideKind, str], tuple[Override, float]] = {}

    async def read(self, known_version: int) -> Overrides | None:
        """OverrideStore.read."""
        if known_version == self._version:
            return None
        now = self._clock()
        in_force = (
            replace(entry, expires_in_seconds=until - now) for entry, until in self._entries.values() if until > now
        )
        return Overrides(self._version, tuple(in_force))

    async def put(self, entry: Override) -> None:
        """OverrideStore.put."""
        now = self._clock()
        self._entries = {key: held for key, held in self._entries.items() if held[1] > now}
        self._entries[entry.kind, entry.key] = (entry, now + min(entry.expires_in_seconds, LONGEST_SECONDS))
        self._version += 1

    async def delete(self, kind: OverrideKind, key: str) -> bool:
        """OverrideStore.delete."""
        held = self._entries.pop((kind, key), None)
        self._version += held is not None
        return held is not None and held[1] > self._clock()

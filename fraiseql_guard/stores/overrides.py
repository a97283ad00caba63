"""Overrides: an operator's changes for the whole fleet, such as blocked networks, allowed addresses, modes, settings.

They belong to no single subject, so every process keeps a copy in memory. They are few and versioned: a process asks
twice a second whether the version has changed, and keeps its last copy while the store does not answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from secrets import token_hex
from typing import Final, Protocol

from fraiseql_guard.core import parsing
from fraiseql_guard.stores.recent_sanctions import MemoryRecentSanctions, RecentSanction

LONGEST_SECONDS: Final = 365 * 86_400.0
"""The longest that an override holds, and how long it holds by default."""


class OverrideKind(StrEnum):
    """The kinds of overrides, with the meaning of their keys and values."""

    BLOCK = "block"  # key: an address or a network
    ALLOW = "allow"  # key: an address or a network
    MODE = "mode"  # key: a protection, or ALL; value: enforce or monitor
    SETTING = "setting"  # key: the name of a variable; value: as in the environment
    DOCUMENT = "document"  # key: the SHA-256 of a document's text, in hex: it is refused
    OPERATION = "operation"  # key: an operation's name: it is refused
    APP_DOCUMENT = "app_document"  # key: the same digest; put by workers: a refusal for this document is no offence
    COMMAND = "command"  # key: NAME or NAME:ID, with a NAME of COMMANDS; every living process carries it out once


ALL: Final = "all"
"""Key of a MODE override for all protections. An override for a single protection wins over it."""
GC: Final = "gc"
CLEAR_CACHES: Final = "clear_caches"
CLOSE_SOCKETS: Final = "close_sockets"
DRAIN_SOCKETS: Final = "drain_sockets"
COMMANDS: Final = frozenset({GC, CLEAR_CACHES, CLOSE_SOCKETS, DRAIN_SOCKETS})
"""Commands that every process carries out once: collect garbage; clear the caches of documents, tokens and refusals;
end the live connections that ``value`` names; end all live connections by and by."""
COMMAND_SECONDS: Final = 30.0
"""How long a command is in force: a process that does not see it in this time does not carry it out."""


@dataclass(frozen=True, slots=True)
class Override:
    """One change by an operator. ``expires_in_seconds`` counts from the moment when it was read or written.

    ``id`` tells two commands with the same key apart; :func:`command` makes one.
    """

    kind: OverrideKind
    key: str
    expires_in_seconds: float = LONGEST_SECONDS
    reason: str = ""
    actor: str = ""
    value: str = ""
    id: str = ""

    @property
    def command(self) -> str:
        """The name among COMMANDS of an override of the kind COMMAND."""
        return self.key.partition(":")[0]


def command(name: str, *, value: str = "", reason: str = "", actor: str = "") -> Override:
    """A command to all processes: one of COMMANDS. Given twice, it is carried out twice. A command with a value does
    not replace an earlier one, which some process may not have seen yet."""
    id_ = token_hex(8)
    key = f"{name}:{id_}" if value else name
    return Override(OverrideKind.COMMAND, key, COMMAND_SECONDS, reason, actor, value, id_)


@dataclass(frozen=True, slots=True)
class Overrides:
    """All overrides in force at one version. Version 0 means that the store was never given any."""

    version: int = 0
    entries: tuple[Override, ...] = ()

    def of(self, kind: OverrideKind) -> Iterable[Override]:
        """The overrides of one kind."""
        return (entry for entry in self.entries if entry.kind is kind)

    def networks(self, kind: OverrideKind) -> Iterator[tuple[parsing.Network, Override]]:
        """The overrides of one kind with their keys as networks. A key that is no network (written by hand) is passed
        over."""
        for entry in self.of(kind):
            with suppress(ValueError):
                yield parsing.network(entry.key), entry


@dataclass(frozen=True, slots=True)
class Look:
    """The answer to a poll by a process with live connections: the overrides if they have ``changed``, and recent
    sanctions."""

    changed: Overrides | None
    sanctioned: tuple[RecentSanction, ...]
    at: int
    """The ``since`` of the next look."""


class OverrideStore(Protocol):
    """The overrides of the fleet. Every method may raise StoreError."""

    async def read(self, known_version: int) -> Overrides | None:
        """All overrides; None if the store still has the known version."""
        ...

    async def look(self, known_version: int, since: int) -> Look:
        """:meth:`read`, and in the same exchange the sanctions imposed since an earlier look, of which ``since`` is
        ``Look.at``; a negative ``since`` asks for the sanctions of the last ``-since`` microseconds. Sanctions older
        than RECENT_SECONDS are not given."""
        ...

    async def put(self, override: Override) -> None:
        """Bring an override into force; it replaces an earlier one of its kind and key."""
        ...

    async def delete(self, kind: OverrideKind, key: str) -> bool:
        """End an override; False if there was none."""
        ...


class MemoryOverrides:
    """OverrideStore in the memory of a process."""

    def __init__(self, clock: Callable[[], float], recent: MemoryRecentSanctions | None = None) -> None:
        self._clock = clock
        self._recent = recent or MemoryRecentSanctions(clock)
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

    async def look(self, known_version: int, since: int) -> Look:
        """OverrideStore.look."""
        return Look(await self.read(known_version), self._recent.since(since), self._recent.at)

    async def put(self, override: Override) -> None:
        """OverrideStore.put."""
        now = self._clock()
        # Each change sweeps out what has expired.
        self._entries = {key: held for key, held in self._entries.items() if held[1] > now}
        until = now + min(override.expires_in_seconds, LONGEST_SECONDS)
        self._entries[override.kind, override.key] = (override, until)
        self._version += 1

    async def delete(self, kind: OverrideKind, key: str) -> bool:
        """OverrideStore.delete."""
        held = self._entries.pop((kind, key), None)
        self._version += held is not None
        return held is not None and held[1] > self._clock()

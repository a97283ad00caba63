"""What every action of an operator uses: the store, the settings, the audit, and checks of common arguments."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from fraiseql_guard.core import parsing
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import Event, KeyFamily
from fraiseql_guard.identity.allow_list import AllowList
from fraiseql_guard.operations.operator.interface import NotAppliedError, OperatorError
from fraiseql_guard.operations.operator.own_connections import OwnConnections
from fraiseql_guard.operations.operator.records import Heartbeat, read_heartbeat, write_action
from fraiseql_guard.operations.operator.shared_values import Action
from fraiseql_guard.stores.overrides import LONGEST_SECONDS, Overrides
from fraiseql_guard.stores.protocol import Store, StoreError

V = TypeVar("V")

_LONGEST_TEXT: Final = 255
_READ_AT_ONCE: Final = 4
"""Heartbeats that are read before the event loop gets its turn: a large fleet must not hold requests up."""
_UNKNOWN_VERSION: Final = -1
"""No control set has this version, so that the store returns the whole set."""

Audit = Callable[[Event, Mapping[str, Any]], None]
"""Writes the audit line of an action: the event, and its fields. Never raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorDeps:
    """The parts that an operator's actions share. ``clock`` is Unix time."""

    store: Store
    settings: Settings
    allow_list: AllowList
    audit: Audit
    connections: OwnConnections | None = None
    """The live connections of this process; None outside of a guard."""
    clock: Callable[[], float] = field(default=time.time)

    async def control(self) -> Overrides:
        """The control set as the store has it now. NotAppliedError if the store does not answer."""
        with store_answering():
            return await self.store.overrides.read(_UNKNOWN_VERSION) or Overrides()

    async def heartbeats(self) -> Sequence[Heartbeat]:
        """The heartbeats of all living workers. NotAppliedError if the store does not answer."""
        with store_answering():
            beats = await self.store.fleet.beats()
        found = []
        for number, beat in enumerate(beats, start=1):
            heartbeat = read_heartbeat(beat.payload)
            if heartbeat is not None:
                found.append(heartbeat)
            else:
                self.store.unreadable.note(KeyFamily.HEARTBEATS, beat.worker_id, "is no heartbeat of ours")
            # To read the heartbeats of a large fleet takes longer than a request should wait.
            if number % _READ_AT_ONCE == 0:
                await asyncio.sleep(0)
        return found

    def readable(self, family: KeyFamily, records: Sequence[bytes], read: Callable[[bytes], V | None]) -> list[V]:
        """The records that ``read`` can read, as values. The others are counted as unreadable, and left out."""
        found = []
        for record in records:
            value = read(record)
            # Another program, or another version, wrote it.
            if value is None:
                self.store.unreadable.note(family, record, "is no record of ours")
            else:
                found.append(value)
        return found

    async def record(self, event: Event, actor: str, fields: Mapping[str, Any]) -> None:
        """Audit what was done: write its line, and keep it among the last actions in the store. The line is the audit:
        a store that does not answer changes nothing."""
        given = {"actor": actor, **{name: value for name, value in fields.items() if value is not None}}
        self.audit(event, given)
        action = Action(at=self.clock(), actor=actor, event=event.name, fields={**given, "actor": actor})
        with suppress(StoreError):
            await self.store.fleet.record_action(write_action(action))


@contextmanager
def store_answering() -> Iterator[None]:
    """Turn the error of a store that does not answer into NotAppliedError."""
    try:
        yield
    except StoreError as error:
        raise NotAppliedError(f"the store does not answer ({error.reason}), so that nothing was changed") from error


def seconds(value: float, name: str = "duration_seconds") -> float:
    """A duration in seconds; OperatorError unless it is a number from 1 to a year."""
    # True is an int in Python, and no duration.
    usable = isinstance(value, int | float) and not isinstance(value, bool)
    if not usable or not 1 <= value <= LONGEST_SECONDS:
        raise OperatorError(f"{name}={str(value)[:40]} is not between 1 and {LONGEST_SECONDS:.0f} seconds", field=name)
    return float(value)


def network(value: object, name: str = "ip_address") -> parsing.Network:
    """An address or a network; OperatorError if it is none."""
    try:
        return parsing.network(value)
    except ValueError:
        shown = repr(value)[:80]
        raise OperatorError(
            f"{name}={shown} is neither an address nor a network, as 203.0.113.7 or 203.0.113.0/24", field=name
        ) from None


def printable_text(value: str, name: str) -> str:
    """Text that a log line can show; OperatorError if it is too long or not printable."""
    if not isinstance(value, str) or not value.isprintable() or len(value) > _LONGEST_TEXT:
        raise OperatorError(f"{name} is not printable text of at most {_LONGEST_TEXT} characters", field=name)
    return value


def network_text(wanted: parsing.Network) -> str:
    """A network for people: a single address without its prefix length."""
    return str(wanted.network_address) if wanted.num_addresses == 1 else str(wanted)


def duration_text(duration_seconds: float) -> str:
    """A duration for people, in the largest unit that it is a whole number of: ``1 h``, ``90 s``."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if duration_seconds >= size and duration_seconds % size == 0:
            return f"{duration_seconds / size:.0f} {unit}"
    return f"{duration_seconds:.0f} s"

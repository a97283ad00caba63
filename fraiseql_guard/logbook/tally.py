"""What a log says, added up: one incident for each runbook, with who, what, and when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from fraiseql_guard import signals as s
from fraiseql_guard.logbook.counting import Timeline, TopCounter
from fraiseql_guard.logbook.entries import Entry, Wanted, parse
from fraiseql_guard.logbook.wrappers import unwrapped
from fraiseql_guard.runbooks.model import Runbook
from fraiseql_guard.signals import Event

NOBODY: Final = "-"
"""Stands for a field that a line leaves empty."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How an event is read: the runbook that asks, the fields that tell its kinds apart, and whether it sanctions."""

    runbook: Runbook
    kinds: tuple[str, ...] = ()
    sanction: bool = False


READINGS: Final[Mapping[Event, Reading]] = {
    s.RATE_LIMIT: Reading(Runbook.RATE_LIMITING, ("endpoint", "policy")),
    s.RATE_LIMIT_ABUSE: Reading(Runbook.RATE_LIMITING, sanction=True),
    s.AUTH_FAILURE: Reading(Runbook.AUTHENTICATION, ("failure_reason", "endpoint")),
    s.BRUTE_FORCE_DETECTED: Reading(Runbook.AUTHENTICATION, sanction=True),
    s.EXPENSIVE_QUERY: Reading(Runbook.QUERY_DOS, ("code", "query_hash")),
    s.DOS_DETECTED: Reading(Runbook.QUERY_DOS, sanction=True),
    s.DB_QUERY_TIMEOUT: Reading(Runbook.DATABASE, ("operation", "query_type")),
    s.SLOW_QUERY: Reading(Runbook.DATABASE, ("table_name", "query_type")),
    s.HIGH_MEMORY: Reading(Runbook.MEMORY),
    s.MEMORY_CRITICAL: Reading(Runbook.MEMORY),
    s.STORE_FAILED: Reading(Runbook.GUARD, ("reason",)),
    s.GATE_FAULT: Reading(Runbook.GUARD, ("part",)),
    s.SHARED_PEER_SEEN: Reading(Runbook.GUARD),
    s.REQUEST_REFUSED: Reading(Runbook.GUARD, ("code",)),
}
"""Which lines are read for which runbook."""

_BY_NAME: Final = {event.name: reading for event, reading in READINGS.items()}


@dataclass(slots=True)
class Incident:
    """What concerns one runbook."""

    events: TopCounter = field(default_factory=TopCounter)
    users: TopCounter = field(default_factory=TopCounter)
    addresses: TopCounter = field(default_factory=TopCounter)
    kinds: dict[str, TopCounter] = field(default_factory=dict)
    timeline: Timeline = field(default_factory=Timeline)
    sanctions: int = 0
    monitored: int = 0
    first: str = ""
    last: str = ""

    def add(self, entry: Entry, reading: Reading) -> None:
        """Count a line."""
        self.events.add(entry.event, entry.weight)
        self.first = min(self.first, entry.timestamp) if self.first else entry.timestamp
        self.last = max(self.last, entry.timestamp)
        if entry.context.get("enforced") is False:
            self.monitored += entry.weight
        if reading.sanction:
            self.sanctions += 1
            return  # its offences have been counted already
        self.users.add(entry.text("user_id") or NOBODY, entry.weight)
        self.addresses.add(entry.text("ip_address") or NOBODY, entry.weight)
        self.timeline.add(entry.timestamp, entry.weight)
        for name in reading.kinds:
            if name not in self.kinds:
                self.kinds[name] = TopCounter()
            self.kinds[name].add(entry.text(name) or NOBODY, entry.weight)

    @property
    def total(self) -> int:
        """Events but for sanctions."""
        return self.users.total


@dataclass(slots=True)
class Tally:
    """Everything that was read."""

    lines: int = 0
    matching: int = 0
    unreadable: int = 0
    events: TopCounter = field(default_factory=TopCounter)
    incidents: dict[Runbook, Incident] = field(default_factory=dict)

    def read(self, lines: Iterable[bytes], wanted: Wanted) -> None:
        """Add the lines of one file up. Any may be anything; what is no line of ours is counted and passed over."""
        for line in unwrapped(lines):
            if not line:
                continue
            self.lines += 1
            entry = parse(line)
            if entry is None:
                self.unreadable += 1
            elif wanted.has(entry):
                self._add(entry)

    def _add(self, entry: Entry) -> None:
        self.matching += 1
        self.events.add(entry.event, entry.weight)
        reading = _BY_NAME.get(entry.event)
        if reading is None:
            return
        incident = self.incidents.get(reading.runbook)
        if incident is None:
            incident = self.incidents[reading.runbook] = Incident()
        incident.add(entry, reading)

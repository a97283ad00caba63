"""Adds up the lines of a log: one incident for each runbook, with callers, kinds of events, and times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from fraiseql_guard.core import signals as s
from fraiseql_guard.core.signals import Event
from fraiseql_guard.operations.log_analysis.counting import Timeline, TopCounter
from fraiseql_guard.operations.log_analysis.log_line import LogFilter, LogLine, parse
from fraiseql_guard.operations.log_analysis.wrappers import unwrapped
from fraiseql_guard.operations.runbooks.model import Runbook

NO_VALUE: Final = "-"
"""Replaces the value of a field that is empty, such as the user of an anonymous request."""


@dataclass(frozen=True, slots=True)
class LogReading:
    """How the lines of an event are counted: the runbook that they belong to, the fields by whose values they are
    counted (``kinds``), and whether they report a sanction."""

    runbook: Runbook
    kinds: tuple[str, ...] = ()
    sanction: bool = False


READINGS: Final[Mapping[Event, LogReading]] = {
    s.RATE_LIMIT: LogReading(Runbook.RATE_LIMITING, ("endpoint", "policy")),
    s.RATE_LIMIT_ABUSE: LogReading(Runbook.RATE_LIMITING, sanction=True),
    s.AUTH_FAILURE: LogReading(Runbook.AUTHENTICATION, ("failure_reason", "endpoint")),
    s.BRUTE_FORCE_DETECTED: LogReading(Runbook.AUTHENTICATION, sanction=True),
    s.EXPENSIVE_QUERY: LogReading(Runbook.QUERY_DOS, ("code", "query_hash")),
    s.DOS_DETECTED: LogReading(Runbook.QUERY_DOS, sanction=True),
    s.DB_QUERY_TIMEOUT: LogReading(Runbook.DATABASE, ("operation", "query_type")),
    s.SLOW_QUERY: LogReading(Runbook.DATABASE, ("table_name", "query_type")),
    s.HIGH_MEMORY: LogReading(Runbook.MEMORY),
    s.MEMORY_CRITICAL: LogReading(Runbook.MEMORY),
    s.STORE_FAILED: LogReading(Runbook.GUARD, ("reason",)),
    s.FAULT_SEEN: LogReading(Runbook.GUARD, ("part",)),
    s.SHARED_PEER_SEEN: LogReading(Runbook.GUARD),
    s.SOCKET_OPENED: LogReading(Runbook.GUARD, ("protocol",)),
    s.SOCKET_CLOSED: LogReading(Runbook.GUARD, ("reason", "protocol")),
    s.REQUEST_REFUSED: LogReading(Runbook.GUARD, ("code",)),
}
"""The events that belong to runbooks."""

_BY_NAME: Final = {event.name: reading for event, reading in READINGS.items()}


@dataclass(slots=True)
class Incident:
    """All lines of one runbook, added up. ``monitored`` counts refusals that were not enforced; ``first`` and ``last``
    are timestamps."""

    events: TopCounter = field(default_factory=TopCounter)
    users: TopCounter = field(default_factory=TopCounter)
    addresses: TopCounter = field(default_factory=TopCounter)
    kinds: dict[str, TopCounter] = field(default_factory=dict)
    timeline: Timeline = field(default_factory=Timeline)
    sanctions: int = 0
    monitored: int = 0
    first: str = ""
    last: str = ""

    def add(self, entry: LogLine, reading: LogReading) -> None:
        """Count a line."""
        self.events.add(entry.event, entry.weight)
        # Several files may be read in any order.
        self.first = min(self.first, entry.timestamp) if self.first else entry.timestamp
        self.last = max(self.last, entry.timestamp)
        # Lines of monitor mode have enforced=false; others have true or lack the field.
        if entry.context.get("enforced") is False:
            self.monitored += entry.weight
        if reading.sanction:
            self.sanctions += 1
            return  # the offences that brought it have lines of their own
        self.users.add(_shown(entry, "user_id"), entry.weight)
        self.addresses.add(_shown(entry, "ip_address"), entry.weight)
        self.timeline.add(entry.timestamp, entry.weight)
        for name in reading.kinds:
            self.kinds.setdefault(name, TopCounter()).add(_shown(entry, name), entry.weight)

    @property
    def total(self) -> int:
        """The number of events, sanctions not included."""
        return self.users.total


def _shown(entry: LogLine, field_name: str) -> str:
    return entry.text(field_name) or NO_VALUE


@dataclass(slots=True)
class LogSummary:
    """All lines that were read, added up: the number of all, of those that match the filter, and of unreadable ones."""

    lines: int = 0
    matching: int = 0
    unreadable: int = 0
    events: TopCounter = field(default_factory=TopCounter)
    incidents: dict[Runbook, Incident] = field(default_factory=dict)

    def read(self, lines: Iterable[bytes], wanted: LogFilter) -> None:
        """Add the lines of one file. Lines that the guard did not write are counted as unreadable."""
        for line in unwrapped(lines):
            if not line:
                continue
            self.lines += 1
            entry = parse(line)
            if entry is None:
                self.unreadable += 1
            elif wanted.has(entry):
                self._add(entry)

    def _add(self, entry: LogLine) -> None:
        self.matching += 1
        self.events.add(entry.event, entry.weight)
        # Events of no runbook are counted only.
        reading = _BY_NAME.get(entry.event)
        if reading is None:
            return
        incident = self.incidents.get(reading.runbook)
        if incident is None:
            incident = self.incidents[reading.runbook] = Incident()
        incident.add(entry, reading)

"""Parses lines of the guard's log, and filters them by time and event."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

_TIMESTAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z", re.ASCII)
_AGE: Final = re.compile(r"(\d+)\s*([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_MAX_SUPPRESSED: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class LogLine:
    """One event. ``weight`` is the number of events that it stands for: itself, and those before it that the log's rate
    limit left out."""

    timestamp: str
    event: str
    context: Mapping[str, Any]
    weight: int

    def text(self, field: str) -> str | None:
        """A field of the context as text; None if it is missing or null."""
        value = self.context.get(field)
        return None if value is None else str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """Chooses lines by time, from ``since`` to before ``until`` in the form of the log's timestamps, and by event.
    Empty values choose all."""

    since: str = ""
    until: str = ""
    events: frozenset[str] = frozenset()

    def has(self, line: LogLine) -> bool:
        """Whether a line is chosen."""
        if self.events and line.event not in self.events:
            return False
        # Timestamps are in UTC and of one form, so that they compare as texts.
        if self.since and line.timestamp < self.since:
            return False
        return not self.until or line.timestamp < self.until


def parse(line: bytes) -> LogLine | None:
    """The event of a line that the guard wrote; None for any other line."""
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    match found:
        case {"timestamp": str(timestamp), "event": str(event), "context": dict(context)}:
            # Another program may write JSON with the same names.
            if _TIMESTAMP.fullmatch(timestamp):
                return LogLine(timestamp, event, context, 1 + _suppressed(context.get("suppressed")))
    return None


def _suppressed(given: object) -> int:
    """The number of lines before this one that the rate limit left out."""
    # Bounded, since any program may have written the line.
    return given if isinstance(given, int) and 0 < given < _MAX_SUPPRESSED else 0


def moment(text: str, now: datetime) -> str:
    """The timestamp of an age before ``now`` (``10m``) or of a date (RFC 3339; without a zone UTC). ValueError for
    other texts."""
    if age := _AGE.fullmatch(text.strip()):
        return _written(now - timedelta(**{_UNITS[age[2]]: int(age[1])}))
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(
            f"{text!r} is no moment. Accepted: an age such as 10m or 2h, or a date such as 2026-01-31T12:00:00Z"
        ) from None
    # A date without a zone is UTC, as in the log.
    return _written(found if found.tzinfo else found.replace(tzinfo=UTC))


def _written(found: datetime) -> str:
    return found.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

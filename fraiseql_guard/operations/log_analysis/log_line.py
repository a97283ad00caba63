"""Parses lines of the guard's log, and chooses those of a time and of some events."""

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
    """One event. ``weight`` is how many it stands for: itself, and those that the log's rate limit left out before."""

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
    """Chooses lines by time (``since`` included, ``until`` excluded, as timestamps are written) and by event. Empty
    values choose all."""

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
            # A line of another program may be JSON with the same names.
            if _TIMESTAMP.fullmatch(timestamp):
                return LogLine(timestamp, event, context, 1 + _suppressed(context.get("suppressed")))
    return None


def _suppressed(given: object) -> int:
    """The lines that the rate limit left out before this one: they count with it."""
    # A bound, since any program may have written the line.
    return given if isinstance(given, int) and 0 < given < _MAX_SUPPRESSED else 0


def moment(text: str, now: datetime) -> str:
    """The timestamp of an age before ``now`` (``10m``) or of a date (RFC 3339). ValueError for anything else."""
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

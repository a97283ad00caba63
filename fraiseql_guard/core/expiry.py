"""Reads when an entry of a YAML file ends."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

_REFUSED = "expires_at is not an RFC 3339 time"


def expiry_of(value: Any) -> float | None:
    """The Unix time of an ``expires_at``; None where there is none. An entry with a date ends when that day begins; a
    time without a zone is UTC. ValueError for anything else."""
    if value is None:
        return None
    moment = _moment(value)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _moment(value: Any) -> datetime:
    # YAML reads a time without quotes as a datetime, and 2026-12-31 as a date; a datetime is a date as well.
    match value:
        case str():
            return _parsed(value)
        case datetime():
            return value
        case date():
            return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise ValueError(_REFUSED)


def _parsed(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(_REFUSED) from None

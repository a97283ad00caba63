"""The records that workers and operators leave in the store for each other: heartbeats, refusals, actions.

They are JSON, because several versions of the guard share a store during a rolling upgrade: unknown keys are ignored,
missing ones take their defaults, and a record that cannot be read at all is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import orjson

from fraiseql_guard.core.live_facts import LiveFacts
from fraiseql_guard.operations.operator.json_values import from_json
from fraiseql_guard.operations.operator.shared_values import Action, Refusal, Worker

V = TypeVar("V")

_LONGEST: Final = 65_536
"""Bytes of the longest record that is read. The guard writes none that is so long."""
_YEAR_9999: Final = 253_370_764_800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerCounts:
    """A worker's counts of one caller in the last five minutes.

    ``kind``, ``name`` and ``group`` are those of its Subject, so that a user_id can be resolved to exactly one user;
    ``shown`` is the user_id or address.
    """

    kind: str
    name: str
    group: str = ""
    shown: str = ""
    requests: int = 0
    refusals: int = 0
    by_code: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The numbers of a worker's last requests (at most 1,000) by its most frequent addresses and users. The keys of
    ``users`` are the names of their subjects."""

    requests: int = 0
    addresses: Mapping[str, int] = field(default_factory=dict)
    users: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """A worker's report of itself, about once a second."""

    worker: Worker
    callers: Sequence[CallerCounts] = ()
    """The callers with the most refusals and with the most requests."""
    seen: Seen = field(default_factory=Seen)
    connections: Sequence[LiveFacts] = ()
    """The largest of its live connections."""
    usage: Mapping[str, Any] | None = None
    """The usage report of the worker's requests (tuning/usage_report.py)."""


def write_heartbeat(heartbeat: Heartbeat) -> bytes:
    """A heartbeat as the store keeps it."""
    return _written(heartbeat)


def read_heartbeat(payload: bytes) -> Heartbeat | None:
    """A heartbeat from the store; None for anything else."""
    found = _read(Heartbeat, payload)
    if found is None or not all(map(_is_moment, _moments(found.worker))):
        return None
    return found


def write_refusal(refusal: Refusal) -> bytes:
    """A refusal as the store keeps it among the last ones."""
    return _written(refusal)


def read_refusal(record: bytes) -> Refusal | None:
    """A refusal from the store; None for anything else."""
    found = _read(Refusal, record)
    return replace(found, time=iso_time(found.at)) if found is not None and _is_moment(found.at) else None


def write_action(action: Action) -> bytes:
    """An operator's action as the store keeps it among the last ones."""
    return _written(action)


def read_action(record: bytes) -> Action | None:
    """An action from the store; None for anything else."""
    found = _read(Action, record)
    return replace(found, time=iso_time(found.at)) if found is not None and _is_moment(found.at) else None


def iso_time(at: float) -> str:
    """A Unix time as ISO 8601 in UTC; empty for a number that no calendar has."""
    try:
        found = datetime.fromtimestamp(at, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return ""
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _written(value: object) -> bytes:
    return orjson.dumps(value, default=lambda other: dict(other) if isinstance(other, Mapping) else str(other))


def _read(cls: type[V], record: bytes) -> V | None:
    """The value of a record; None whatever is wrong with it: its length, encoding or nesting, a field or its type."""
    # A foreign record may be of any length.
    if len(record) > _LONGEST:
        return None
    try:
        return from_json(cls, orjson.loads(record))
    except ValueError:  # an orjson.JSONDecodeError is one
        return None


def _moments(worker: Worker) -> tuple[float, ...]:
    return worker.started_at, worker.seen_at, worker.series_ends_at


def _is_moment(at: float) -> bool:
    """Whether a number is a Unix time that a calendar has."""
    return 0 <= at < _YEAR_9999

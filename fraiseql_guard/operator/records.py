"""What workers and operators leave in the store for each other to read: heartbeats, refusals, actions.

JSON, because versions of ours meet there during a rolling upgrade: unknown keys are ignored, missing ones have their
defaults, and what cannot be read at all is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import orjson

from fraiseql_guard.operator.interface import Action, Refusal, Worker

V = TypeVar("V")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """What a worker has seen of one caller in the last five minutes.

    ``kind``, ``name`` and ``group`` are those of its Subject, so that a user_id can be resolved to the exact one;
    ``shown`` is its user_id or address.
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
    """Of the last requests of a worker (at most 1,000): how many came from which address and user; the most frequent
    ones. ``users`` are names of subjects."""

    requests: int = 0
    addresses: Mapping[str, int] = field(default_factory=dict)
    users: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """What a worker says of itself about once a second."""

    worker: Worker
    callers: Sequence[Caller] = ()
    """The callers with the most refusals and with the most requests."""
    seen: Seen = field(default_factory=Seen)


def write_heartbeat(heartbeat: Heartbeat) -> bytes:
    """A heartbeat as it is kept in the store."""
    return _written(heartbeat)


def read_heartbeat(payload: bytes) -> Heartbeat | None:
    """A heartbeat from the store; None if it is none."""
    found = _object(payload)
    worker, seen, callers = found.get("worker"), found.get("seen"), found.get("callers")
    try:
        return Heartbeat(
            worker=_made(Worker, worker),
            callers=tuple(_made(Caller, each) for each in callers or ()),
            seen=_made(Seen, seen or {}),
        )
    except (TypeError, ValueError):
        return None


def write_refusal(refusal: Refusal) -> bytes:
    """A refusal as it is kept in the ring of recent ones."""
    return _written(refusal)


def read_refusal(record: bytes) -> Refusal | None:
    """A refusal from the ring; None if it is none."""
    found = _read(Refusal, record)
    return None if found is None else replace(found, time=iso_time(found.at))


def write_action(action: Action) -> bytes:
    """An operator's action as it is kept in the ring of actions."""
    return _written(action)


def read_action(record: bytes) -> Action | None:
    """An action from the ring; None if it is none."""
    found = _read(Action, record)
    return None if found is None else replace(found, time=iso_time(found.at))


def iso_time(at: object) -> str:
    """A moment (Unix time) as ISO 8601 in UTC; empty for what is none."""
    try:
        found = datetime.fromtimestamp(at, UTC)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, OSError):
        return ""
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _written(value: object) -> bytes:
    return orjson.dumps(value, default=lambda other: dict(other) if isinstance(other, Mapping) else str(other))


def _read(cls: type[V], record: bytes) -> V | None:
    try:
        return _made(cls, _object(record))
    except (TypeError, ValueError):
        return None


def _object(record: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(record)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _made(cls: type[V], found: Any) -> V:
    if not isinstance(found, dict):
        raise TypeError("not an object")
    known = {each.name for each in fields(cls)}  # type: ignore[arg-type]  # all of them are dataclasses
    return cls(**{name: value for name, value in found.items() if name in known})

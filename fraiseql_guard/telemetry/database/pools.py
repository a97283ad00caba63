"""Reads how full a connection pool is: psycopg_pool, asyncpg, SQLAlchemy, or whatever a callable says. Imports none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class PoolState:
    """Connections of a pool: in use, open and unused, the most it may open (0: no bound), and callers that wait."""

    active: int
    idle: int
    total: int
    waiting: int = 0

    def __add__(self, other: PoolState) -> PoolState:
        return PoolState(
            self.active + other.active,
            self.idle + other.idle,
            self.total + other.total,
            self.waiting + other.waiting,
        )


ReadPool = Callable[[], PoolState | None]

ACCEPTED: Final = (
    "a psycopg_pool pool, an asyncpg pool, an SQLAlchemy engine, or a callable that returns one of them, None, "
    "or a mapping with active, idle, total and waiting"
)


def reader_of(source: Any) -> ReadPool:
    """How to read a pool. TypeError, naming what is accepted, for anything else."""
    for is_one, read in _KINDS:
        if is_one(source):
            return lambda: read(source)
    if callable(source):
        return lambda: _read_answer(source())
    raise TypeError(f"{type(source).__name__} is no pool that can be read. Accepted: {ACCEPTED}")


def _read_answer(answer: Any) -> PoolState | None:
    """What a callable has returned; None where there is no pool yet."""
    if answer is None or isinstance(answer, PoolState):
        return answer
    if isinstance(answer, Mapping):
        return PoolState(
            active=int(answer["active"]),
            idle=int(answer["idle"]),
            total=int(answer["total"]),
            waiting=int(answer.get("waiting", 0)),
        )
    return reader_of(answer)()


def _is_psycopg(source: Any) -> bool:
    return callable(getattr(source, "get_stats", None))


def _read_psycopg(pool: Any) -> PoolState:
    stats = pool.get_stats()
    size, available = stats.get("pool_size", 0), stats.get("pool_available", 0)  # size: also those being opened
    total = stats.get("pool_max", 0)  # pool_size grows on demand: measured by it, a small busy pool would look full
    return PoolState(max(0, size - available), available, total, stats.get("requests_waiting", 0))


def _is_asyncpg(source: Any) -> bool:
    return all(callable(getattr(source, name, None)) for name in ("get_size", "get_idle_size", "get_max_size"))


def _read_asyncpg(pool: Any) -> PoolState:
    size, idle = pool.get_size(), pool.get_idle_size()  # how many callers wait, asyncpg does not tell
    return PoolState(max(0, size - idle), idle, pool.get_max_size())


def _is_sqlalchemy(source: Any) -> bool:
    """An engine, or an async one, whose pool counts; NullPool and StaticPool do not."""
    pool = getattr(source, "pool", None)
    return all(callable(getattr(pool, name, None)) for name in ("size", "checkedin", "checkedout"))


def _read_sqlalchemy(engine: Any) -> PoolState:
    pool = engine.pool
    overflow = getattr(pool, "_max_overflow", 0)  # there is no public way to ask; -1 is no bound
    active = pool.checkedout()
    return PoolState(active, pool.checkedin(), 0 if overflow < 0 else pool.size() + overflow)


_KINDS: Final[tuple[tuple[Callable[[Any], bool], Callable[[Any], PoolState]], ...]] = (
    (_is_psycopg, _read_psycopg),
    (_is_asyncpg, _read_asyncpg),
    (_is_sqlalchemy, _read_sqlalchemy),
)

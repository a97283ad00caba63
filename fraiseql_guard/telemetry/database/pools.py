"""Reads how full a connection pool is (psycopg_pool, asyncpg, SQLAlchemy, or a callable), without importing its
library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class PoolState:
    """The connections of a pool: ``active`` are in use, ``idle`` are open and unused, ``total`` is the most that it may
    open (0: no bound), and ``waiting`` callers wait for a connection."""

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
    """The function that reads a pool. TypeError, naming what is accepted, for anything else."""
    for is_one, read in _KINDS:
        if is_one(source):
            return lambda: read(source)
    if callable(source):
        return lambda: _read_answer(source())
    raise TypeError(f"{type(source).__name__} is no pool that can be read. Accepted: {ACCEPTED}")


def _read_answer(answer: Any) -> PoolState | None:
    """The state that a callable has returned, or that of the pool that it returned; None while there is no pool."""
    if answer is None or isinstance(answer, PoolState):
        return answer
    if isinstance(answer, Mapping):
        return PoolState(
            active=int(answer["active"]),
            idle=int(answer["idle"]),
            total=int(answer["total"]),
            waiting=int(answer.get("waiting", 0)),
        )
    # A callable may return a pool that is made later, or made anew.
    return reader_of(answer)()


def _is_psycopg(source: Any) -> bool:
    return callable(getattr(source, "get_stats", None))


def _read_psycopg(pool: Any) -> PoolState:
    stats = pool.get_stats()
    # pool_size includes connections that are being opened, and grows on demand: pool_max is the total.
    size, available = stats.get("pool_size", 0), stats.get("pool_available", 0)
    total = stats.get("pool_max", 0)
    # The two numbers are not read at one moment, so that the difference may be negative.
    return PoolState(max(0, size - available), available, total, stats.get("requests_waiting", 0))


def _is_asyncpg(source: Any) -> bool:
    return all(callable(getattr(source, name, None)) for name in ("get_size", "get_idle_size", "get_max_size"))


def _read_asyncpg(pool: Any) -> PoolState:
    size, idle = pool.get_size(), pool.get_idle_size()  # asyncpg does not tell how many callers wait
    return PoolState(max(0, size - idle), idle, pool.get_max_size())


def _is_sqlalchemy(source: Any) -> bool:
    """Whether ``source`` is an engine, async or not, with a pool that counts its connections. NullPool and StaticPool
    do not."""
    pool = getattr(source, "pool", None)
    return all(callable(getattr(pool, name, None)) for name in ("size", "checkedin", "checkedout"))


def _read_sqlalchemy(engine: Any) -> PoolState:
    pool = engine.pool
    overflow = getattr(pool, "_max_overflow", 0)  # not public, and there is no other way; -1 is no bound
    active = pool.checkedout()
    return PoolState(active, pool.checkedin(), 0 if overflow < 0 else pool.size() + overflow)


_KINDS: Final[tuple[tuple[Callable[[Any], bool], Callable[[Any], PoolState]], ...]] = (
    (_is_psycopg, _read_psycopg),
    (_is_asyncpg, _read_asyncpg),
    (_is_sqlalchemy, _read_sqlalchemy),
)

"""How full a pool is, of every library that is known."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from fraiseql_guard.telemetry.database import PoolState
from fraiseql_guard.telemetry.database.pools import reader_of


def psycopg_like(**stats: int) -> SimpleNamespace:
    return SimpleNamespace(get_stats=lambda: stats)


def test_a_psycopg_pool_is_measured_by_the_most_it_may_open() -> None:
    # pool_size grows on demand: 2 of 2 in use is no exhausted pool if 30 may be opened.
    pool = psycopg_like(pool_min=2, pool_max=30, pool_size=2, pool_available=0, requests_waiting=1)
    assert reader_of(pool)() == PoolState(active=2, idle=0, total=30, waiting=1)


def test_an_asyncpg_pool() -> None:
    pool = SimpleNamespace(get_size=lambda: 5, get_idle_size=lambda: 2, get_max_size=lambda: 10)
    assert reader_of(pool)() == PoolState(active=3, idle=2, total=10)


@pytest.mark.parametrize(("overflow", "total"), [(10, 15), (0, 5), (-1, 0)])
def test_an_sqlalchemy_engine(overflow: int, total: int) -> None:
    pool = SimpleNamespace(size=lambda: 5, checkedin=lambda: 1, checkedout=lambda: 3, _max_overflow=overflow)
    assert reader_of(SimpleNamespace(pool=pool))() == PoolState(active=3, idle=1, total=total)


def test_a_callable_may_return_a_pool_a_mapping_or_nothing() -> None:
    assert reader_of(lambda: {"active": 1, "idle": 2, "total": 3})() == PoolState(1, 2, 3)
    assert reader_of(lambda: psycopg_like(pool_max=4, pool_size=3, pool_available=1))() == PoolState(2, 1, 4)
    assert reader_of(lambda: None)() is None


@pytest.mark.parametrize("odd", [7, "pool", object(), SimpleNamespace(pool=object())])
def test_what_is_no_pool_is_refused_with_what_is_accepted(odd: object) -> None:
    with pytest.raises(TypeError, match="Accepted: a psycopg_pool pool, an asyncpg pool, an SQLAlchemy engine"):
        reader_of(odd)

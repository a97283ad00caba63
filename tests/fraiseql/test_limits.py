"""PostgreSQL gets its time limit without a round trip more than the app's own."""

from __future__ import annotations

from typing import Any

import pytest

from fraiseql_guard.core.request import leave
from tests.support.fraiseql_pool import check_as_fraiseql_does, counted_trips, limit_in_force, work_until
from tests.support.processes import needs_fraiseql

pytestmark = needs_fraiseql


def timed_pool(pool: Any, guarded: Any) -> Any:
    from fraiseql_guard.fraiseql.pool import TimedPool

    return TimedPool(pool, guarded().guard.database)


@pytest.mark.parametrize(
    ("remaining", "limit"),
    [(-5.0, 250), (0.0, 250), (0.01, 500), (0.24, 500), (0.25, 500), (0.26, 750), (29.99, 30_250)],
)
async def test_the_limit_is_a_little_later_than_the_deadline_and_never_0(
    checked: Any, guarded: Any, remaining: float, limit: int
) -> None:
    from fraiseql_guard.fraiseql.pool import TimedPool

    work_until(0.0).ends_at = 1000.0 + remaining
    pool = TimedPool(checked, guarded().guard.database, clock=lambda: 1000.0)
    async with pool.connection() as connection:
        assert await limit_in_force(connection) == limit


@pytest.mark.parametrize("check", [check_as_fraiseql_does, None])
async def test_a_limit_costs_no_round_trip_to_the_database(url: str, guarded: Any, check: Any) -> None:
    from psycopg_pool import AsyncConnectionPool

    async with AsyncConnectionPool(url, open=False, min_size=1, max_size=1, check=check) as pool:
        await pool.wait()
        trips = {}
        for lender in (pool, timed_pool(pool, guarded)):
            for _ in range(10):  # prepared by now, and known
                async with lender.connection() as connection:
                    work_until(None if lender is pool else 3.0)
                    limit = await limit_in_force(connection)
                if lender is not pool:
                    assert 3000 <= limit <= 3250
            with counted_trips(connection) as found:
                async with lender.connection() as connection:
                    await limit_in_force(connection)
            trips[lender is pool] = found[0]
        assert trips[True] == trips[False]
    leave()


async def test_fraiseqls_own_limit_is_not_sent_where_it_is_the_longer_one(checked: Any, guarded: Any) -> None:
    from fraiseql_guard.fraiseql.repository import GuardedRepository

    repository = GuardedRepository(timed_pool(checked, guarded), {"query_timeout": 5})
    statement = "SELECT current_setting('statement_timeout') AS limit FROM pg_class LIMIT 1"

    async def limit() -> str:
        from fraiseql.db import DatabaseQuery

        return (await repository.run(DatabaseQuery(statement=statement, params={}, fetch_result=True)))[0]["limit"]

    assert (await limit(), repository.query_timeout) == ("5s", 5)  # no request: FraiseQL's
    work_until(2.0)
    assert (await limit(), repository.query_timeout) == ("2250ms", None)
    work_until(60.0)
    assert (await limit(), repository.query_timeout) == ("5s", 5)


async def test_the_next_user_of_the_connection_sees_nothing_of_it(checked: Any, guarded: Any) -> None:
    from psycopg import AsyncCursor

    from fraiseql_guard.fraiseql.pool import TimedPool

    guard = guarded()
    for _ in range(2):
        work_until(3.0)
        async with TimedPool(checked, guard.guard.database).connection() as connection:
            assert await limit_in_force(connection) > 0
            outliving = connection.cursor()
        async with checked.connection() as same:  # also while a request is at work
            assert same is connection
            assert type(same.cursor()) is AsyncCursor
            assert await limit_in_force(same) == 0
    assert guard.metric("fraiseql_db_queries_total") == 2  # neither the other user's statements nor the pool's checks
    del outliving


async def test_a_connection_that_fails_its_check_takes_no_limit_along(checked: Any, guarded: Any) -> None:
    import psycopg

    pool = timed_pool(checked, guarded)
    work_until(3.0)
    async with pool.connection() as connection:
        old = connection.pgconn.backend_pid
        assert await limit_in_force(connection) >= 3000
    with psycopg.connect(checked.conninfo, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (old,))
    async with pool.connection() as connection:
        assert connection.pgconn.backend_pid != old
        assert 3000 <= await limit_in_force(connection) <= 3250


async def test_a_new_connection_in_the_place_of_one_that_failed_has_its_own_limit(url: str, guarded: Any) -> None:
    from psycopg import OperationalError
    from psycopg_pool import AsyncConnectionPool

    condemned: list[int] = []

    async def check(connection: Any) -> None:
        await connection.execute("SELECT 1")  # bounded by now
        if connection.pgconn.backend_pid in condemned:
            await connection.close()
            raise OperationalError("no good")

    async with AsyncConnectionPool(url, open=False, min_size=1, max_size=1, check=check) as pool:
        timed = timed_pool(pool, guarded)
        work_until(3.0)
        async with timed.connection() as connection:
            condemned.append(connection.pgconn.backend_pid)
        async with timed.connection() as connection:
            assert connection.pgconn.backend_pid not in condemned
            assert 3000 <= await limit_in_force(connection) <= 3250
    leave()


async def test_a_check_may_end_its_transaction(url: str, guarded: Any) -> None:
    from psycopg_pool import AsyncConnectionPool

    async def check(connection: Any) -> None:
        await connection.execute("SELECT 1")
        await connection.commit()

    async with AsyncConnectionPool(url, open=False, min_size=1, max_size=1, check=check) as pool:
        timed = timed_pool(pool, guarded)
        for _ in range(3):
            work_until(3.0)
            async with timed.connection() as connection:
                assert 3000 <= await limit_in_force(connection) <= 3250
    leave()


async def test_a_transaction_with_options_of_its_own_keeps_them(checked: Any, guarded: Any) -> None:
    from psycopg import IsolationLevel

    pool = timed_pool(checked, guarded)
    work_until(3.0)
    async with pool.connection() as connection:
        await connection.rollback()
        await connection.set_isolation_level(IsolationLevel.SERIALIZABLE)
        assert await limit_in_force(connection) >= 3000
        row = await (await connection.execute("SHOW transaction_isolation")).fetchone()
    assert row == ("serializable",)


async def test_in_a_pipeline_it_is_set_as_well(checked: Any, guarded: Any) -> None:
    pool = timed_pool(checked, guarded)
    work_until(3.0)
    async with pool.connection() as connection:
        await connection.rollback()
        async with connection.pipeline():
            first = await connection.execute("SELECT current_setting('statement_timeout') FROM pg_class LIMIT 1")
        assert await first.fetchone() in (("3s",), ("3250ms",))


async def test_statements_without_a_known_type_are_bounded_too(pool: Any, guarded: Any) -> None:
    from psycopg import errors

    work_until(0.1)
    with pytest.raises(errors.QueryCanceled):
        async with timed_pool(pool, guarded).connection() as connection:
            await connection.execute("DO $$ BEGIN PERFORM pg_sleep(20); END $$")
    leave()

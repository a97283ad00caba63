"""A timed pool on a real PostgreSQL: limits that are set, kept and left alone; connections go back as they came."""

from __future__ import annotations

from typing import Any

import pytest

from fraiseql_guard.request import leave
from tests.support.fraiseql_pool import LIMIT, limit_in_force, work_until
from tests.support.processes import needs_fraiseql

pytestmark = needs_fraiseql


async def test_a_statement_may_take_what_is_left_of_its_requests_time(timed: Any) -> None:
    work_until(3.0)
    async with timed.connection() as connection:
        assert 3000 <= await limit_in_force(connection) <= 3250
    async with timed.connection() as connection:
        work_until(0.0)
        assert await limit_in_force(connection) == 250  # never 0, which would be no limit


async def test_in_one_transaction_it_is_set_again_only_where_it_would_be_much_too_long(timed: Any) -> None:
    work_until(30.0)
    async with timed.connection() as connection:
        first = await limit_in_force(connection)
        work_until(28.0)
        assert await limit_in_force(connection) == first
        work_until(2.0)
        assert await limit_in_force(connection) <= 2250
        await connection.commit()
        assert await limit_in_force(connection) <= 2250  # a new transaction begins without one


async def test_without_a_deadline_there_is_no_limit(timed: Any) -> None:
    async with timed.connection() as connection:
        assert await limit_in_force(connection) == 0
        work_until(None)
        assert await limit_in_force(connection) == 0


async def test_a_limit_that_the_app_sets_itself_stays(timed: Any) -> None:
    work_until(3.0)
    async with timed.connection() as connection:
        await connection.execute("SET LOCAL statement_timeout = '1500ms'")
        assert await limit_in_force(connection) == 1500


async def test_autocommit_and_failed_transactions_are_left_alone(timed: Any) -> None:
    from psycopg import errors

    work_until(3.0)
    async with timed.connection() as connection:
        await connection.set_autocommit(True)
        assert await limit_in_force(connection) == 0
        await connection.set_autocommit(False)
    async with timed.connection() as connection:
        for statement, error in (
            ("SELECT 1 FROM nowhere", errors.UndefinedTable),
            (LIMIT, errors.InFailedSqlTransaction),
        ):
            with pytest.raises(error):
                await connection.execute(statement)


async def test_many_statements_of_one_call_are_timed_as_one(timed: Any, guarded: Any) -> None:
    async with timed.connection() as connection, connection.cursor() as cursor:
        await cursor.execute("CREATE TEMPORARY TABLE numbers (n int)")
        await cursor.executemany("INSERT INTO numbers VALUES (%s)", [(1,), (2,)])
        row = await (await cursor.execute("SELECT sum(n) FROM numbers")).fetchone()
    assert row == (3,)


async def test_postgresql_stops_a_statement_at_its_limit_and_that_is_a_query_timeout(pool: Any, guarded: Any) -> None:
    from psycopg import errors

    from fraiseql_guard.fraiseql.pool import TimedPool

    guard = guarded()
    work_until(0.1)
    with pytest.raises(errors.QueryCanceled):
        async with TimedPool(pool, guard.guard.database).connection() as connection:
            await connection.execute("SELECT pg_sleep(20) FROM pg_class")
    leave()
    (line,) = guard.lines("database.query_timeout")
    assert line["context"]["table_name"] == "pg_class"
    assert line["context"]["timeout_ms"] == 500


async def test_whatever_else_a_pool_can_is_the_pools_own(timed: Any, pool: Any) -> None:
    assert timed.get_stats()["pool_max"] == 2
    assert timed.max_size == pool.max_size

"""A timed pool on a real PostgreSQL: limits that are set, kept and left alone; connections go back as they came."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fraiseql_guard.core.request import leave
from tests.support.fraiseql_pool import LIMIT, limit_in_force, work_until
from tests.support.processes import needs_fraiseql

pytestmark = needs_fraiseql


async def test_a_statement_may_take_what_is_left_of_its_requests_time(timed: Any) -> None:
    work_until(300.0)
    async with timed.connection() as connection:
        assert 290_000 <= await limit_in_force(connection) <= 300_250
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
    for milliseconds in (1500, 0):  # 0 is none
        async with timed.connection() as connection:
            await connection.execute(f"SET LOCAL statement_timeout = '{milliseconds}ms'")
            assert await limit_in_force(connection) == milliseconds


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


async def test_what_was_composed_is_counted_and_told_by_its_table(pool: Any, guarded: Any) -> None:
    from psycopg import sql

    from fraiseql_guard.fraiseql.pool import TimedPool

    guard = guarded(slow_query_seconds=1.0)
    select = sql.SQL("SELECT pg_sleep({}) FROM {} LIMIT 1")
    async with TimedPool(pool, guard.guard.database).connection() as connection:
        await connection.execute(select.format(sql.Literal(0), sql.Identifier("pg_class")))
        await connection.execute(select.format(sql.Literal(1.1), sql.Identifier("pg_proc")))
        await connection.execute(b"SELECT count(*) FROM pg_type")
    for table in ("pg_class", "pg_proc", "pg_type"):
        assert guard.metric("fraiseql_db_query_duration_seconds_count", query_type="select", table_name=table) == 1
    (line,) = guard.lines("database.slow_query")
    assert line["context"]["table_name"] == "pg_proc"


async def test_while_a_statement_runs_its_request_says_which_and_no_longer(timed: Any) -> None:
    ctx, seen = work_until(30.0), []

    async def look() -> None:
        while not seen:
            await asyncio.sleep(0.01)
            if ctx.statement is not None:
                seen.append(ctx.statement().table_name)

    looking = asyncio.create_task(look())
    async with timed.connection() as connection:
        await connection.execute("SELECT pg_sleep(0.2) FROM pg_class LIMIT 1")
        assert ctx.statement is None
        with pytest.raises(Exception, match="nowhere"):
            await connection.execute("SELECT 1 FROM nowhere")
        assert ctx.statement is None
    await looking
    assert seen == ["pg_class"]


async def test_a_statement_that_fails_is_counted_and_no_timeout(pool: Any, guarded: Any) -> None:
    from psycopg import errors

    from fraiseql_guard.fraiseql.pool import TimedPool

    guard = guarded()
    with pytest.raises(errors.UndefinedTable):
        async with TimedPool(pool, guard.guard.database).connection() as connection:
            await connection.execute("SELECT 1 FROM nowhere")
    assert guard.metric("fraiseql_db_query_duration_seconds_count", table_name="nowhere") == 1
    assert guard.lines("database.query_timeout") == []


async def test_whatever_else_a_pool_can_is_the_pools_own(timed: Any, pool: Any) -> None:
    assert timed.get_stats()["pool_max"] == 2
    assert timed.max_size == pool.max_size

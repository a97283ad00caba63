"""A limit that PostgreSQL has for a role, a database or a session is never raised: the lower one holds."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fraiseql_guard.core.request import leave
from tests.support.fraiseql_pool import LIMIT, check_as_fraiseql_does, limit_in_force, work_until
from tests.support.pgbouncer import running_pgbouncer
from tests.support.processes import needs_fraiseql

pytestmark = needs_fraiseql

ROLE = "CREATE ROLE dba_limited LOGIN"


class Clock:
    """The real one's beginning, moved by hand: a minute ahead of it, nothing is over by it meanwhile. Whole seconds, so
    that sums are exact."""

    def __init__(self) -> None:
        self.now = math.floor(time.monotonic()) + 60.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def one_connection(url: str, **more: Any) -> AsyncIterator[Any]:
    from psycopg_pool import AsyncConnectionPool

    async with AsyncConnectionPool(url, open=False, min_size=1, max_size=1, **more) as pool:
        await pool.wait()
        yield pool
    leave()


def timed(pool: Any, guarded: Any, clock: Clock) -> Any:
    from fraiseql_guard.fraiseql.pool import TimedPool

    return TimedPool(pool, guarded().guard.database, clock=clock)


def remaining(seconds: float, clock: Clock) -> None:
    work_until(0.0).ends_at = clock.now + seconds


@pytest.fixture(scope="module")
def limited(url: str) -> Any:
    """A role with a limit of two seconds."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(ROLE)
        connection.execute("ALTER ROLE dba_limited SET statement_timeout = '2s'")
    return url.replace("postgres:@", "dba_limited:@", 1)


@pytest.mark.parametrize("check", [None, check_as_fraiseql_does])
async def test_the_limit_of_a_role_holds_where_it_is_lower(limited: str, guarded: Any, check: Any) -> None:
    clock = Clock()
    async with one_connection(limited, check=check) as pool:
        lender, found = timed(pool, guarded, clock), []
        for seconds in (30.0, 30.0, 0.5, 30.0, 1.0):
            remaining(seconds, clock)
            async with lender.connection() as connection:
                found.append(await limit_in_force(connection))
        assert found == [2000, 2000, 750, 2000, 1250]


async def test_the_limit_of_a_database_holds_too(url: str, guarded: Any) -> None:
    import psycopg

    clock = Clock()
    with psycopg.connect(url, autocommit=True) as dba:
        dba.execute("ALTER DATABASE postgres SET statement_timeout = '3s'")
        try:
            async with one_connection(url) as pool:
                remaining(30.0, clock)
                async with timed(pool, guarded, clock).connection() as connection:
                    assert await limit_in_force(connection) == 3000
        finally:
            dba.execute("ALTER DATABASE postgres RESET statement_timeout")


@pytest.mark.parametrize("unit", ["0", "400ms", "999ms", "1s", "1500ms", "1min", "90s", "2h", "3d"])
async def test_the_lower_of_both_holds_in_every_unit_that_postgresql_writes(url: str, guarded: Any, unit: str) -> None:
    """0 is no limit at all."""
    import psycopg

    clock = Clock()
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT (extract(epoch from %s::interval) * 1000)::bigint", ("999d" if unit == "0" else unit,)
        )
        own = row.fetchone()[0]
    async with one_connection(url, kwargs={"options": f"-c statement_timeout={unit}"}) as pool:
        lender = timed(pool, guarded, clock)
        for seconds in (1.0, 80.0, 100_000.0, 1.0):
            remaining(seconds, clock)
            async with lender.connection() as connection:
                row = await (await connection.execute(LIMIT)).fetchone()
            shown = await in_milliseconds(url, row[0])
            assert shown == min(own, int((seconds + 0.25) * 1000))


async def in_milliseconds(url: str, setting: str) -> int:
    import psycopg

    async with await psycopg.AsyncConnection.connect(url) as connection:
        row = await connection.execute("SELECT (extract(epoch from %s::interval) * 1000)::bigint", (setting,))
        return (await row.fetchone())[0]


async def test_inside_a_transaction_a_limit_is_only_ever_lowered(limited: str, guarded: Any) -> None:
    clock = Clock()
    async with one_connection(limited) as pool:
        remaining(30.0, clock)
        async with timed(pool, guarded, clock).connection() as connection:
            await connection.execute("SET LOCAL statement_timeout = '9s'")  # the app's own will
            assert await limit_in_force(connection) == 9000
            clock.now += 28.0
            assert await limit_in_force(connection) == 2250
            clock.now += 1.5
            assert await limit_in_force(connection) == 750


async def test_a_limit_that_is_lowered_while_sessions_live_is_known_within_a_minute(url: str, guarded: Any) -> None:
    """Behind PgBouncer another server's session, with another limit, may come under the same connection."""
    clock = Clock()
    async with one_connection(url) as pool:
        lender = timed(pool, guarded, clock)
        found = []
        for _ in range(3):
            remaining(30.0, clock)
            async with lender.connection() as connection:
                found.append(await limit_in_force(connection))
                await connection.execute("SET SESSION statement_timeout = '1s'")
            clock.now += 61.0
        assert found == [30_250, 1000, 1000]


async def test_fraiseql_s_own_limit_does_not_raise_it_either(limited: str, guarded: Any) -> None:
    from fraiseql.db import DatabaseQuery

    from fraiseql_guard.fraiseql.repository import GuardedRepository

    clock = Clock()
    statement = "SELECT current_setting('statement_timeout') AS limit FROM pg_class LIMIT 1"
    async with one_connection(limited) as pool:
        for own, expected in ((30, "2s"), (1, "1s"), (30, "2s")):
            lender = timed(pool, guarded, clock).of_host(own)
            for seconds in (None, 60.0):  # without a deadline of the guard's, and with one
                work_until(None) if seconds is None else remaining(seconds, clock)
                repository = GuardedRepository(lender, {"query_timeout": own})
                rows = await repository.run(DatabaseQuery(statement=statement, params={}, fetch_result=True))
                assert rows[0]["limit"] == expected


async def test_in_a_pipeline_it_holds_as_well(limited: str, guarded: Any) -> None:
    clock = Clock()
    async with one_connection(limited) as pool:
        remaining(30.0, clock)
        async with timed(pool, guarded, clock).connection() as connection, connection.pipeline():
            assert await limit_in_force(connection) == 2000


async def test_behind_pgbouncer_in_transaction_mode(limited: str, guarded: Any) -> None:
    """Two servers' sessions for six clients: the limit of the role holds, ours stays inside its transaction."""
    from psycopg_pool import AsyncConnectionPool

    with running_pgbouncer(limited) as address:
        url = address.format(user="dba_limited")
        clock = Clock()
        async with AsyncConnectionPool(
            url, open=False, min_size=6, max_size=6, kwargs={"prepare_threshold": None}
        ) as pool:
            await pool.wait()
            lender = timed(pool, guarded, clock)

            async def ask(seconds: float | None) -> int:
                work_until(None) if seconds is None else remaining(seconds, clock)
                async with lender.connection() as connection:
                    return await limit_in_force(connection)

            wanted = [30.0, 0.5, None] * 10
            found = await asyncio.gather(*map(ask, wanted))
        leave()
    assert found == [2000, 750, 2000] * 10

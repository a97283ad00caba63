"""An operator sees what the app's own connections do in PostgreSQL, and can stop it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.processes import needs_fraiseql
from tests.support.waiting import until

pytestmark = needs_fraiseql


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    from examples.fraiseql_blog.database import running_database

    with running_database() as url:
        yield url


async def at_work(url: str, seconds: float = 20) -> tuple[Any, asyncio.Task[Any]]:
    import psycopg

    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    task = asyncio.create_task(connection.execute(f"SELECT pg_sleep({seconds}) FROM tb_user LIMIT 1"))

    async def begun() -> bool:
        state = "SELECT state FROM pg_stat_activity WHERE pid = %s AND query LIKE '%%pg_sleep%%'"
        return await (await looking.execute(state, [connection.info.backend_pid])).fetchone() == ("active",)

    async with await psycopg.AsyncConnection.connect(url, autocommit=True, application_name="looking") as looking:
        await until(begun)
    return connection, task


async def test_a_statement_at_work_is_listed_and_stopped_and_its_connection_lives_on(url: str) -> None:
    from psycopg import errors

    from fraiseql_guard.fraiseql.backends import cancel, running

    connection, task = await at_work(url)
    (backend,) = await running(url)
    assert (backend.pid, backend.state, backend.what) == (connection.info.backend_pid, "active", "select tb_user")
    assert 0 <= backend.seconds < 20
    assert await running(url, at_least_seconds=60) == []
    assert await cancel(url, backend.pid)
    with pytest.raises(errors.QueryCanceled):
        await task
    assert await running(url) == []
    assert (await (await connection.execute("SELECT 1")).fetchone()) == (1,)
    await connection.close()


async def test_what_belongs_to_another_application_is_left_alone(url: str) -> None:
    from fraiseql_guard.fraiseql.backends import cancel, running

    connection, task = await at_work(f"{url}&application_name=reports", 2)
    assert await running(url) == []
    assert not await cancel(url, connection.info.backend_pid)
    assert not await cancel(url, 1)
    await task
    await connection.close()

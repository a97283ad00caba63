"""The code of docs/database.md, run with the real packages on a real PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.processes import needs_fraiseql
from tools.docs import ROOT

pytestmark = needs_fraiseql  # for the PostgreSQL that its example brings

PAGE = (ROOT / "docs" / "database.md").read_text(encoding="utf-8")
TITLES = "SELECT title FROM tb_post LIMIT 2"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    from examples.fraiseql_blog.database import running_database

    with running_database() as url:
        yield url


def block(heading: str, **names: Any) -> dict[str, Any]:
    """What the code under a heading defines."""
    code = re.search(rf"^## {heading}\n.*?```python\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)
    exec(code[1], names)
    return names


async def check(guarded: Any, code: dict[str, Any], url: str, total: int) -> tuple[Any, Any]:
    guard = guarded()
    pool = await code["connect"](guard.guard, url)
    assert len(await code["titles"](guard.guard, pool)) == 2
    assert guard.metric("fraiseql_db_query_duration_seconds_count", query_type="select", table_name="tb_post") == 1
    assert guard.guard.database.pool().total == guard.metric("fraiseql_db_connections_total") == total
    assert guard.guard.database.pool().active == 0
    return guard, pool


async def test_psycopg(guarded: Any, url: str) -> None:
    from psycopg_pool import AsyncConnectionPool

    _, pool = await check(guarded, block("psycopg", AsyncConnectionPool=AsyncConnectionPool), url, 4)
    await pool.close()


async def test_asyncpg(guarded: Any, url: str) -> None:
    import asyncpg

    guard, pool = await check(guarded, block("asyncpg", asyncpg=asyncpg), url, 10)
    async with pool.acquire() as connection:
        assert guard.guard.database.pool().active == 1
        with pytest.raises(TimeoutError):
            await connection.execute("SELECT pg_sleep(20) FROM tb_post", timeout=0.2)
    assert [line["context"]["table_name"] for line in guard.lines("database.query_timeout")] == ["tb_post"]
    await pool.close()


async def test_sqlalchemy(guarded: Any, url: str) -> None:
    from sqlalchemy import event, text
    from sqlalchemy.exc import OperationalError
    from sqlalchemy.ext.asyncio import create_async_engine

    code = block("SQLAlchemy", event=event, text=text, create_async_engine=create_async_engine)
    guard, engine = await check(guarded, code, url, 15)
    async with engine.connect() as connection:
        assert guard.guard.database.pool().active == 1
        await connection.execute(text("SET LOCAL statement_timeout = 200"))
        with pytest.raises(OperationalError):
            await connection.execute(text("SELECT pg_sleep(20) FROM tb_post"))
    assert [line["context"]["table_name"] for line in guard.lines("database.query_timeout")] == ["tb_post"]
    await engine.dispose()

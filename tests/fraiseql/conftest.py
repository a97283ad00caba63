"""A real PostgreSQL, and pools on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from fraiseql_guard.core.request import leave
from tests.support.fraiseql_pool import check_as_fraiseql_does


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    from examples.fraiseql_blog.database import running_database

    with running_database() as url:
        yield url


@pytest.fixture
async def pool(url: str) -> AsyncIterator[Any]:
    from psycopg_pool import AsyncConnectionPool

    async with AsyncConnectionPool(url, open=False, min_size=1, max_size=2) as made:
        yield made


@pytest.fixture
async def checked(url: str) -> AsyncIterator[Any]:
    """One connection, checked before it is given out, as FraiseQL has its pool do."""
    from psycopg_pool import AsyncConnectionPool

    async with AsyncConnectionPool(url, open=False, min_size=1, max_size=1, check=check_as_fraiseql_does) as made:
        await made.wait()
        yield made
    leave()


@pytest.fixture
def timed(pool: Any, guarded: Any) -> Any:
    from fraiseql_guard.fraiseql.pool import TimedPool

    made = TimedPool(pool, guarded().guard.database)
    yield made
    leave()

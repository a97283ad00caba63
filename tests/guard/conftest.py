"""A guard's store: in memory, and on a real Redis of the file's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.redis_server import RedisServer


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
def store(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Options of a guard that counts in its memory, or on an empty Redis."""
    if request.param == "memory":
        return {}
    server: RedisServer = request.getfixturevalue("server")
    server.flush()
    return {"redis_url": server.url, "store_timeout_ms": 5000}

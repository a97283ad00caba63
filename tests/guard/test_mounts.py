"""Rate limits on several routes: each counts on its own where they differ, wherever the counts are kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from fraiseql_guard import RateLimitMiddleware
from fraiseql_guard.core.settings import name_of
from fraiseql_guard.stores.overrides import Override, OverrideKind
from tests.guard.test_fleet import soon
from tests.support.asgi import EchoApp, request
from tests.support.redis_server import RedisServer


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
def store(request: pytest.FixtureRequest) -> dict[str, Any]:
    if request.param == "memory":
        return {}
    server = request.getfixturevalue("redis")
    server.flush()
    return {"redis_url": server.url, "store_timeout_ms": 5000}


async def hello(_: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


def limited(rate: str, **options: Any) -> Middleware:
    return Middleware(RateLimitMiddleware, rate_limit_default=rate, **options)


FILES = {"rate_limit_default": "2/hour", "rate_limit_burst": 2}


def shop(**options: Any) -> Starlette:
    """One app, the routes of which have rates of their own."""
    return Starlette(
        routes=[
            Route("/login", hello, middleware=[limited("2/hour", rate_limit_burst=0, **options)]),
            Route("/search", hello, middleware=[limited("3/hour", rate_limit_burst=0, **options)]),
            Route("/slow", hello, middleware=[limited("2/day", rate_limit_burst=0, **options)]),
            Mount("/files", app=RateLimitMiddleware(EchoApp(), **FILES, **options)),
        ]
    )


async def statuses(app: Any, path: str, count: int) -> list[int]:
    return [(await request(app, "GET", path)).status for _ in range(count)]


@pytest.fixture
async def closed() -> AsyncIterator[list[RateLimitMiddleware]]:
    guards: list[RateLimitMiddleware] = []
    yield guards
    for guard in guards:
        await guard.aclose()


async def test_routes_with_different_rates_count_each_on_its_own(store, closed) -> None:
    app = shop(**store)
    closed += [route.app for route in app.routes]
    assert await statuses(app, "/search", 2) == [200, 200]
    assert await statuses(app, "/login", 3) == [200, 200, 429]
    assert await statuses(app, "/slow", 3) == [200, 200, 429]
    assert await statuses(app, "/files/a", 5) == [200, 200, 200, 200, 429]
    assert await statuses(app, "/search", 2) == [200, 429]


@pytest.mark.redis
async def test_workers_and_hosts_of_one_configuration_count_together(redis, closed) -> None:
    redis.flush()
    options = {"redis_url": redis.url, "store_timeout_ms": 5000, "rate_limit_default": "3/hour", "rate_limit_burst": 0}
    closed += [RateLimitMiddleware(EchoApp(), **options) for _ in range(2)]
    first, second = closed
    assert await statuses(first, "/page", 2) == [200, 200]
    assert await statuses(second, "/page", 2) == [200, 429]


@pytest.mark.redis
async def test_a_rate_that_is_changed_at_run_time_goes_on_in_its_bucket(redis, closed) -> None:
    redis.flush()
    options = {"redis_url": redis.url, "store_timeout_ms": 5000, "rate_limit_burst": 0}
    closed += [RateLimitMiddleware(EchoApp(), rate_limit_default=rate, **options) for rate in ("5/hour", "20/hour")]
    narrow, wide = closed
    assert await statuses(narrow, "/page", 4) == [200] * 4
    assert await statuses(wide, "/page", 15) == [200] * 15
    await narrow._runtime.store.overrides.put(
        Override(OverrideKind.SETTING, name_of("rate_limit_default"), 600, value="6/hour")
    )
    for guard in closed:
        assert await soon(lambda guard=guard: str(guard.settings.rate_limit_default) == "6/hour")
    assert await statuses(narrow, "/page", 3) == [200, 200, 429]  # 4 of 6 were used
    assert await statuses(wide, "/page", 1) == [429]  # and 15 of 20 here: none is left of 6


@pytest.mark.redis
async def test_apps_with_different_namespaces_share_nothing(redis, closed) -> None:
    redis.flush()
    options = {"redis_url": redis.url, "store_timeout_ms": 5000, "rate_limit_default": "2/hour", "rate_limit_burst": 0}
    closed += [RateLimitMiddleware(EchoApp(), namespace=name, **options) for name in ("shop-prod", "shop-test")]
    for guard in closed:
        assert await statuses(guard, "/page", 3) == [200, 200, 429]
    keys = redis.ask("KEYS", "*").split(b"\r\n")
    found = {key.partition(b":")[0] for key in keys if key and key[:1] not in b"*$"}
    assert found == {b"shop-prod", b"shop-test"}

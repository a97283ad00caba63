"""``await guard.reset()`` between two tests of an app: the next one begins as the first did."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from fraiseql_guard import SettingsError
from tests.support.asgi import EchoApp, graphql, request
from tests.support.redis_server import RedisServer
from tests.support.waiting import until

ONCE = {"rate_limit_default": "1/hour", "rate_limit_burst": 0, "store_timeout_ms": 5_000}
"""A busy machine is no outage of Redis."""


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
def store(request) -> dict[str, str]:
    if request.param == "memory":
        return {}
    return {"redis_url": request.getfixturevalue("redis_server").url, "namespace": "my-tests"}


async def test_limits_begin_anew_also_where_refusals_came_from_memory(guarded, store) -> None:
    guard = guarded(**ONCE, **store)
    for _ in range(2):
        replies = [await request(guard, "GET", "/page") for _ in range(60)]
        assert [reply.status for reply in replies] == [200] + [429] * 59
        await guard.guard.reset()
    assert guard.metric("fraiseql_guard_refusals_total", code="RATE_LIMITED") == 118  # what has happened is not undone
    await guard.guard.aclose()


async def test_blocked_callers_are_free_again_and_those_of_operators_are_not(guarded, store) -> None:
    guard = guarded(dos_offences=1, max_query_complexity=1, store_timeout_ms=5_000, **store)
    deep = "{ " + " ".join(f"a{number} {{ b {{ c }} }}" for number in range(19)) + " }"
    await graphql(guard, deep)
    assert (await graphql(guard, "{ a }")).code == "BLOCKED"
    await guard.guard.block_ip("198.51.100.9", 60)
    await guard.heard()
    await guard.guard.reset()
    assert (await graphql(guard, "{ a }")).status == 200
    assert (await graphql(guard, "{ a }", client=("198.51.100.9", 1))).code == "BLOCKED"
    await guard.guard.aclose()


async def test_what_a_cancelled_test_has_left_at_work_counts_no_more(guarded) -> None:
    app = EchoApp(held=True)
    guard = guarded(app, max_in_flight=1)
    left = asyncio.create_task(graphql(guard, "{ a }"))
    await until(lambda: app.at_work)
    assert (await graphql(guard, "{ a }")).code == "CONCURRENCY_LIMIT"
    await guard.guard.reset()
    app.release()
    assert (await graphql(guard, "{ a }")).status == 200
    await left
    assert (await graphql(guard, "{ a }")).status == 200


async def test_the_apps_own_caches_are_left_alone(guarded) -> None:
    guard = guarded()
    cleared: list[int] = []
    guard.guard.observe_cache("theirs", lambda: 1, lambda: cleared.append(1))
    await guard.guard.reset()
    assert not cleared


@pytest.mark.redis
async def test_a_namespace_that_names_no_test_is_left_alone(guarded, redis_server) -> None:
    guard = guarded(**ONCE, redis_url=redis_server.url, namespace="fg-prod")
    await request(guard, "GET", "/page")
    with pytest.raises(SettingsError, match=r"NAMESPACE='fg-prod' may.*NAMESPACE=test.*force"):
        await guard.guard.reset()
    assert (await request(guard, "GET", "/page")).status == 429
    await guard.guard.reset(force=True)
    assert (await request(guard, "GET", "/page")).status == 200
    await guard.guard.aclose()


@pytest.mark.redis
async def test_a_reset_touches_no_other_namespace(guarded, redis_server) -> None:
    mine = guarded(**ONCE, redis_url=redis_server.url, namespace="test-a")
    other = guarded(**ONCE, redis_url=redis_server.url, namespace="test-ab")
    for guard in (mine, other):
        await request(guard, "GET", "/page")
    await mine.guard.reset()
    assert (await request(other, "GET", "/page")).status == 429
    for guard in (mine, other):
        await guard.guard.aclose()

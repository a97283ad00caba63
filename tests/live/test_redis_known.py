"""Requests whose head is cached: whatever becomes of Redis, they are admitted like any other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from fraiseql_guard import RateLimitMiddleware
from fraiseql_guard.asgi.head_cache import CachedHead
from fraiseql_guard.operations.operator.interface import Target
from tests.support.asgi import Reply, request
from tests.support.redis_server import RedisServer
from tests.support.waiting import until

pytestmark = pytest.mark.redis


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def again(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The cached heads with which requests came again."""
    found: list[object] = []
    describe = CachedHead.describe

    def spy(self, scope):
        found.append(self)
        return describe(self, scope)

    monkeypatch.setattr(CachedHead, "describe", spy)
    return found


async def page(guard) -> Reply:
    return await request(guard, "GET", "/page")


async def known(guard, again: list[object]) -> int:
    """Come until one is known; how often that was."""
    times = 0
    while not again:
        assert (await page(guard)).status == 200
        times += 1
    return times


async def test_one_who_is_known_pays_for_every_request(guarded, redis, again) -> None:
    options = {
        "redis_url": redis.url,
        "store_timeout_ms": 10_000,
        "rate_limit_default": "20/hour",
        "rate_limit_burst": 0,
    }
    one, two = (guarded(middleware=RateLimitMiddleware, **options) for _ in range(2))
    replies = [await page(guard) for _ in range(13) for guard in (one, two)]
    assert [reply.status for reply in replies] == [200] * 20 + [429] * 6
    left = [int(reply.header("x-ratelimit-remaining") or 0) for reply in replies[:20]]
    assert left == list(range(19, -1, -1))
    assert len(again) > 10
    for guard in (one, two):
        await guard.guard.aclose()


async def test_a_thousand_at_once_are_admitted_exactly(guarded, redis, again) -> None:
    guard = guarded(
        middleware=RateLimitMiddleware, redis_url=redis.url, store_timeout_ms=10_000, rate_limit_default="300/hour",
        rate_limit_burst=0, rate_limit_abuse_offences=1_000_000,
    )  # fmt: skip
    paid = await known(guard, again)
    replies = await asyncio.gather(*(page(guard) for _ in range(1_000)))
    assert {reply.status for reply in replies} == {200, 429}
    assert 0 <= sum(reply.status == 200 for reply in replies) + paid - 300 <= 1  # one may have come back meanwhile
    await guard.guard.aclose()


async def test_redis_forgets_its_scripts(guarded, redis, again) -> None:
    guard = guarded(middleware=RateLimitMiddleware, redis_url=redis.url, store_timeout_ms=10_000)
    await known(guard, again)
    redis.ask("SCRIPT", "FLUSH")
    assert {(await page(guard)).status for _ in range(3)} == {200}
    assert guard.metric("fraiseql_guard_store_failures_total") == 0
    await guard.guard.aclose()


async def test_redis_is_killed_and_comes_back(guarded, redis, again) -> None:
    guard = guarded(middleware=RateLimitMiddleware, redis_url=redis.url)
    await known(guard, again)
    redis.kill()
    assert {(await page(guard)).status for _ in range(20)} == {200}
    assert guard.guard.runtime.store.breaker_open
    before = len(again)
    redis.restart()
    await until(lambda: not guard.guard.runtime.store.breaker_open)
    assert {(await page(guard)).status for _ in range(3)} == {200}
    assert len(again) >= before + 3
    assert not guard.guard.runtime.store.breaker_open
    assert redis.ask("DBSIZE") != b"0"
    await guard.guard.aclose()


async def test_redis_freezes(guarded, redis, again) -> None:
    guard = guarded(
        middleware=RateLimitMiddleware, redis_url=redis.url, on_store_failure="closed", store_timeout_ms=1_000
    )
    await known(guard, again)
    redis.freeze()
    replies = [await page(guard) for _ in range(8)]
    redis.thaw()
    assert {(reply.status, reply.code) for reply in replies} == {(503, "STORE_UNAVAILABLE")}
    await guard.guard.aclose()


async def test_a_sanction_that_such_a_request_brings_is_in_force_and_listed(guarded, redis, again) -> None:
    guard = guarded(
        middleware=RateLimitMiddleware, redis_url=redis.url, store_timeout_ms=10_000, rate_limit_default="5/hour",
        rate_limit_burst=0, rate_limit_abuse_offences=1,
    )  # fmt: skip
    replies = [await page(guard) for _ in range(6)]
    assert [reply.status for reply in replies] == [200] * 5 + [429]
    assert again
    blocks = await guard.guard.runtime.operator.blocks()
    assert [block.target for block in blocks] == [Target(ip_address="203.0.113.7")]
    await asyncio.sleep(1.1)  # a refusal is remembered for a second at most
    assert (await page(guard)).code == "BLOCKED"
    await guard.guard.aclose()

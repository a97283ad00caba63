"""Guards on one real Redis: what they share, and what their callers notice when it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from fraiseql_guard.testing import make_token
from tests.support.asgi import graphql
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.redis


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def patient(redis: RedisServer) -> dict[str, object]:
    """A guard's options: this machine may be busy, and only the tests of faults are about deadlines."""
    return {"redis_url": redis.url, "store_timeout_ms": 10_000, "max_in_flight": 1_000}


async def test_two_workers_admit_one_capacity_together(guarded, patient) -> None:
    one, two = (guarded(rate_limit_default="50/hour", rate_limit_burst=0, **patient) for _ in range(2))
    replies = await asyncio.gather(*(graphql(guard, "{me{id}}") for _ in range(60) for guard in (one, two)))
    assert sum(reply.status == 200 for reply in replies) == 50
    assert {reply.status for reply in replies} == {200, 429}
    assert all(reply.header("retry-after") for reply in replies if reply.status == 429)
    for guard in (one, two):
        await guard.guard.aclose()


async def test_two_workers_spend_one_cost_budget(guarded, patient) -> None:
    one, two = (guarded(cost_budgets="default=250", **patient) for _ in range(2))
    replies = [await graphql(guard, "{users(limit:100){id}}") for guard in (one, two, one, two)]
    assert [reply.status for reply in replies] == [200, 200, 429, 429]
    assert {reply.code for reply in replies[2:]} == {"COST_BUDGET_EXCEEDED"}
    for guard in (one, two):
        await guard.guard.aclose()


async def test_a_block_that_one_worker_brings_about_binds_the_other(guarded, secret, patient) -> None:
    one, two = (guarded(jwt_secret=secret, **patient) for _ in range(2))
    for _ in range(15):
        assert (await graphql(one, "{me{id}}", token=make_token("x" * 32, sub="a"))).status == 401
    assert (await graphql(two, "{me{id}}", token="a.b.c")).status == 403
    assert (await graphql(two, "{me{id}}", token=make_token(secret, sub="ada"))).status == 200
    assert len(one.lines("security.brute_force_detected") + two.lines("security.brute_force_detected")) == 1
    for guard in (one, two):
        await guard.guard.aclose()


async def test_a_monitoring_worker_binds_no_enforcing_one(guarded, secret, patient) -> None:
    watching = guarded(jwt_secret=secret, mode="monitor", **patient)
    enforcing = guarded(jwt_secret=secret, **patient)
    for _ in range(20):
        await graphql(watching, "{me{id}}", token="a.b.c")
    assert (await graphql(enforcing, "{me{id}}", token="a.b.c")).status == 401
    for guard in (watching, enforcing):
        await guard.guard.aclose()


@pytest.mark.parametrize(
    ("policy", "statuses"),
    [("local", {200, 429}), ("open", {200}), ("closed", {503})],
)
async def test_without_redis_the_stated_policy_decides_and_nobody_gets_a_500(guarded, redis, policy, statuses) -> None:
    guard = guarded(redis_url=redis.url, on_store_failure=policy, rate_limit_default="5/hour", rate_limit_burst=0)
    redis.kill()
    replies = [await graphql(guard, "{me{id}}") for _ in range(12)]
    assert {reply.status for reply in replies} == statuses
    if policy == "local":
        assert [reply.status for reply in replies] == [200] * 5 + [429] * 7
    if policy == "closed":
        assert {(reply.code, reply.header("retry-after")) for reply in replies} == {("STORE_UNAVAILABLE", "1")}
    assert guard.metric("fraiseql_guard_store_failures_total") >= 1
    assert guard.metric("fraiseql_guard_store_fallbacks_total", policy=policy) >= 5
    assert guard.lines("guard.store_failed")
    await guard.guard.aclose()


async def test_when_redis_is_back_it_is_used_again_by_itself(guarded, redis) -> None:
    guard = guarded(redis_url=redis.url, rate_limit_default="1000/hour", store_timeout_ms=500)
    await graphql(guard, "{me{id}}")
    redis.kill()
    for _ in range(6):
        assert (await graphql(guard, "{me{id}}")).status == 200
    assert guard.metric("fraiseql_guard_store_breaker_open") == 1
    redis.restart()
    for _ in range(900):
        assert (await graphql(guard, "{me{id}}")).status == 200
        if guard.lines("guard.store_recovered"):
            break
        await asyncio.sleep(0.05)
    assert guard.metric("fraiseql_guard_store_breaker_open") == 0
    await guard.guard.aclose()


async def test_a_frozen_redis_holds_nobody_beyond_the_deadline(guarded, redis) -> None:
    guard = guarded(redis_url=redis.url, rate_limit_default="1000/hour", max_in_flight=100)
    await graphql(guard, "{me{id}}")
    redis.freeze()
    try:
        async with asyncio.timeout(60):  # frozen for ever: nothing but the deadline ends the wait
            replies = await asyncio.gather(*(graphql(guard, "{me{id}}") for _ in range(50)))
        assert {reply.status for reply in replies} == {200}
    finally:
        redis.thaw()
    await guard.guard.aclose()

"""Overrides of a subject's limits; the same in both stores."""

import math

import pytest

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.token_buckets import Charge, Limit, Rate
from fraiseql_guard.stores import AdmitRequest, MemoryStore, network_bucket
from fraiseql_guard.stores.redis.store import RedisStore
from tests.support.redis_server import RedisServer

ALICE = Subject("user", '["issuer",null,"alice"]')
V6 = Subject("address", "2001:db8:0:1::/64", "2001:db8::/48")
HOURLY = Limit(10, 3600)
OWN = Charge("authenticated", HOURLY)
QUERY = Charge("graphql_query", Limit(3, 3600))
COST = Charge("cost", Limit(1000, 3600), tokens=100, fixed=True)


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def store(request):
    if request.param == "memory":
        yield MemoryStore()
        return
    with RedisServer() as server:
        made = RedisStore(server.url, timeout_seconds=5)
        yield made
        await made.aclose()


async def admitted(store, subject, charges, times: int) -> int:
    return sum([(await store.admit(AdmitRequest(subject, charges))).admitted for _ in range(times)])


@pytest.mark.parametrize("subject", [ALICE, V6])
async def test_an_override_replaces_all_limits_but_the_fixed_and_ends(store, subject) -> None:
    assert await admitted(store, subject, (OWN, QUERY), 5) == 3
    await store.limits.set(subject, Rate.of(6, 3600), 1, 600)
    result = await store.admit(AdmitRequest(subject, (OWN, QUERY, COST)))
    assert [bucket.charge.policy for bucket in result.buckets] == ["override", "cost"]
    own, cost = result.buckets
    assert 590 < (result.override_seconds or 0) <= 600
    assert (own.charge.limit, own.charge.burst, round(own.remaining)) == (Limit(6, 3600), 1, 6)
    assert round(cost.remaining) == 900
    assert await admitted(store, subject, (OWN, QUERY), 10) == 6
    refused = await store.admit(AdmitRequest(subject, (OWN, QUERY)))
    assert 500 < refused.buckets[0].retry_after_seconds <= 600
    assert await store.limits.clear(subject) is True
    assert await store.limits.clear(subject) is False
    assert (await store.admit(AdmitRequest(subject, (OWN,)))).override_seconds is None
    assert await admitted(store, subject, (OWN,), 10) == 6


async def test_an_override_can_be_raised_again_and_begins_full(store) -> None:
    await store.limits.set(ALICE, Rate.of(2, 3600), 0, 600)
    assert await admitted(store, ALICE, (OWN,), 5) == 2
    await store.limits.set(ALICE, Rate.of(4, 3600), 0, 600)
    assert await admitted(store, ALICE, (OWN,), 9) == 4


async def test_an_override_ends_by_itself(store) -> None:
    import asyncio

    await store.limits.set(ALICE, Rate.of(1, 3600), 0, 1)
    assert await admitted(store, ALICE, (OWN,), 3) == 1
    await asyncio.sleep(1.05)
    assert await admitted(store, ALICE, (OWN,), 12) == 10


async def test_an_override_meets_nobody_else(store) -> None:
    await store.limits.set(V6, Rate.of(1, 3600), 0, 600)
    neighbour = Subject("address", "2001:db8:0:2::/64", "2001:db8::/48")
    wide = Charge("default", Limit(50, 3600), bucket=network_bucket("default", "2001:db8::/48"))
    assert await admitted(store, V6, (OWN, wide), 5) == 1
    assert await admitted(store, neighbour, (OWN, wide), 5) == 5


async def test_what_an_override_can_never_hold_is_said(store) -> None:
    await store.limits.set(ALICE, Rate.of(2, 3600), 0, 600)
    result = await store.admit(AdmitRequest(ALICE, (Charge("authenticated", HOURLY, tokens=3),)))
    assert (result.admitted, result.buckets[0].retry_after_seconds) == (False, math.inf)

"""What callers notice when Sentinels make the replica the master."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import pytest
import redis

from fraiseql_guard.core.token_buckets import Charge, Limit
from fraiseql_guard.stores import AdmitRequest, StoreError
from fraiseql_guard.stores.redis.client.deployment import Deployment
from fraiseql_guard.stores.redis.client.sentinel import Sentinels
from fraiseql_guard.stores.redis.store import RedisStore
from tests.support.redis_load import ALICE, ROOM, Watcher, charged, load, open_failover, until_decided
from tests.support.redis_sentinel import MASTER_NAME, RedisSentinels
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.redis

TRIP = AdmitRequest(ALICE, (ROOM,))
Fault = Callable[[RedisSentinels], Awaitable[object]]


async def kill(deployment: RedisSentinels) -> None:
    deployment.master.kill()


async def freeze(deployment: RedisSentinels) -> None:
    deployment.master.freeze()


async def order(deployment: RedisSentinels) -> None:
    """As an operator does before maintenance: the old master lives on as a replica."""
    await asyncio.to_thread(deployment.ask_sentinel, "SENTINEL", "FAILOVER", MASTER_NAME)


async def _until_failed_over(deployment: RedisSentinels) -> None:
    for _ in range(3000):
        if await asyncio.to_thread(deployment.master_port) == deployment.replica.port:
            return
        await asyncio.sleep(0.02)
    pytest.fail("the Sentinel does not fail over")


async def _until_demoted(server: RedisServer) -> None:
    """An old master takes writes, which are lost, until its Sentinel has told it of the new one."""

    def is_replica() -> bool:
        try:
            with redis.Redis.from_url(server.url) as client:
                return client.role()[0] in (b"slave", "slave")
        except redis.ConnectionError:  # at the moment of stepping down it closes all connections
            return False

    for _ in range(3000):
        if await asyncio.to_thread(is_replica):
            return
        await asyncio.sleep(0.02)
    pytest.fail("the old master does not step down")


@pytest.mark.parametrize("fault", [kill, freeze, order], ids=lambda fault: fault.__name__)
async def test_failover_under_load(fault: Fault):
    with RedisSentinels() as deployment:
        async with aclosing(open_failover(deployment.url, Watcher())) as store:
            async with load(store, TRIP) as tally:
                await until_decided(tally)
                await asyncio.sleep(0.3)
                await fault(deployment)
                await _until_failed_over(deployment)
                back = await until_decided(tally)
                await asyncio.sleep(1.5)  # an old master that lives on is left within a second
            gone = await charged(deployment.replica.url)
            async with load(store, TRIP) as later:
                await until_decided(later)
                await asyncio.sleep(0.5)
            gone_later = await charged(deployment.replica.url) - gone
        deployment.master.thaw() if fault is freeze else None
    tally.report(
        f"Sentinel failover ({fault.__name__})",
        f"admitted by Redis {tally.decided}, charged at the new master {gone}, sent {tally.sent}, "
        f"then {gone_later} of exactly {later.decided}; back {back:.2f} s after the failover",
    )
    assert tally.errors == []
    assert set(tally.statuses) == {200}
    assert tally.slowest_seconds < 1  # the deadline is 0.05 s, and a failover takes longer
    assert gone <= tally.sent
    assert later.decided <= gone_later <= later.sent


async def test_passwords_of_redis_and_of_the_sentinels():
    with RedisSentinels(password="for-redis", sentinel_password="for-sentinels") as deployment:
        store = RedisStore(deployment.url, timeout_seconds=2)
        assert (await store.admit(TRIP)).admitted
        assert await store.check() == []
        await store.aclose()
        for wrong in (deployment.url.replace("for-redis", "x"), deployment.url.replace("for-sentinels", "x")):
            store = RedisStore(wrong, timeout_seconds=2)
            with pytest.raises(StoreError) as failure:
                await store.admit(TRIP)
            assert (failure.value.reason, failure.value.opens_breaker) == ("refused", True)
            await store.aclose()


async def test_a_replica_that_is_named_as_the_master_is_not_believed():
    with RedisSentinels() as deployment:
        url = deployment.url
        liar = RedisServer("--sentinel", configuration=f"sentinel monitor {MASTER_NAME} 127.0.0.1 1 1\n")
        server = Deployment.parse(url).server.at("127.0.0.1", deployment.replica.port)
        assert server.must_be_master
        with liar:
            store = RedisStore(f"redis+sentinel://127.0.0.1:{liar.port}/{MASTER_NAME}", timeout_seconds=2)
            liar.ask("SENTINEL", "REMOVE", MASTER_NAME)
            with pytest.raises(StoreError, match="know no master"):
                await store.ping()
            liar.ask("SENTINEL", "MONITOR", MASTER_NAME, "127.0.0.1", deployment.replica.port, 1)
            # A Sentinel follows a replica to its master within ten seconds; until then it names the replica.
            with pytest.raises(StoreError, match="READONLY"):
                await store.ping()
            await store.aclose()


async def test_sentinels_that_are_dead_or_frozen_are_outvoted(monkeypatch: pytest.MonkeyPatch):
    with RedisSentinels(sentinels=3) as deployment:
        place = ("127.0.0.1", deployment.master.port)
        deployment.sentinels[0].freeze()
        async with aclosing(Sentinels(Deployment.parse(deployment.url).seeds, MASTER_NAME)) as sentinels:
            monkeypatch.setattr("fraiseql_guard.stores.redis.client.sentinel.ANSWER_SECONDS", 3600)
            async with asyncio.timeout(60):
                assert await sentinels.find() == place  # two of three agree: the third is not waited for
            monkeypatch.setattr("fraiseql_guard.stores.redis.client.sentinel.ANSWER_SECONDS", 2)
            deployment.sentinels[1].kill()
            assert await sentinels.find() == place
            deployment.sentinels[2].kill()
            with pytest.raises(StoreError, match="no Sentinel answers"):
                await sentinels.find()
        deployment.sentinels[0].thaw()


async def test_a_bucket_survives_an_ordered_failover():
    with RedisSentinels() as deployment:
        store = RedisStore(deployment.url, timeout_seconds=2)
        trip = AdmitRequest(ALICE, (Charge("default", Limit(10, 86_400)),))
        for _ in range(7):
            assert (await store.admit(trip)).admitted
        await order(deployment)
        await _until_failed_over(deployment)
        await _until_demoted(deployment.master)
        admitted = 0
        for _ in range(200):
            try:
                outcome = await store.admit(trip)
            except StoreError:
                await asyncio.sleep(0.05)
                continue
            if not outcome.admitted:
                break
            admitted += 1
        await store.aclose()
    assert admitted == 3

"""What callers notice when a real Redis is killed, frozen, slow, cut off, flushed, full, read-only or locked.

Each test prints its statuses, its slowest request and what was charged against what was sent (pytest -rP shows it).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.token_buckets import Charge, Limit
from fraiseql_guard.stores import AdmitRequest, AdmitResult
from fraiseql_guard.stores.failover import FailoverStore
from fraiseql_guard.stores.redis.store import RedisStore
from tests.support.redis_load import (
    ALICE,
    ROOM,
    Tally,
    Watcher,
    charged,
    load,
    open_failover,
    request,
    until_decided,
)
from tests.support.redis_server import RedisServer
from tests.support.tcp_proxy import TcpProxy
from tests.support.waiting import until

pytestmark = pytest.mark.redis

PATIENCE_SECONDS = 1.0
"""The deadline is 0.05 s; the rest is for a busy machine, and far below every fault's length."""
TRIP = AdmitRequest(ALICE, (ROOM,))


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


@asynccontextmanager
async def under_load(url: str, watcher: Watcher, **options) -> AsyncIterator[tuple[FailoverStore, Tally]]:
    """A store with callers at it that has been answered once."""
    store = open_failover(url, watcher, **options)
    try:
        async with load(store, TRIP) as tally:
            await until_decided(tally)
            yield store, tally
    finally:
        await store.aclose()


def assert_nobody_noticed(tally: Tally) -> None:
    """Under ``open``: no error, no refusal, no wait."""
    assert tally.errors == []
    assert set(tally.statuses) == {200}
    assert tally.slowest_seconds < PATIENCE_SECONDS


async def assert_charged_once(url: str, tally: Tally, fault: str, back_seconds: float) -> None:
    """Everything that Redis admitted was charged, and nothing twice; what gave up waiting may have been charged."""
    gone = await charged(url)
    exact = f"admitted by Redis {tally.decided}, charged {gone}, sent {tally.sent}; back after {back_seconds:.2f} s"
    tally.report(fault, exact)
    assert tally.decided <= gone <= tally.sent


async def test_killed_and_restarted_under_load(redis: RedisServer, watcher: Watcher):
    async with under_load(redis.url, watcher) as (_, tally):
        redis.kill()
        await asyncio.sleep(1.5)
        before = tally.decided
        await asyncio.to_thread(redis.restart)
        back = await until_decided(tally)
        await asyncio.sleep(0.3)
    gone = await charged(redis.url)
    tally.report("kill -9", f"charged since the restart {gone} of {tally.decided - before}; back after {back:.2f} s")
    assert_nobody_noticed(tally)
    assert tally.decided - before <= gone <= tally.sent
    assert watcher.outages


async def test_frozen_for_three_seconds(redis: RedisServer, watcher: Watcher):
    async with under_load(redis.url, watcher) as (store, tally):
        redis.freeze()
        await asyncio.sleep(3)
        await until(lambda: store.breaker_open)
        redis.thaw()
        back = await until_decided(tally)
        await asyncio.sleep(0.3)
    assert_nobody_noticed(tally)
    await assert_charged_once(redis.url, tally, "SIGSTOP for 3 s", back)
    assert "timeout" in watcher.failures


async def test_answers_that_come_200_ms_late(redis: RedisServer, watcher: Watcher):
    async with (
        TcpProxy(redis.port) as proxy,
        under_load(f"redis://127.0.0.1:{proxy.port}/0", watcher) as (store, tally),
    ):
        proxy.delay_seconds = 0.2
        await asyncio.sleep(2)
        await until(lambda: store.breaker_open)
        proxy.delay_seconds = 0.0
        back = await until_decided(tally)
        await asyncio.sleep(0.3)
    assert_nobody_noticed(tally)
    await assert_charged_once(redis.url, tally, "200 ms of delay", back)
    assert "timeout" in watcher.failures


async def test_connections_reset_in_the_middle_of_an_answer(redis: RedisServer, watcher: Watcher):
    """Each caller has a bucket of its own size, so that an answer to another caller would be seen."""
    callers = [
        (Subject("user", f"caller {size}"), Charge("default", Limit(1, 86_400), burst=size * 10_000))
        for size in range(1, 9)
    ]
    mixed_up = 0
    async with TcpProxy(redis.port) as proxy:
        store = open_failover(f"redis://127.0.0.1:{proxy.port}/0", watcher)
        tally, ended = Tally(), asyncio.Event()

        async def call(subject: Subject, charge: Charge) -> None:
            nonlocal mixed_up
            while not ended.is_set():
                outcome = await request(store, tally, AdmitRequest(subject, (charge,)))
                for bucket in getattr(outcome, "buckets", ()):
                    mixed_up += not charge.capacity - 9_000 < bucket.remaining <= charge.capacity
                await asyncio.sleep(0.004)

        watching = asyncio.create_task(tally.pauses.watch())
        tasks = [asyncio.create_task(call(*caller)) for caller in callers]
        await until_decided(tally)
        back = 0.0
        for _ in range(6):
            proxy.cuts = 1
            await asyncio.sleep(0.1)
            back = max(back, await until_decided(tally))
        ended.set()
        await asyncio.gather(*tasks)
        watching.cancel()
        await store.aclose()
    assert_nobody_noticed(tally)
    gone = sum([await charged(redis.url, subject, charge) for subject, charge in callers])
    tally.report("resets inside answers", f"admitted by Redis {tally.decided}, charged {gone}, sent {tally.sent}")
    assert mixed_up == 0
    assert tally.decided <= gone <= tally.sent
    assert "connection" in watcher.failures


async def test_scripts_flushed_under_load(redis: RedisServer, watcher: Watcher):
    async with under_load(redis.url, watcher, timeout_seconds=5) as (_, tally):
        for _ in range(10):
            redis.ask("SCRIPT", "FLUSH")
            await asyncio.sleep(0.1)
        await until_decided(tally)
    assert tally.errors == []
    gone = await charged(redis.url)
    tally.report("SCRIPT FLUSH", f"admitted by Redis {tally.decided}, charged {gone}, sent {tally.sent}")
    assert tally.decided == gone == tally.sent  # none is refused, and nothing is left to the policy
    assert watcher.failures == {}


async def test_a_memory_that_is_full(redis: RedisServer, watcher: Watcher):
    async with under_load(redis.url, watcher) as (store, tally):
        redis.ask("CONFIG", "SET", "maxmemory", 1)
        await asyncio.sleep(1.5)
        await until(lambda: store.breaker_open)
        redis.ask("CONFIG", "SET", "maxmemory", 0)
        back = await until_decided(tally)
        await asyncio.sleep(0.3)
    assert_nobody_noticed(tally)
    await assert_charged_once(redis.url, tally, "maxmemory reached, noeviction", back)
    assert any("OOM" in detail for detail in watcher.details)


async def test_a_replica_that_answers_readonly(redis: RedisServer, watcher: Watcher):
    async with under_load(redis.url, watcher) as (store, tally):
        redis.ask("REPLICAOF", "127.0.0.1", 1)
        await asyncio.sleep(1.5)
        await until(lambda: store.breaker_open)
        redis.ask("REPLICAOF", "NO", "ONE")
        back = await until_decided(tally)
        await asyncio.sleep(0.3)
    assert_nobody_noticed(tally)
    await assert_charged_once(redis.url, tally, "READONLY", back)
    assert any("READONLY" in detail for detail in watcher.details)


@pytest.mark.parametrize("policy", ["local", "open", "closed"])
async def test_a_wrong_password(policy: str, watcher: Watcher):
    with RedisServer("--requirepass", "correct horse") as server:
        store = open_failover(f"redis://:hunter2@127.0.0.1:{server.port}", watcher, policy=policy)
        async with load(store, TRIP) as tally:
            await asyncio.sleep(1.2)
        await store.aclose()
    tally.report(f"wrong password, {policy}", "admitted by Redis 0 of 0")
    assert tally.errors == []
    assert set(tally.statuses) == {503 if policy == "closed" else 200}
    assert tally.slowest_seconds < PATIENCE_SECONDS
    assert "refused" in watcher.failures
    assert not any("hunter2" in detail for detail in watcher.details)


@pytest.mark.parametrize("requests", [256, 1000])
async def test_simultaneous_requests(redis: RedisServer, watcher: Watcher, requests: int):
    charge = Charge("default", Limit(100, 86_400), burst=20)
    store = open_failover(redis.url, watcher, timeout_seconds=5)
    tally = Tally()
    await asyncio.gather(*(request(store, tally, AdmitRequest(ALICE, (charge,))) for _ in range(requests)))
    clients = redis.ask("CLIENT", "LIST").count(b"cmd=") - 1  # but for the one that asks
    await store.aclose()
    tally.report(f"{requests} at once", f"admitted {tally.decided} of exactly {charge.capacity}; {clients} connection")
    assert tally.statuses == {200: charge.capacity, 429: requests - charge.capacity}
    assert await charged(redis.url, charge=charge) == charge.capacity
    assert clients == 1
    assert watcher.failures == {}


async def test_a_rate_is_admitted_to_the_request(redis: RedisServer):
    """100/minute with burst 0 for 36 s admits 160 on the clock of Redis."""
    store = RedisStore(redis.url, timeout_seconds=5)
    trip = AdmitRequest(ALICE, (Charge("default", Limit(100, 60)),))

    async def take() -> tuple[int, float, float]:
        """How many are admitted until one is not, and between which moments."""
        before, count = _time_of(redis), 0
        while (outcomes := [outcome.admitted for outcome in await _at_once(store, trip)]).count(True):
            count += outcomes.count(True)
        return count, before, _time_of(redis)

    admitted, before_first, after_first = await take()
    before = after = after_first
    while before - after_first < 36.0:
        await asyncio.sleep(0.02)
        count, before, after = await take()
        admitted += count
    await store.aclose()
    least, most = (100 + elapsed * 100 / 60 for elapsed in (before - after_first, after - before_first))
    print(f"100/minute for {before - after_first:.2f} s: admitted {admitted} of {least:.1f} to {most:.1f}")
    assert int(least) <= admitted <= most  # only whole requests are admitted


async def _at_once(store: RedisStore, trip: AdmitRequest) -> list[AdmitResult]:
    return await asyncio.gather(*(store.admit(trip) for _ in range(8)))


def _time_of(redis: RedisServer) -> float:
    _, _, seconds, _, micros, _ = redis.ask("TIME").split(b"\r\n")
    return int(seconds) + int(micros) / 1_000_000

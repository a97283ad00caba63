"""What callers notice when a real cluster moves a slot, loses a node or forgets its scripts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Sanction
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.core.token_buckets import Charge, Limit
from fraiseql_guard.stores import AdmitRequest, StoreError
from fraiseql_guard.stores.redis.client.cluster import key_slot
from fraiseql_guard.stores.redis.namespace import Namespace
from fraiseql_guard.stores.redis.store import RedisStore
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_load import ALICE, ROOM, Tally, Watcher, charged, load, open_failover, request, until_decided
from tests.support.redis_server import RedisServer
from tests.support.waiting import until

pytestmark = pytest.mark.redis

SLOT = key_slot(Namespace().of(ALICE))
TRIP = AdmitRequest(ALICE, (ROOM,))


@pytest.fixture
def cluster() -> Iterator[RedisCluster]:
    with RedisCluster() as cluster:
        yield cluster


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


def another_node(cluster: RedisCluster, than: RedisServer) -> RedisServer:
    return next(node for node in cluster.nodes if node is not than)


def subject_on(cluster: RedisCluster, node: RedisServer, name: str = "user") -> Subject:
    """A caller whose keys a node holds."""
    candidates = (Subject("user", f"{name} {number}") for number in range(1000))
    return next(one for one in candidates if cluster.node_of(key_slot(Namespace().of(one))) is node)


async def test_a_slot_moved_under_load(cluster: RedisCluster, watcher: Watcher):
    """Alice's bucket is where it was until it is moved; Bob, of the same slot and new, begins at the new node."""
    store = open_failover(cluster.url, watcher, timeout_seconds=5)
    target = another_node(cluster, cluster.node_of(SLOT))
    async with load(store, TRIP) as tally:
        await until_decided(tally)
        move = cluster.moving(SLOT, target)
        await asyncio.to_thread(move.__enter__)
        await asyncio.sleep(0.5)
        before = tally.decided
        await asyncio.to_thread(move.__exit__, None, None, None)
        back = await until_decided(tally)
        await asyncio.sleep(0.3)
    assert cluster.node_of(SLOT) is target
    await store.aclose()
    gone = await charged(cluster.url)
    tally.report(
        "a slot moved live",
        f"admitted by Redis {tally.decided} ({before} before it had moved), charged {gone}, sent {tally.sent}; "
        f"back after {back:.2f} s",
    )
    assert tally.errors == []
    assert set(tally.statuses) == {200}
    assert tally.decided == gone <= tally.sent
    assert watcher.outages == []  # one slot of 16,384 is no outage


async def test_a_bucket_that_is_moved_keeps_its_count(cluster: RedisCluster):
    charge = Charge("default", Limit(10, 86_400))
    store = RedisStore(cluster.url, timeout_seconds=2)
    for _ in range(4):
        assert (await store.admit(AdmitRequest(ALICE, (charge,)))).admitted
    target = another_node(cluster, cluster.node_of(SLOT))
    with cluster.moving(SLOT, target):
        # What it lacks of Alice's keys may be at either node: neither can tell, and neither takes anything.
        with pytest.raises(StoreError) as failure:
            await store.admit(AdmitRequest(ALICE, (charge,)))
        assert (failure.value.reason, failure.value.opens_breaker) == ("server", False)
    outcomes = [await store.admit(AdmitRequest(ALICE, (charge,))) for _ in range(10)]
    assert sum(outcome.admitted for outcome in outcomes) == 6
    await store.aclose()


async def test_who_is_new_while_a_slot_is_moved_is_answered_by_its_new_node(cluster: RedisCluster):
    store = RedisStore(cluster.url, timeout_seconds=2)
    charge = Charge("default", Limit(10, 86_400))
    target = another_node(cluster, cluster.node_of(SLOT))
    with cluster.moving(SLOT, target):
        cluster.ask(target, "SCRIPT", "FLUSH")  # healed behind an ASK as well
        outcomes = [await store.admit(AdmitRequest(ALICE, (charge,))) for _ in range(8)]
        outcomes += await asyncio.gather(*(store.admit(AdmitRequest(ALICE, (charge,))) for _ in range(8)))
        await store.sanctions.impose(Sanction(ALICE, PolicyName.OPERATOR, 60))
        assert not (await store.admit(AdmitRequest(ALICE))).admitted
        assert await store.sanctions.lift(ALICE) == 1
    assert sum(outcome.admitted for outcome in outcomes) == 10
    assert not (await store.admit(AdmitRequest(ALICE, (charge,)))).admitted
    await store.aclose()


async def test_a_node_killed_and_back(cluster: RedisCluster, watcher: Watcher):
    """Callers of the dead node are left to the policy; those of the others notice nothing at all."""
    dead = cluster.node_of(SLOT)
    bob = subject_on(cluster, another_node(cluster, dead))
    store = open_failover(cluster.url, watcher, timeout_seconds=1)
    async with load(store, TRIP) as hit, load(store, AdmitRequest(bob, (ROOM,))) as spared:
        await until_decided(hit)
        dead.kill()
        await asyncio.sleep(1.5)
        assert not store.breaker_open
        decided, left = spared.decided, spared.sent - spared.decided
        await asyncio.sleep(1)
        assert spared.decided > decided
        others = spared.sent - spared.decided - left
        assert others < spared.decided - decided  # this machine may be busy for a deadline's length
        await asyncio.to_thread(dead.restart)
        back = await until_decided(hit)
    await store.aclose()
    hit.report("a node killed, its callers", f"admitted by Redis {hit.decided}; back after {back:.2f} s")
    gone = await charged(cluster.url, bob)
    spared.report("a node killed, the others'", f"admitted by Redis {spared.decided}, charged {gone}")
    for tally in (hit, spared):
        assert tally.errors == []
        assert set(tally.statuses) == {200}
        assert tally.slowest_seconds < 2.5  # the deadline is 1 s, and the node is away for longer
    assert spared.decided <= gone <= spared.sent


async def test_a_cluster_that_is_down_opens_the_breaker_and_recovers(watcher: Watcher):
    with RedisCluster(full_coverage=True) as cluster:
        dead = another_node(cluster, cluster.node_of(SLOT))
        store = open_failover(cluster.url, watcher, timeout_seconds=0.2)
        async with load(store, TRIP) as tally:
            await until_decided(tally)
            dead.kill()
            await until(lambda: store.breaker_open)
            assert any("CLUSTERDOWN" in detail for detail in watcher.details)
            await asyncio.to_thread(dead.restart)
            back = await until_decided(tally)
        await store.aclose()
        gone = await charged(cluster.url)
        tally.report("CLUSTERDOWN", f"admitted by Redis {tally.decided}, charged {gone}; back after {back:.2f} s")
        assert tally.errors == []
        assert set(tally.statuses) == {200}
        assert tally.decided <= gone <= tally.sent


async def test_one_connection_a_node_and_scripts_that_heal_on_each(cluster: RedisCluster, watcher: Watcher):
    store = open_failover(cluster.url, watcher, timeout_seconds=5)
    people = [subject_on(cluster, node) for node in cluster.nodes]
    charge = Charge("default", Limit(50, 86_400))
    tally = Tally()
    for round_ in range(2):
        trips = [AdmitRequest(person, (charge,)) for person in people for _ in range(100)]
        await asyncio.gather(*(request(store, tally, trip) for trip in trips))
        if round_ == 0:
            assert tally.statuses == {200: 150, 429: 150}
            for node in cluster.nodes:
                cluster.ask(node, "SCRIPT", "FLUSH")
    assert tally.statuses == {200: 150, 429: 450}
    clients = [cluster.ask(node, "CLIENT", "LIST", "TYPE", "normal").count(b"cmd=") - 1 for node in cluster.nodes]
    await store.aclose()
    tally.report("600 at three nodes", f"admitted {tally.decided} of exactly 150; connections {clients}")
    assert clients == [1, 1, 1]
    assert watcher.failures == {}


async def test_sanctions_of_all_nodes_are_listed(cluster: RedisCluster):
    store = RedisStore(cluster.url, timeout_seconds=5)
    people = [subject_on(cluster, node) for node in cluster.nodes]
    for person in people:
        await store.sanctions.impose(Sanction(person, PolicyName.OPERATOR, 60, person.name))
    assert {one.reason for one in await store.sanctions.all()} == {person.name for person in people}
    assert await store.sanctions.lift(people[0]) == 1
    assert len(await store.sanctions.all()) == 2
    for node in cluster.nodes[:2]:
        cluster.ask(node, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    (sentence,) = await store.check()  # once, although two nodes would say it
    assert "allkeys-lru" in sentence
    await store.aclose()

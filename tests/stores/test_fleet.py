"""What workers and operators leave in the store for each other, alike in both stores (stores/fleet.py)."""

from __future__ import annotations

import pytest

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Sanction
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.core.token_buckets import Charge, Limit, Rate
from fraiseql_guard.stores import AdmitRequest, MemoryStore, StoreError
from fraiseql_guard.stores.failover import FailoverStore
from fraiseql_guard.stores.fleet import ACTIONS_SIZE, RECENT_SIZE, MemoryFleet
from fraiseql_guard.stores.overrides import Override, OverrideKind, command
from tests.stores.conftest import Bench, ManualClock, ask
from tests.stores.test_failover import Watcher

ALICE = Subject("user", '["https://issuer",null,"al ice}{"]')
NETWORK = Subject("address", "2001:db8::/64", "2001:db8::/48", (("2001:db8::/48", 16),))


# --- who is alive ----------------------------------------------------------------------------------------------------


async def test_beats_are_seen_until_they_end(bench: Bench):
    assert await bench.store.fleet.beats() == []
    assert await bench.store.fleet.beat("one", b"\x00first", 60) == 1
    assert await bench.store.fleet.beat("two", b"{}", 1) == 2
    assert {beat.worker_id: beat.payload for beat in await bench.store.fleet.beats()} == {
        "one": b"\x00first",
        "two": b"{}",
    }
    await bench.wait(1.05)
    assert [beat.worker_id for beat in await bench.store.fleet.beats()] == ["one"]
    assert await bench.store.fleet.beat("one", b"second", 60) == 1
    assert [beat.payload for beat in await bench.store.fleet.beats()] == [b"second"]


async def test_a_worker_can_leave(bench: Bench):
    await bench.store.fleet.beat("one", b"", 60)
    await bench.store.fleet.beat("two", b"", 60)
    assert await bench.store.fleet.beat("two", b"", 0) == 1
    assert await bench.store.fleet.beat("two", b"", 0) == 1
    assert [beat.worker_id for beat in await bench.store.fleet.beats()] == ["one"]


async def test_a_large_beat_is_no_trouble(bench: Bench):
    payload = b"x" * 16_384
    for number in range(20):
        await bench.store.fleet.beat(f"worker {number}", payload, 60)
    assert [len(beat.payload) for beat in await bench.store.fleet.beats()] == [16_384] * 20


# --- rings -----------------------------------------------------------------------------------------------------------


async def test_the_newest_refusals_come_first_and_the_ring_is_bounded(bench: Bench):
    assert await bench.store.fleet.recent(10) == []
    await bench.store.fleet.remember([])
    await bench.store.fleet.remember([b"1", b"\xff2"])
    await bench.store.fleet.remember([b"3"])
    assert list(await bench.store.fleet.recent(10)) == [b"3", b"\xff2", b"1"]
    assert list(await bench.store.fleet.recent(1)) == [b"3"]
    assert list(await bench.store.fleet.recent(0)) == []
    await bench.store.fleet.remember([b"%d" % number for number in range(RECENT_SIZE + 5)])
    found = await bench.store.fleet.recent(RECENT_SIZE * 2)
    assert (len(found), found[0], found[-1]) == (RECENT_SIZE, b"%d" % (RECENT_SIZE + 4), b"5")


async def test_the_ring_of_actions_is_another_one(bench: Bench):
    for number in range(ACTIONS_SIZE + 5):
        await bench.store.fleet.record_action(b"%d" % number)
    found = await bench.store.fleet.actions(ACTIONS_SIZE * 2)
    assert (len(found), found[0], found[-1]) == (ACTIONS_SIZE, b"%d" % (ACTIONS_SIZE + 4), b"5")
    assert await bench.store.fleet.recent(10) == []


# --- switches --------------------------------------------------------------------------------------------------------


async def test_entries_carry_values_and_commands_differ(bench: Bench):
    await bench.store.overrides.put(Override(OverrideKind.MODE, "all", 60, "an incident", "alice", "monitor"))
    await bench.store.overrides.put(Override(OverrideKind.SETTING, "A_VARIABLE", 60, value='a "value":\n[]'))
    await bench.store.overrides.put(Override(OverrideKind.DOCUMENT, "ab" * 32, 60))
    await bench.store.overrides.put(command("gc", actor="bob"))
    first = await bench.store.overrides.read(0)
    assert first is not None
    said = {(each.kind, each.key): each for each in first.entries}
    mode = said[OverrideKind.MODE, "all"]
    assert (mode.value, mode.reason, mode.actor, mode.id) == ("monitor", "an incident", "alice", "")
    assert said[OverrideKind.SETTING, "A_VARIABLE"].value == 'a "value":\n[]'
    assert said[OverrideKind.DOCUMENT, "ab" * 32].value == ""
    assert said[OverrideKind.COMMAND, "gc"].id
    await bench.store.overrides.put(command("gc"))
    second = await bench.store.overrides.read(first.version)
    assert second is not None
    (again,) = second.of(OverrideKind.COMMAND)
    assert again.id != said[OverrideKind.COMMAND, "gc"].id


# --- limits and sanctions as an operator sees them -------------------------------------------------------------------


async def test_limits_in_force_are_listed_with_their_actor(bench: Bench):
    assert await bench.store.limits.all() == []
    await bench.store.limits.set(ALICE, Rate.of(5, 60), 2, 600, actor="bob the builder")
    await bench.store.limits.set(NETWORK, Rate.of(7, 1), 0, 600)
    found = {held.subject.name: held for held in await bench.store.limits.all()}
    alice, network = found[ALICE.name], found[NETWORK.name]
    assert (alice.rate, alice.burst, alice.actor) == (Rate.of(5, 60), 2, "bob the builder")
    assert 590 < alice.expires_in_seconds <= 600
    assert (network.rate, network.actor, network.subject.group) == (Rate.of(7, 1), "", "2001:db8::/48")
    result = await bench.store.admit(AdmitRequest(ALICE, (Charge("default", Limit(100, 60)),)))
    assert result.buckets[0].charge.limit == Limit(5, 60)
    assert await bench.store.limits.clear(ALICE) is True
    assert [held.subject.name for held in await bench.store.limits.all()] == [NETWORK.name]


async def test_a_limit_that_has_ended_is_not_listed(bench: Bench):
    await bench.store.limits.set(ALICE, Rate.of(5, 60), 2, 0.1)
    await bench.wait(0.2)
    assert await bench.store.limits.all() == []


async def test_a_sanction_knows_who_imposed_it(bench: Bench):
    await bench.store.sanctions.impose(Sanction(ALICE, PolicyName.OPERATOR, 60, "a \x1f reason", "bob"))
    await bench.store.sanctions.impose(Sanction(NETWORK, PolicyName.OPERATOR, 60, "without an actor"))
    found = {each.subject.name: each for each in await bench.store.sanctions.all()}
    assert found[ALICE.name].actor == "bob"
    assert found[ALICE.name].reason.startswith("a ")
    assert (found[NETWORK.name].reason, found[NETWORK.name].actor) == ("without an actor", "")
    result = await bench.store.admit(AdmitRequest(ALICE))
    assert result.sanction is not None
    assert result.sanction.actor == "bob"


# --- behind the breaker ----------------------------------------------------------------------------------------------


class DeafFleet(MemoryFleet):
    """Hears beats until it does not."""

    deaf = False

    async def beat(self, worker_id: str, payload: bytes, ttl_seconds: float) -> int:
        if self.deaf:
            raise StoreError("connection", "deaf")
        return await super().beat(worker_id, payload, ttl_seconds)


class Deaf(MemoryStore):
    """A store that hears nothing but beats."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock=clock)
        self.fleet: DeafFleet = DeafFleet(clock)

    async def admit(self, request: AdmitRequest):
        raise StoreError("connection", "deaf")


async def test_without_the_store_the_limit_is_divided_by_the_workers_that_were_last_seen(clock: ManualClock):
    primary = Deaf(clock)
    store = FailoverStore(primary, settings=Settings.load({}, workers=50), observer=Watcher(), clock=clock)
    request = AdmitRequest(ALICE, (Charge("default", Limit(100, 60)),))
    assert (await store.admit(request)).buckets[0].charge.limit == Limit(2, 60)
    for number in range(4):
        assert await store.fleet.beat(f"worker {number}", b"", 5) == number + 1
    for number in range(1, 4):
        await primary.fleet.beat(f"worker {number}", b"", 0)
    await store.fleet.beat("worker 0", b"", 5)  # a Redis that lost everything would say the same for a moment
    primary.fleet.deaf = True
    with pytest.raises(StoreError):
        await store.fleet.beat("worker 0", b"", 5)
    assert (await store.admit(request)).buckets[0].charge.limit == Limit(25, 60)
    primary.fleet.deaf = False
    for _ in range(5):
        await store.fleet.beat("worker 0", b"", 5)
    assert (await store.admit(request)).buckets[0].charge.limit == Limit(100, 60)
    await store.aclose()


@pytest.mark.redis
async def test_an_older_entry_is_read(redis_store):
    await redis_store.overrides.put(Override(OverrideKind.BLOCK, "192.0.2.1", 60, "why", "who"))
    control = await redis_store.overrides.read(0)
    assert [(each.reason, each.actor, each.value, each.id) for each in control.entries] == [("why", "who", "", "")]
    # exactly what an older version wrote, and can read
    raw = await ask(redis_store, "HGET", "fg:{control}", "block:192.0.2.1")
    assert raw.partition(b" ")[2] == b'["why", "who"]'

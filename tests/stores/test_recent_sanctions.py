"""Processes with live connections hear once of each sanction that was imposed since they looked last."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Escalation, Sanction
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.core.token_buckets import Charge, Limit
from fraiseql_guard.stores import AdmitRequest, MemoryStore, Store, StoreError
from fraiseql_guard.stores.overrides import Override, OverrideKind, Overrides
from fraiseql_guard.stores.overrides_watch import OverridesWatch
from fraiseql_guard.stores.recent_sanctions import MOST_RECENT, RECENT_SECONDS, RecentSanction
from fraiseql_guard.stores.redis.store import RedisStore
from tests.stores.conftest import Bench, ManualClock, ask
from tests.stores.test_model import BEGINNING, ClockedStore
from tests.support.properties import examples
from tests.support.redis_server import RedisServer

ALICE = Subject("user", "alice")
NETWORK = Subject("address", "2001:db8:0:1::/64", "2001:db8::/48")
LOGIN = Subject("login", "alice@example.org")
SUBJECTS = (ALICE, NETWORK, Subject("address", "192.0.2.7"), LOGIN)
AT_ONCE = Escalation(PolicyName.DOS, offences=1, window_seconds=60, sanction_seconds=30)
WATCHED = Escalation(PolicyName.DOS, offences=1, window_seconds=60, sanction_seconds=30, enforced=False)
LOOK = "look"
PAUSES = st.sampled_from([0.5, 29.5, 30.5, RECENT_SECONDS])

IMPOSED = st.builds(Sanction, st.sampled_from(SUBJECTS), st.sampled_from(PolicyName), st.sampled_from([5.0, 500.0]))
OFFENCES = st.builds(AdmitRequest, st.sampled_from(SUBJECTS), offence=st.sampled_from([AT_ONCE, WATCHED]))
SCRIPTS = st.lists(IMPOSED | OFFENCES | PAUSES | st.just(LOOK), min_size=6, max_size=25)


class Model:
    """What the contract says: it keeps every sanction, and when it was imposed."""

    def __init__(self) -> None:
        self.now = 0.0
        self.last: dict[RecentSanction, float] = {}
        self.looked_at = 0.0

    def impose(self, sanction: Sanction) -> None:
        subject = sanction.subject
        if subject.kind != "login":
            self.last[RecentSanction(sanction.policy, subject.tag, subject.member)] = self.now

    def look(self) -> set[RecentSanction]:
        since, self.looked_at = max(self.looked_at, self.now - RECENT_SECONDS), self.now
        return {each for each, when in self.last.items() if when > since}


async def compare(store: Store, script: list[object], advance: Callable[[float], Awaitable[None]]) -> None:
    model, at = Model(), (await store.overrides.look(0, -1)).at
    for step in script:
        model.now += 0.25
        await advance(0.25)
        if isinstance(step, float):
            model.now += step
            await advance(step)
        elif isinstance(step, Sanction):
            model.impose(step)
            await store.sanctions.impose(step)
        elif isinstance(step, AdmitRequest):
            imposed = (await store.admit(step)).imposed
            if imposed is not None and imposed.escalation.enforced:
                model.impose(imposed.sanction)
        else:
            look = await store.overrides.look(0, at)
            at = look.at
            assert set(look.sanctioned) == model.look()
            assert len(look.sanctioned) == len(set(look.sanctioned))


@examples(300)
@given(SCRIPTS)
def test_memory_agrees_with_the_model(script: list[object]) -> None:
    clock = ManualClock()

    async def advance(seconds: float) -> None:
        clock.advance(seconds)

    asyncio.run(compare(MemoryStore(clock=clock), script, advance))


@pytest.mark.redis
@examples(100, allow=[HealthCheck.function_scoped_fixture])
@given(script=SCRIPTS)
def test_redis_agrees_with_the_model(redis_session: RedisServer, script: list[object]) -> None:
    async def run() -> None:
        async with aclosing(ClockedStore(redis_session.url)) as store:
            await ask(store, "FLUSHALL")
            await store.advance(BEGINNING)
            await compare(store, script, store.advance)

    asyncio.run(run())


async def test_one_exchange_tells_of_sanctions_and_of_overrides(bench: Bench) -> None:
    first = await bench.store.overrides.look(0, -1_000_000)
    assert (first.changed, first.sanctioned) == (None, ())
    await bench.wait(0.01)
    await bench.store.sanctions.impose(Sanction(ALICE, PolicyName.OPERATOR, 60))
    await bench.store.overrides.put(Override(OverrideKind.BLOCK, "192.0.2.0/24", 60))
    look = await bench.store.overrides.look(0, first.at)
    assert look.changed is not None
    assert [each.key for each in look.changed.entries] == ["192.0.2.0/24"]
    assert look.sanctioned == (RecentSanction(PolicyName.OPERATOR, ALICE.tag),)
    again = await bench.store.overrides.look(look.changed.version, look.at)
    assert (again.changed, again.sanctioned) == (None, ())


async def test_a_network_of_a_group_is_told_apart_from_the_group(bench: Bench) -> None:
    await bench.store.sanctions.impose(Sanction(NETWORK, PolicyName.DOS, 60))
    (found,) = (await bench.store.overrides.look(0, -60_000_000)).sanctioned
    assert (found.tag, found.member) == (NETWORK.tag, NETWORK.member)
    assert found.member
    await bench.store.sanctions.impose(Sanction(Subject("address", NETWORK.group, NETWORK.group), PolicyName.DOS, 60))
    told = (await bench.store.overrides.look(0, -60_000_000)).sanctioned
    assert {(each.tag, each.member) for each in told} == {(NETWORK.tag, NETWORK.member), (NETWORK.tag, "")}


async def test_a_flood_of_sanctions_keeps_the_last_thousand(bench: Bench) -> None:
    for number in range(MOST_RECENT + 70):
        await bench.store.sanctions.impose(Sanction(Subject("user", f"u{number}"), PolicyName.DOS, 60))
    told = (await bench.store.overrides.look(0, -60_000_000)).sanctioned
    assert len(told) == MOST_RECENT
    assert Subject("user", f"u{MOST_RECENT + 69}").tag in {each.tag for each in told}
    assert Subject("user", "u0").tag not in {each.tag for each in told}


@pytest.mark.redis
async def test_a_key_of_other_software_keeps_no_override_from_being_read(redis_store: RedisStore) -> None:
    await redis_store.overrides.put(Override(OverrideKind.BLOCK, "192.0.2.0/24", 60))
    await ask(redis_store, "SET", "fg:{control}:recent", "nonsense")
    look = await redis_store.overrides.look(0, -1_000_000)
    assert look.changed is not None
    assert look.sanctioned == ()
    # It is taken back with the next sanction, and what other software adds to ours is left out.
    await redis_store.sanctions.impose(Sanction(ALICE, PolicyName.DOS, 60))
    for member in ("nonsense", "dos", "curfew a b", "x" * 100_000):
        await ask(redis_store, "ZADD", "fg:{control}:recent", 9 * 10**15, member)
    look = await redis_store.overrides.look(0, -1_000_000)
    assert look.sanctioned == (RecentSanction(PolicyName.DOS, ALICE.tag),)


@pytest.mark.redis
async def test_what_is_told_ends_by_itself(redis_store: RedisStore) -> None:
    await redis_store.sanctions.impose(Sanction(ALICE, PolicyName.DOS, 3600))
    left = await ask(redis_store, "PTTL", "fg:{control}:recent")
    assert isinstance(left, int)
    assert 50_000 < left <= 60_000


# --- the watch -------------------------------------------------------------------------------------------------------


class Heeding:
    """A process that has live connections, or none."""

    def __init__(self) -> None:
        self.lives = True
        self.heard: list[RecentSanction] = []

    def wanted(self) -> bool:
        return self.lives

    def sanctioned(self, recent: tuple[RecentSanction, ...]) -> None:
        self.heard += recent


def watching(store: Store, clock: Callable[[], float]) -> tuple[OverridesWatch, Heeding, list[Overrides]]:
    seen: list[Overrides] = []
    watch, heeding = OverridesWatch(store.overrides, on_change=seen.append, clock=clock), Heeding()
    watch.heed = heeding
    return watch, heeding, seen


async def test_a_watch_hears_of_each_sanction_once() -> None:
    clock = ManualClock()
    store = MemoryStore(clock=clock)
    watch, heeding, seen = watching(store, clock)
    await watch.refresh()
    await store.sanctions.impose(Sanction(ALICE, PolicyName.DOS, 60))
    await store.overrides.put(Override(OverrideKind.BLOCK, "192.0.2.0/24", 60))
    for _ in range(3):
        clock.advance(0.5)
        await watch.refresh()
    assert heeding.heard == [RecentSanction(PolicyName.DOS, ALICE.tag)]
    assert [len(each.entries) for each in seen] == [0, 1]


async def test_what_came_to_life_after_the_last_look_hears_of_a_sanction_before_the_next() -> None:
    clock = ManualClock()
    store = MemoryStore(clock=clock)
    watch, heeding, _ = watching(store, clock)
    heeding.lives = False
    await store.sanctions.impose(Sanction(Subject("user", "long ago"), PolicyName.DOS, 60))
    clock.advance(10)
    await watch.refresh()
    heeding.lives = True
    await store.sanctions.impose(Sanction(ALICE, PolicyName.DOS, 60))
    clock.advance(0.5)
    await watch.refresh()
    assert heeding.heard == [RecentSanction(PolicyName.DOS, ALICE.tag)]


class Silent:
    """A store that answers when it is told to."""

    def __init__(self, store: Store) -> None:
        self.silent = False
        self._overrides = store.overrides

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        async def ask_or_fail(*arguments: object) -> object:
            if self.silent:
                raise StoreError("timeout", "no answer")
            return await getattr(self._overrides, name)(*arguments)

        return ask_or_fail


async def test_after_an_outage_a_watch_hears_of_what_was_imposed_meanwhile() -> None:
    clock = ManualClock()
    store = MemoryStore(clock=clock)
    silent, heeding = Silent(store), Heeding()
    watch = OverridesWatch(silent, on_change=lambda _: None, clock=clock)
    watch.heed = heeding
    await watch.refresh()
    silent.silent = True
    await store.sanctions.impose(Sanction(ALICE, PolicyName.DOS, 60))
    for _ in range(20):
        clock.advance(0.5)
        await watch.refresh()
    silent.silent = False
    await watch.refresh()
    assert heeding.heard == [RecentSanction(PolicyName.DOS, ALICE.tag)]


@pytest.mark.redis
async def test_where_nothing_lives_a_look_asks_no_more_than_before(redis_store: RedisStore) -> None:
    watch, heeding, _ = watching(redis_store, asyncio.get_running_loop().time)
    heeding.lives = False
    await watch.refresh()
    await ask(redis_store, "CONFIG", "RESETSTAT")
    await watch.refresh()
    assert b"cmdstat_zrangebyscore" not in await ask(redis_store, "INFO", "commandstats")  # type: ignore[operator]
    heeding.lives = True
    await ask(redis_store, "CONFIG", "RESETSTAT")
    await watch.refresh()
    assert b"cmdstat_evalsha:calls=1," in await ask(redis_store, "INFO", "commandstats")  # type: ignore[operator]


async def test_a_limit_that_is_exceeded_again_and_again_is_told_like_an_operators_block(bench: Bench) -> None:
    abuse = Escalation(PolicyName.RATE_LIMIT_ABUSE, offences=1, window_seconds=60, sanction_seconds=60)
    charge = Charge("default", Limit(1, 3600))
    for _ in range(2):
        await bench.store.admit(AdmitRequest(ALICE, (charge,), abuse=abuse))
    told = (await bench.store.overrides.look(0, -60_000_000)).sanctioned
    assert told == (RecentSanction(PolicyName.RATE_LIMIT_ABUSE, ALICE.tag),)

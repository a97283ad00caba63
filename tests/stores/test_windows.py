"""Rates of several windows: a request takes from the buckets of all or of none, the same in every store."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.token_buckets import Burst, Charge, Limit, Rate, charges_of, network_bucket
from fraiseql_guard.stores import AdmitRequest, MemoryStore, Store
from fraiseql_guard.stores.local_share import LocalShare
from fraiseql_guard.stores.protocol import AdmitResult
from fraiseql_guard.stores.redis.store import RedisStore
from fraiseql_guard.stores.refusals import Refusals
from tests.stores.conftest import Bench, ManualClock, ask
from tests.stores.test_model import BEGINNING, ClockedStore
from tests.support.properties import examples
from tests.support.redis_server import RedisServer

ALICE = Subject("user", '["issuer",null,"alice"]')
V6 = Subject("address", "2001:db8:0:1::/64", "2001:db8::/48")
NEIGHBOUR = Subject("address", "2001:db8:0:2::/64", "2001:db8::/48")
TWO = Rate((Limit(5, 3600), Limit(8, 86_400)))
THREE = Rate((Limit(5, 3600), Limit(8, 86_400), Limit(9, 604_800)))
NO_BURST = Burst()


def own(rate: Rate, *, tokens: int = 1, burst: Burst = NO_BURST) -> tuple[Charge, ...]:
    return tuple(replace(charge, tokens=tokens) for charge in charges_of(rate, "default", burst))


async def admitted(store: Store, subject: Subject, charges: Sequence[Charge], times: int) -> int:
    return sum([(await store.admit(AdmitRequest(subject, tuple(charges)))).admitted for _ in range(times)])


def left(result: AdmitResult) -> list[int]:
    return [round(bucket.remaining) for bucket in result.buckets]


@pytest.mark.parametrize("rate", [TWO, THREE], ids=str)
@pytest.mark.parametrize("subject", [ALICE, V6], ids=lambda subject: subject.kind)
async def test_a_request_takes_from_every_window_or_from_none(bench: Bench, rate: Rate, subject: Subject) -> None:
    taken = await bench.store.admit(AdmitRequest(subject, own(rate, tokens=4)))
    assert (taken.admitted, left(taken)) == (True, [1, 4, 5][: len(rate.limits)])
    refused = await bench.store.admit(AdmitRequest(subject, own(rate, tokens=2)))
    assert (refused.admitted, left(refused)) == (False, [1, 4, 5][: len(rate.limits)])
    waits = [bucket.retry_after_seconds for bucket in refused.buckets]
    assert waits[0] == pytest.approx(720, abs=5)
    assert waits[1:] == [0] * (len(rate.limits) - 1)
    assert (await bench.store.admit(AdmitRequest(subject, own(rate)))).admitted


async def test_the_longest_window_refuses_when_the_others_are_full(bench: Bench) -> None:
    rate = Rate((Limit(50, 1), Limit(60, 30), Limit(10, 86_400)))
    assert await admitted(bench.store, ALICE, own(rate), 15) == 10
    refused = await bench.store.admit(AdmitRequest(ALICE, own(rate)))
    assert refused.buckets[-1].retry_after_seconds == pytest.approx(8640, abs=20)
    assert [bucket.charge.policy for bucket in refused.buckets] == ["default", "default-30s", "default-day"]


async def test_the_burst_belongs_to_the_shortest_window(bench: Bench) -> None:
    charges = own(TWO, burst=Burst(percent=40))
    assert [charge.capacity for charge in charges] == [7, 8]
    assert await admitted(bench.store, ALICE, charges, 20) == 7


async def test_a_network_has_every_window_as_well(bench: Bench) -> None:
    charges = own(TWO)
    wide = [
        replace(each, limit=each.limit.times(2), bucket=network_bucket(each.key, "2001:db8::/48")) for each in charges
    ]
    assert await admitted(bench.store, V6, (*charges, *wide), 9) == 5
    assert await admitted(bench.store, NEIGHBOUR, (*charges, *wide), 9) == 5
    # The network's hour is used up, and what it refuses takes nothing from the addresses' own days.
    third = Subject("address", "2001:db8:0:3::/64", "2001:db8::/48")
    refused = await bench.store.admit(AdmitRequest(third, (*charges, *wide)))
    assert (refused.admitted, left(refused)) == (False, [5, 8, 0, 6])


async def test_what_one_window_can_never_hold_is_said(bench: Bench) -> None:
    rate = Rate((Limit(20, 60), Limit(3, 86_400)))
    refused = await bench.store.admit(AdmitRequest(ALICE, own(rate, tokens=4)))
    assert [bucket.retry_after_seconds for bucket in refused.buckets] == [0, math.inf]
    assert await admitted(bench.store, ALICE, own(rate), 5) == 3


@pytest.mark.parametrize("subject", [ALICE, V6], ids=lambda subject: subject.kind)
async def test_an_override_of_several_windows(bench: Bench, subject: Subject) -> None:
    fixed = Charge("cost", Limit(1000, 3600), tokens=100, fixed=True)
    wanted = Rate((Limit(3, 3600), Limit(4, 86_400), Limit(90, 604_800)))
    await bench.store.limits.set(subject, wanted, 2, 600, actor="bob the builder")
    held = await bench.store.limits.of(subject)
    assert held is not None
    assert (held.rate, held.burst, held.actor) == (wanted, 2, "bob the builder")
    assert [each.rate for each in await bench.store.limits.all()] == [wanted]
    result = await bench.store.admit(AdmitRequest(subject, (*own(TWO, tokens=2), fixed)))
    policies = [bucket.charge.policy for bucket in result.buckets]
    assert policies == ["override", "override-day", "override-week", "cost"]
    assert left(result) == [3, 2, 88, 900]
    assert 590 < (result.override_seconds or 0) <= 600
    assert await admitted(bench.store, subject, own(TWO), 5) == 2
    # Set once more, all of its windows are full again.
    await bench.store.limits.set(subject, wanted, 2, 600)
    assert await admitted(bench.store, subject, own(TWO), 9) == 4
    assert await bench.store.limits.clear(subject) is True
    assert await admitted(bench.store, subject, own(TWO), 9) == 5


WITHOUT_NUMBERS = "bob", "", "\x1f9/60", "7 8", "\x1f"


@pytest.mark.redis
@pytest.mark.parametrize("actor", WITHOUT_NUMBERS)
async def test_overrides_of_older_versions_are_read(redis_store: RedisStore, actor: str) -> None:
    key = redis_store.keys.names.override_of(ALICE)
    await redis_store.limits.set(ALICE, Rate.of(2, 3600), 1, 600, actor=actor)
    assert (
        await ask(redis_store, "GET", key)
        == f"2 3600 1 {actor}".replace("\x1f", " ").rstrip(" " * (not actor)).encode()
    )
    held = await redis_store.limits.of(ALICE)
    assert held is not None
    assert (held.rate, held.burst) == (Rate.of(2, 3600), 1)
    assert await admitted(redis_store, ALICE, own(TWO), 9) == 3


@pytest.mark.redis
async def test_older_versions_read_the_shortest_window_of_an_override(redis_store: RedisStore) -> None:
    await redis_store.limits.set(ALICE, TWO, 1, 600, actor="bob")
    kept = await ask(redis_store, "GET", redis_store.keys.names.override_of(ALICE))
    assert isinstance(kept, bytes)
    assert kept.split(b" ")[:3] == [b"5", b"3600", b"1"]


@pytest.mark.redis
@pytest.mark.parametrize("kept", ["5 60 2 \x1f7/60", "5 60 2 \x1f7/30 bob", "5 60 2 \x1f7/60\x1f8/60"])
async def test_an_override_that_no_version_writes_is_removed(redis_store: RedisStore, kept: str) -> None:
    await ask(redis_store, "SET", redis_store.keys.names.override_of(ALICE), kept, "EX", 600)
    assert await redis_store.limits.of(ALICE) is None
    assert (await redis_store.admit(AdmitRequest(ALICE, own(TWO)))).buckets[0].charge.policy == "default"


@pytest.mark.redis
async def test_a_bucket_of_an_override_that_other_software_has_written_is_removed(redis_store: RedisStore) -> None:
    await redis_store.limits.set(ALICE, TWO, 0, 600)
    await redis_store.admit(AdmitRequest(ALICE, own(TWO)))
    (key,) = await ask(redis_store, "KEYS", "*override/86400")
    await ask(redis_store, "DEL", key)
    await ask(redis_store, "RPUSH", key, "not", "ours")
    assert (await redis_store.admit(AdmitRequest(ALICE, own(TWO)))).admitted


# Without the store


async def test_a_worker_alone_has_its_share_of_every_window(clock: ManualClock) -> None:
    share = LocalShare(Settings.load({}), clock=clock, workers=2)
    rate = Rate((Limit(10, 60), Limit(14, 3600)))
    results = [await share.admit(AdmitRequest(ALICE, own(rate))) for _ in range(9)]
    assert [result.admitted for result in results] == [True] * 5 + [False] * 4
    clock.advance(60)
    later = [await share.admit(AdmitRequest(ALICE, own(rate))) for _ in range(9)]
    assert sum(result.admitted for result in later) == 2


@pytest.mark.parametrize("workers", [2, 60, 1000])
async def test_a_worker_alone_has_its_share_of_an_override(clock: ManualClock, workers: int) -> None:
    share = LocalShare(Settings.load({}), clock=clock, workers=workers)
    wanted = Rate((Limit(1, 60), Limit(60, 3600), Limit(100, 86_400)))
    await share.limit_set(None, ALICE, wanted, 0, 600)
    result = await share.admit(AdmitRequest(ALICE, own(TWO)))
    assert result.admitted
    assert all(bucket.charge.policy.startswith("override") for bucket in result.buckets)
    assert not (await share.admit(AdmitRequest(ALICE, own(TWO)))).admitted


async def test_a_worker_alone_keeps_all_windows_of_an_override_that_it_has_met(clock: ManualClock) -> None:
    store, share = MemoryStore(clock=clock), LocalShare(Settings.load({}), clock=clock, workers=2)
    await store.limits.set(ALICE, Rate((Limit(20, 60), Limit(6, 3600))), 0, 600)
    request = AdmitRequest(ALICE, own(TWO))
    share.learn(request, await store.admit(request))
    assert sum([(await share.admit(request)).admitted for _ in range(9)]) == 3


async def test_a_remembered_refusal_tells_the_longest_wait(clock: ManualClock) -> None:
    store, refusals = MemoryStore(clock=clock), Refusals(clock=clock)
    rate = Rate((Limit(2, 60), Limit(2, 3600)))
    request = AdmitRequest(ALICE, own(rate))
    for _ in range(3):
        refusals.remember(request, await store.admit(request))
    found = refusals.find(ALICE, request.charges)
    assert found is not None
    assert (found.charge.policy, found.retry_after_seconds) == ("default-hour", 1800)


# Who waits as told


windows = st.lists(
    st.builds(Limit, st.integers(1, 40), st.sampled_from([1, 7, 60, 3600, 86_400, 2_419_200])),
    min_size=1,
    max_size=4,
    unique_by=lambda limit: limit.window_seconds,
)
rates = windows.map(lambda limits: Rate(tuple(limits)))
asked = st.lists(
    st.tuples(st.integers(1, 6), st.sampled_from([0.0, 0.0, 0.25, 3.0, 61.0, 4000.0])), min_size=1, max_size=25
)


async def ask_as_told(
    store: Store, clock: ManualClock | ClockedStore, rate: Rate, override: Rate | None, script: list[tuple[int, float]]
) -> None:
    """Ask, wait as long as each refusal says, in whole seconds, and ask again: that is always admitted."""

    async def wait(seconds: float) -> None:
        if isinstance(clock, ClockedStore):
            await clock.advance(seconds)
        else:
            clock.advance(seconds)

    if override is not None:
        await store.limits.set(ALICE, override, 3, 1e8)
    for tokens, pause in script:
        await wait(pause)
        request = AdmitRequest(ALICE, own(rate, tokens=tokens, burst=Burst(2)))
        result = await store.admit(request)
        longest = max(bucket.retry_after_seconds for bucket in result.buckets)
        assert result.admitted is (longest == 0)
        if 0 < longest < math.inf:
            await wait(math.ceil(longest))
            assert (await store.admit(request)).admitted


@examples(300)
@given(rates, st.none() | rates, asked)
def test_who_waits_as_told_is_admitted(rate: Rate, override: Rate | None, script: list[tuple[int, float]]) -> None:
    clock = ManualClock()
    asyncio.run(ask_as_told(MemoryStore(clock=clock), clock, rate, override, script))


@pytest.mark.redis
@examples(60, allow=[HealthCheck.function_scoped_fixture])
@given(rate=rates, override=st.none() | rates, script=asked)
def test_who_waits_as_redis_tells_is_admitted(
    redis_session: RedisServer, rate: Rate, override: Rate | None, script: list[tuple[int, float]]
) -> None:
    async def run() -> None:
        async with aclosing(ClockedStore(redis_session.url)) as store:
            await ask(store, "FLUSHALL")
            await store.advance(BEGINNING)
            await ask_as_told(store, store, rate, override, script)

    asyncio.run(run())

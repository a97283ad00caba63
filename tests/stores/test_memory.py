"""What only the store in memory must do: stay bounded, and keep what matters."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Escalation, Sanction
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.core.token_buckets import Charge, Limit, Rate
from fraiseql_guard.stores import Adjustment, AdmitRequest, MemoryStore
from fraiseql_guard.stores.limits import HeldLimit
from tests.stores.conftest import ManualClock

ALICE = Subject("user", "alice")
CHARGE = Charge("default", Limit(100, 60))
BOB = Subject("user", "bob")
ONCE = Escalation(PolicyName.DOS, offences=1, window_seconds=60, sanction_seconds=300)
BRUTE = Escalation(PolicyName.BRUTE_FORCE, offences=1, window_seconds=60, sanction_seconds=300)


def stranger(number: int) -> Subject:
    return Subject("address", f"198.51.{number >> 8}.{number & 255}")


async def test_one_shot_callers_neither_grow_it_nor_push_out_sanctions(clock: ManualClock):
    store = MemoryStore(clock=clock, max_buckets=100, max_subjects=100, max_sanctions=100)
    await store.sanctions.impose(Sanction(ALICE, PolicyName.OPERATOR, 3600))
    dos = replace(BRUTE, policy=PolicyName.DOS, offences=2)
    for number in range(5000):
        await store.admit(AdmitRequest(stranger(number), (CHARGE,), offence=dos))
    assert store.entries["buckets"] == 100
    assert store.entries["offences"] <= 100
    assert not (await store.admit(AdmitRequest(ALICE))).admitted


@given(
    operators=st.lists(st.integers(0, 40), max_size=20, unique=True),
    deeds=st.lists(
        st.tuples(st.sampled_from(["offend", "block", "lift", "lift automatic", "wait"]), st.integers(0, 400)),
        max_size=150,
    ),
)
async def test_a_flood_of_sanctions_pushes_out_none_of_an_operator(operators, deeds):
    clock = ManualClock()
    store = MemoryStore(clock=clock, max_sanctions=25)
    blocked: dict[int, float] = {}

    async def block(number: int) -> None:
        if number in blocked or len(blocked) < 25:
            await store.sanctions.impose(Sanction(stranger(number), PolicyName.OPERATOR, 1000))
            blocked[number] = clock.now + 1000

    for number in operators:
        await block(number)
    for deed, number in deeds:
        blocked = {each: until for each, until in blocked.items() if until > clock.now}
        if deed == "block":
            await block(number)
        elif deed == "lift":
            await store.sanctions.lift(stranger(number))
            blocked.pop(number, None)
        elif deed == "lift automatic":
            await store.sanctions.lift(stranger(number), PolicyName.BRUTE_FORCE)
        elif deed == "wait":
            clock.advance(number)
        else:
            for more in range(30):
                await store.admit(AdmitRequest(stranger(1000 * (1 + more % 2) + number + more), offence=BRUTE))
            await store.admit(AdmitRequest(stranger(number), offence=BRUTE))
        held = {each.subject for each in await store.sanctions.all() if each.policy is PolicyName.OPERATOR}
        assert held == {stranger(each) for each, until in blocked.items() if until > clock.now}
        assert store.entries["sanctions"] <= 25


async def test_where_an_operators_word_ended_what_is_left_is_one_of_many(clock: ManualClock):
    store = MemoryStore(clock=clock, max_sanctions=10)
    both = stranger(1)
    await store.admit(AdmitRequest(both, offence=BRUTE))
    await store.sanctions.impose(Sanction(both, PolicyName.OPERATOR, 60))
    await store.sanctions.lift(both, PolicyName.OPERATOR)
    for number in range(2, 20):
        await store.admit(AdmitRequest(stranger(number), offence=BRUTE))
    assert both not in {each.subject for each in await store.sanctions.all()}


async def test_ended_sanctions_make_room(clock: ManualClock):
    store = MemoryStore(clock=clock, max_sanctions=50)
    await store.sanctions.impose(Sanction(ALICE, PolicyName.OPERATOR, 86_400))
    for number in range(5000):
        clock.advance(10)  # thirty are in force at a time
        await store.admit(AdmitRequest(stranger(number), offence=BRUTE))
    assert len(list(await store.sanctions.all())) == 31
    assert store.entries["sanctions"] <= 50


async def test_a_busy_caller_keeps_its_bucket_in_a_flood(clock: ManualClock):
    store = MemoryStore(clock=clock, max_buckets=10)
    slow = Charge("default", Limit(10, 3600))
    admitted = 0
    for number in range(1000):
        admitted += (await store.admit(AdmitRequest(ALICE, (slow,)))).admitted
        for more in range(5):
            await store.admit(AdmitRequest(stranger(5 * number + more), (slow,)))
    assert admitted == 10


@pytest.mark.parametrize("interval", [0.6, 0.35, 1.7])
async def test_loses_no_fraction_of_the_refill(clock: ManualClock, interval: float):
    """100 a minute is 1.67 a second: an hour of steady asking admits what the rate says."""
    store = MemoryStore(clock=clock)
    asked = int(3600 / interval)
    admitted = 0
    for _ in range(asked):
        admitted += (await store.admit(AdmitRequest(ALICE, (CHARGE,)))).admitted
        clock.advance(interval)
    assert admitted == pytest.approx(min(asked, 100 + 6000), abs=2)


async def test_a_hundred_a_minute_for_36_seconds_admit_160(clock: ManualClock):
    store = MemoryStore(clock=clock)
    admitted = 0
    for _ in range(360):
        admitted += (await store.admit(AdmitRequest(ALICE, (CHARGE,)))).admitted
        clock.advance(0.1)
    assert admitted == pytest.approx(160, abs=1)


async def test_a_repeat_doubles_up_to_an_hour_and_is_forgotten_after_a_day(clock: ManualClock):
    store = MemoryStore(clock=clock)

    async def next_length(escalation: Escalation) -> float:
        imposed = (await store.admit(AdmitRequest(ALICE, offence=escalation))).imposed
        assert imposed is not None
        clock.advance(imposed.sanction.expires_in_seconds)
        return imposed.sanction.expires_in_seconds

    assert [await next_length(BRUTE) for _ in range(6)] == [300, 600, 1200, 2400, 3600, 3600]
    clock.advance(86_400)
    assert await next_length(BRUTE) == 300
    longer = replace(BRUTE, policy=PolicyName.DOS, sanction_seconds=7200)
    assert [await next_length(longer) for _ in range(2)] == [7200, 7200]


async def test_an_override_of_limits_is_over_at_the_moment_that_it_ends(clock: ManualClock):
    limits = MemoryStore(clock=clock).limits
    await limits.set(ALICE, Rate.of(5, 60), 1, 60, actor="operator")
    clock.advance(59.5)
    held = HeldLimit(ALICE, Rate.of(5, 60), 1, 0.5, "operator")
    assert (await limits.of(ALICE), await limits.all(), await limits.count()) == (held, [held], 1)
    assert (await limits.page(10)).items == (held,)
    clock.advance(0.5)
    assert (await limits.of(ALICE), await limits.all(), await limits.count()) == (None, [], 0)
    assert (await limits.page(10)).items == ()
    assert await limits.clear(ALICE) is False


async def test_the_sanctions_that_are_listed_are_those_of_enforcing_requests(clock: ManualClock):
    store = MemoryStore(clock=clock)
    await store.admit(AdmitRequest(ALICE, offence=ONCE))
    await store.admit(AdmitRequest(BOB, offence=replace(ONCE, enforced=False)))
    expected = [(ALICE, PolicyName.DOS)]
    assert [(each.subject, each.policy) for each in await store.sanctions.all()] == expected
    assert [(each.subject, each.policy) for each in (await store.sanctions.page(10)).items] == expected
    assert [each async for batch in store.sanctions.batches() for each in batch] == expected
    assert (await store.sanctions.count(), len(await store.sanctions.of(ALICE))) == (1, 1)
    assert await store.sanctions.of(BOB) == []


async def test_many_are_lifted_by_policy(clock: ManualClock):
    store = MemoryStore(clock=clock)
    for policy in (PolicyName.DOS, PolicyName.OPERATOR):
        for subject in (ALICE, BOB):
            await store.sanctions.impose(Sanction(subject, policy, 60))
    assert await store.sanctions.lift_many([(ALICE, PolicyName.DOS), (BOB, PolicyName.OPERATOR)]) == 2
    left = [(each.subject, each.policy) for each in await store.sanctions.all()]
    assert sorted(left, key=str) == [(ALICE, PolicyName.OPERATOR), (BOB, PolicyName.DOS)]


async def test_each_new_sanction_makes_room_of_two_that_have_ended(clock: ManualClock):
    store = MemoryStore(clock=clock)
    for number in range(5):
        await store.sanctions.impose(Sanction(stranger(number), PolicyName.DOS, 60))
    clock.advance(60)
    assert store.entries["sanctions"] == 5
    for number, left in ((10, 4), (11, 3), (12, 3), (13, 4)):
        await store.sanctions.impose(Sanction(stranger(number), PolicyName.DOS, 60))
        assert store.entries["sanctions"] == left
    assert await store.sanctions.count() == 4


async def test_a_look_at_a_bucket_changes_nothing_at_whatever_rate(clock: ManualClock):
    store, slow = MemoryStore(clock=clock), Charge("default", Limit(10, 3600))
    await store.admit(AdmitRequest(ALICE, (replace(slow, tokens=10),)))
    clock.advance(60)
    fast = replace(slow, limit=Limit(1000, 3600), tokens=0)
    (bucket,) = await store.adjust(Adjustment(ALICE, (fast,)))
    assert bucket.remaining == 1000
    assert not (await store.admit(AdmitRequest(ALICE, (slow,)))).admitted


async def test_a_network_that_is_lifted_of_one_of_two_sanctions_keeps_the_other(clock: ManualClock):
    store, network = MemoryStore(clock=clock), Subject("address", "2001:db8:0:1::/64", "2001:db8::/48")
    for policy in (PolicyName.DOS, PolicyName.BRUTE_FORCE):
        await store.admit(AdmitRequest(network, offence=replace(ONCE, policy=policy), exempt=frozenset(PolicyName)))
    assert await store.sanctions.lift(network, PolicyName.DOS) == 1
    (left,) = await store.sanctions.of(network)
    assert left.policy is PolicyName.BRUTE_FORCE

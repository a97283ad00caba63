"""The process's memory of refusals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Sanction
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.core.token_buckets import Bucket, Charge, Limit
from fraiseql_guard.stores import AdmitRequest, AdmitResult, MemoryStore, Refusals
from tests.stores.conftest import ManualClock

ALICE = Subject("user", "alice")
CHARGE = Charge("default", Limit(60, 60))


def refused(charge: Charge, seconds: float) -> tuple[AdmitRequest, AdmitResult]:
    bucket = Bucket(charge, charge.tokens - seconds * charge.limit.tokens_per_second, seconds)
    return AdmitRequest(ALICE, (charge,)), AdmitResult(admitted=False, buckets=(bucket,))


@pytest.fixture
def refusals(clock: ManualClock) -> Refusals:
    return Refusals(clock=clock)


def test_counts_down_until_the_caller_would_be_admitted(refusals: Refusals, clock: ManualClock):
    refusals.remember(*refused(CHARGE, 0.5))
    clock.advance(0.2)
    bucket = refusals.find(ALICE, (CHARGE,))
    assert bucket is not None
    assert bucket.retry_after_seconds == pytest.approx(0.3)
    assert bucket.remaining == pytest.approx(0.7)
    clock.advance(0.3)
    assert refusals.find(ALICE, (CHARGE,)) is None


def test_forgets_after_a_second(refusals: Refusals, clock: ManualClock):
    refusals.remember(*refused(replace(CHARGE, tokens=40), 30))
    clock.advance(0.99)
    bucket = refusals.find(ALICE, (replace(CHARGE, tokens=41),))
    assert bucket is not None
    assert bucket.retry_after_seconds == pytest.approx(30 - 0.99 + 1)
    clock.advance(0.02)
    assert refusals.find(ALICE, (replace(CHARGE, tokens=41),)) is None


def test_covers_only_what_costs_as_much_of_the_same_bucket(refusals: Refusals):
    dear = replace(CHARGE, tokens=5)
    refusals.remember(*refused(dear, 0.9))
    assert refusals.find(ALICE, (CHARGE,)) is None
    assert refusals.find(ALICE, (replace(dear, policy="graphql"),)) is None
    assert refusals.find(ALICE, (replace(dear, limit=Limit(120, 60)),)) is None
    assert refusals.find(ALICE, (replace(dear, burst=100),)) is None
    assert refusals.find(Subject("user", "bob"), (dear,)) is None
    assert refusals.find(Subject("address", "alice"), (dear,)) is None
    assert refusals.find(ALICE, (replace(CHARGE, policy="graphql"), dear)) is not None


def test_gives_the_number_refused_once(refusals: Refusals):
    refusals.remember(*refused(CHARGE, 0.5))
    for _ in range(3):
        refusals.find(ALICE, (CHARGE,))
    assert refusals.take_count(ALICE) == 3
    assert refusals.take_count(ALICE) == 0
    assert refusals.take_count(Subject("user", "bob")) == 0


def test_the_number_outlives_the_refusal(refusals: Refusals, clock: ManualClock):
    refusals.remember(*refused(CHARGE, 0.5))
    refusals.find(ALICE, (CHARGE,))
    clock.advance(5)
    refusals.remember(*refused(CHARGE, 0.5))
    assert refusals.take_count(ALICE) == 1


def test_remembers_nothing_else(refusals: Refusals):
    request, result = refused(CHARGE, 0.5)
    refusals.remember(request, replace(result, admitted=True))
    refusals.remember(request, AdmitResult(False, sanction=Sanction(ALICE, PolicyName.DOS, 5)))
    refusals.remember(request, AdmitResult(False, unavailable=True))
    assert refusals.find(ALICE, (CHARGE,)) is None


def test_is_bounded(clock: ManualClock):
    refusals = Refusals(clock=clock, size=10)
    for number in range(50):
        request, result = refused(CHARGE, 0.5)
        refusals.remember(replace(request, subject=Subject("address", str(number))), result)
    found = [refusals.find(Subject("address", str(number)), (CHARGE,)) for number in range(50)]
    assert [bucket is not None for bucket in found] == [False] * 40 + [True] * 10


async def test_with_a_store(refusals: Refusals, clock: ManualClock):
    """A caller that hammers: every request that the memory refuses, the store would have refused."""
    store, admitted = MemoryStore(clock=clock), 0
    for _ in range(1000):
        clock.advance(0.01)
        if refusals.find(ALICE, (CHARGE,)) is None:
            request = AdmitRequest(ALICE, (CHARGE,), refused_before=refusals.take_count(ALICE))
            result = await store.admit(request)
            refusals.remember(request, result)
            admitted += result.admitted
    assert admitted in (69, 70)


def test_a_refusal_that_is_held_tells_where_it_counts_and_until_when(refusals: Refusals, clock: ManualClock):
    key = Subject("key", "tenant-1")
    own = replace(CHARGE, policy="own", own=True, fixed=True)
    assert refusals.held(ALICE, CHARGE) is None
    for charge in (CHARGE, own):
        request, result = refused(charge, 0.5)
        refusals.remember(replace(request, limit_subject=key), result)
    assert refusals.held(ALICE, CHARGE) is None  # the key's bucket was short
    held, until = refusals.held(ALICE, CHARGE, key) or (None, 0)
    assert held is not None
    assert until == clock() + 0.5
    held.count += 2
    assert refusals.held(ALICE, replace(CHARGE, policy="other"), key) is None
    for pays in (None, key):
        counted, _ = refusals.held(ALICE, own, pays) or (None, 0)
        assert counted is held  # refusals are counted for the caller
    assert (refusals.take_count(ALICE), refusals.take_count(key)) == (2, 0)


def test_a_caller_whose_refusal_is_over_makes_room_at_that_moment(refusals: Refusals, clock: ManualClock):
    refusals.remember(*refused(CHARGE, 0.5))
    clock.advance(0.25)
    refusals.take_count(ALICE)
    assert refusals.size_bytes > 0
    clock.advance(0.25)
    refusals.take_count(ALICE)
    assert refusals.size_bytes == 0

"""A worker's part of each limit in an outage, and what it remembers of what the store said before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Escalation, Sanction
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.core.token_buckets import Bucket, Charge, Limit, Rate
from fraiseql_guard.stores import Adjustment, AdmitRequest, AdmitResult
from fraiseql_guard.stores.local_share import LocalShare, share_of, share_of_rate
from fraiseql_guard.stores.protocol import Imposed
from fraiseql_guard.testing import ManualClock

ALICE, BOB = Subject("user", "alice"), Subject("user", "bob")
TEN = Charge("default", Limit(10, 60))


def share(clock: ManualClock | None = None, *, workers: int | None = None, **settings) -> LocalShare:
    return LocalShare(Settings.load({}, **settings), clock=clock or ManualClock(), workers=workers)


async def capacity(of: LocalShare, charge: Charge = TEN, subject: Subject = ALICE) -> int:
    """How many requests are admitted in a row."""
    for number in range(1000):
        if not (await of.admit(AdmitRequest(subject, (charge,)))).admitted:
            return number
    raise AssertionError("without an end")


# --- parts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("charge", "workers", "limit", "burst"),
    [
        (TEN, 1, Limit(10, 60), 0),
        (TEN, 2, Limit(5, 60), 0),
        (TEN, 3, Limit(3, 60), 0),
        (TEN, 10, Limit(1, 60), 0),
        (TEN, 11, Limit(1, 66), 0),  # one token in a longer window, rounded up
        (Charge("d", Limit(3, 60)), 4, Limit(1, 80), 0),
        (Charge("d", Limit(7, 60)), 9, Limit(1, 78), 0),
        (replace(TEN, burst=5), 2, Limit(5, 60), 2),
        (replace(TEN, burst=5), 6, Limit(1, 60), 0),
        (replace(TEN, tokens=6), 2, Limit(5, 60), 1),  # what one request costs always fits
        (replace(TEN, tokens=10), 4, Limit(2, 60), 8),
        (replace(TEN, burst=4, tokens=14), 2, Limit(5, 60), 9),
        (replace(TEN, burst=4, tokens=15), 2, Limit(5, 60), 2),  # what no full bucket holds never does
    ],
)
def test_a_workers_part_of_a_charge(charge, workers, limit, burst) -> None:
    assert share_of(charge, workers) == replace(charge, limit=limit, burst=burst)


def test_a_workers_part_of_a_rate_has_its_windows_and_the_burst_of_the_shortest() -> None:
    minute, hour = replace(TEN, burst=8), Charge("default-hour", Limit(100, 3600))
    assert share_of_rate((minute, hour), 2) == (Rate((Limit(5, 60), Limit(50, 3600))), 4)
    assert share_of_rate((minute, hour), 1) == (Rate((Limit(10, 60), Limit(100, 3600))), 8)
    # Two windows that become one: the smaller number holds, whichever comes first.
    short, long = Charge("a", Limit(1, 30)), Charge("b", Limit(4, 60))
    assert share_of_rate((short, long), 2) == (Rate((Limit(1, 60),)), 0)
    assert share_of_rate((long, short), 2) == (Rate((Limit(1, 60),)), 0)


# --- how many workers ------------------------------------------------------------------------------------------------


async def test_the_number_of_workers_is_the_given_one_else_the_largest_of_the_last_five_beats() -> None:
    assert await capacity(share(workers=2)) == 5
    assert await capacity(share(workers=5)) == 2
    heard = share()
    assert await capacity(heard, subject=BOB) == 10
    for living in (2, 5, 1, 1, 1):
        await heard.beat_heard(living, "id", b"", 0.5)
    assert await capacity(heard) == 2
    await heard.beat_heard(1, "id", b"", 10.0)
    assert await capacity(heard, subject=Subject("user", "carol")) == 2  # the five of four beats ago
    await heard.beat_heard(1, "id", b"", 10.0)
    assert await capacity(heard, subject=Subject("user", "dave")) == 10


async def test_a_beat_that_says_goodbye_and_one_of_no_workers_change_nothing() -> None:
    heard = share()
    await heard.beat_heard(5, "id", b"", 0.0)
    assert await capacity(heard) == 10
    await heard.beat_heard(0, "id", b"", 10.0)
    assert await capacity(heard, subject=BOB) == 10
    given = share(workers=2)
    await given.beat_heard(10, "id", b"", 10.0)
    assert await capacity(given) == 5


async def test_without_a_beat_the_setting_says_how_many() -> None:
    assert await capacity(LocalShare(Settings.load({}, workers=5), clock=ManualClock(), workers=None)) == 2


async def test_what_is_decided_alone_says_so_and_is_adjusted_as_a_share() -> None:
    alone = share(workers=2)
    result = await alone.admit(AdmitRequest(ALICE, (TEN,)))
    assert (result.admitted, result.alone, result.buckets[0].remaining) == (True, True, 4.0)
    (bucket,) = await alone.adjust(Adjustment(ALICE, (replace(result.buckets[0].charge, tokens=-1),), alone=True))
    assert bucket.remaining == 5.0
    (bucket,) = await alone.adjust(Adjustment(ALICE, (replace(TEN, tokens=0),)))
    assert (bucket.remaining, bucket.charge.capacity) == (5.0, 5)
    (bucket,) = await share(workers=1).adjust(Adjustment(ALICE, (replace(TEN, tokens=0),)))
    assert bucket.charge.capacity == 10


# --- what is remembered ----------------------------------------------------------------------------------------------

REQUEST = AdmitRequest(ALICE, (TEN,))
PASSED = AdmitResult(admitted=True, buckets=(Bucket(TEN, 9.0),))


def blocked(policy: PolicyName = PolicyName.DOS, seconds: float = 50.0) -> AdmitResult:
    return AdmitResult(admitted=False, sanction=Sanction(ALICE, policy, seconds))


async def admitted(of: LocalShare, request: AdmitRequest = REQUEST) -> bool:
    return (await of.admit(request)).admitted


async def test_a_sanction_that_was_seen_holds_until_it_ends_or_is_not_seen_any_more() -> None:
    clock = ManualClock()
    alone = share(clock)
    assert alone.known_sanction(ALICE, frozenset()) is None
    alone.learn(REQUEST, blocked())
    known = alone.known_sanction(ALICE, frozenset())
    assert known is not None
    assert known.expires_in_seconds == 50
    assert alone.known_sanction(ALICE, frozenset({PolicyName.DOS})) is None
    assert [each.subject for each in await alone.known_sanctions()] == [ALICE]
    assert (await admitted(alone), await admitted(alone, AdmitRequest(BOB, (TEN,)))) == (False, True)
    clock.advance(50)
    assert await admitted(alone)
    alone.learn(REQUEST, blocked())
    alone.learn(REQUEST, PASSED)  # lifted elsewhere
    assert await admitted(alone)


async def test_a_request_that_a_block_does_not_bind_says_nothing_about_it() -> None:
    alone = share()
    alone.learn(REQUEST, blocked())
    alone.learn(replace(REQUEST, exempt=frozenset({PolicyName.DOS})), PASSED)
    assert not await admitted(alone)


async def test_what_monitoring_requests_meet_binds_monitoring_requests_alone() -> None:
    alone = share()
    alone.learn(replace(REQUEST, enforced=False), blocked())
    assert await admitted(alone)
    assert not await admitted(alone, replace(REQUEST, enforced=False))
    alone.learn(replace(REQUEST, enforced=False), PASSED)
    assert await admitted(alone, replace(REQUEST, enforced=False))


async def test_what_a_request_brought_about_is_remembered_in_the_mode_of_its_policy() -> None:
    for enforced in (True, False):
        alone = share()
        escalation = Escalation(PolicyName.DOS, 1, 60, 100, enforced=enforced)
        imposed = Imposed(Sanction(ALICE, PolicyName.DOS, 100), escalation, 1)
        alone.learn(REQUEST, replace(PASSED, imposed=imposed))
        assert await admitted(alone) is not enforced
        assert await admitted(alone, replace(REQUEST, enforced=False)) is enforced


async def test_an_override_of_limits_holds_its_share_and_ends_when_it_is_not_seen_any_more() -> None:
    clock = ManualClock()
    alone = share(clock, workers=2)
    override = Charge("override", Limit(4, 3600), burst=2)
    fixed = Charge("cost", Limit(1000, 3600), fixed=True)
    alone.learn(REQUEST, AdmitResult(True, (Bucket(override, 1.0), Bucket(fixed, 1.0)), override_seconds=60.0))
    result = await alone.admit(REQUEST)
    assert (result.buckets[0].charge.capacity, result.override_seconds) == (3, 60.0)
    alone.learn(REQUEST, AdmitResult(False))  # says nothing of buckets
    assert (await alone.admit(REQUEST)).buckets[0].charge.capacity == 3
    alone.learn(REQUEST, PASSED)
    assert (await alone.admit(REQUEST)).buckets[0].charge.capacity == 5


async def test_an_operators_changes_are_taken_over() -> None:
    alone = share(workers=2)
    await alone.imposed(None, Sanction(ALICE, PolicyName.OPERATOR, 50))
    assert alone.known_sanction(ALICE, frozenset()) is not None
    await alone.lifted(1, ALICE, PolicyName.OPERATOR)
    assert alone.known_sanction(ALICE, frozenset()) is None
    await alone.imposed(None, Sanction(ALICE, PolicyName.OPERATOR, 50))
    await alone.lifted_many(1, [(ALICE, PolicyName.OPERATOR)])
    assert alone.known_sanction(ALICE, frozenset()) is None
    await alone.limit_set(None, ALICE, Rate.of(4, 3600), 2, 60.0, actor="alice")
    result = await alone.admit(REQUEST)
    assert (result.buckets[0].charge.capacity, result.override_seconds) == (3, 60.0)
    await alone.limit_cleared(True, ALICE)
    assert (await alone.admit(REQUEST)).buckets[0].charge.capacity == 5


async def test_a_reset_forgets_what_callers_have_brought_about() -> None:
    alone = share()
    alone.learn(REQUEST, blocked())
    await capacity(alone, subject=BOB)
    await alone.reset()
    assert await admitted(alone)
    assert await capacity(alone, subject=BOB) == 10

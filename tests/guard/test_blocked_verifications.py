"""A blocked address may still hold a user with a good token; it may not make us verify without end."""

import pytest

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.signals import BLOCKED
from fraiseql_guard.stores.blocked import BlockedAddresses
from fraiseql_guard.testing import ManualClock, make_token
from tests.support.asgi import graphql
from tests.support.verifications import count_verifications

DENIAL = Denial(BLOCKED, detail="brute_force")
HERE, THERE = Subject("address", "203.0.113.7"), Subject("address", "203.0.113.8")


def test_ten_verifications_a_second() -> None:
    clock = ManualClock()
    blocked = BlockedAddresses(clock=clock)
    assert blocked.refusal(HERE) is None
    blocked.note(HERE, DENIAL)
    assert [blocked.refusal(HERE) for _ in range(12)] == [None] * 10 + [DENIAL] * 2
    assert blocked.refusal(THERE) is None
    clock.advance(0.5)
    blocked.note(HERE, DENIAL)  # one of the verified ones met the block again
    assert [blocked.refusal(HERE) for _ in range(7)] == [None] * 5 + [DENIAL] * 2
    clock.advance(1)
    assert [blocked.refusal(HERE) for _ in range(30)] == [None] * 30  # no trip has met the block for a second


def test_it_remembers_as_many_addresses_as_it_may() -> None:
    blocked = BlockedAddresses(size=10)
    for number in range(100):
        blocked.note(Subject("address", str(number)), DENIAL)
    assert len(blocked) == 10


@pytest.fixture
def guard(guarded, clock, secret):
    return guarded(clock=clock, jwt_secret=secret)


async def flood(guard, times: int) -> list[int]:
    """Forged tokens, each of its own, within one second of the clock."""
    forged = [make_token("x" * 40, sub=f"u{number}") for number in range(times)]
    return [(await graphql(guard, "{me{id}}", token=token)).status for token in forged]


async def test_a_flood_from_a_blocked_address_is_refused_unseen(guard, monkeypatch) -> None:
    verified = count_verifications(monkeypatch)
    assert await flood(guard, 60) == [401] * 15 + [403] * 45
    assert len(verified) == 15 + 1 + 10  # until blocked, the one that met the block, and ten in the second after


async def test_what_is_refused_unseen_counts_like_its_cause(guard) -> None:
    await flood(guard, 60)
    assert guard.metric("fraiseql_guard_auth_failures_total") == 60
    assert guard.metric("fraiseql_guard_sanctions_total") == 1
    assert len(guard.lines("security.brute_force_detected")) == 1


async def test_a_known_token_is_not_slowed_by_the_flood(guard, secret) -> None:
    known = make_token(secret, sub="alice")
    assert (await graphql(guard, "{me{id}}", token=known)).status == 200
    await flood(guard, 60)
    for _ in range(5):
        assert (await graphql(guard, "{me{id}}", token=known)).status == 200
    guard.advance(61)  # from now on it has to be verified again
    assert await flood(guard, 15) == [403] * 15
    assert (await graphql(guard, "{me{id}}", token=known)).status == 200


async def test_a_new_token_is_not_told_from_the_flood_where_it_comes_from(guard, secret) -> None:
    await flood(guard, 60)
    fresh = make_token(secret, sub="bob")
    reply = await graphql(guard, "{me{id}}", token=fresh)
    assert (reply.status, reply.code) == (403, "BLOCKED")
    assert (await graphql(guard, "{me{id}}", token=fresh, client=("203.0.113.8", 1))).status == 200

"""A blocked address may still hold somebody with a good token; it may not make us verify without end."""

import time

from fraiseql_guard.core.context import Denial, Subject
from fraiseql_guard.core.signals import BLOCKED
from fraiseql_guard.stores.blocked import BlockedAddresses
from fraiseql_guard.testing import ManualClock, make_token
from tests.support.asgi import graphql

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


async def test_a_flood_from_a_blocked_address_is_refused_unseen_and_a_known_token_is_not_slowed(
    guarded, secret, monkeypatch
) -> None:
    guard = guarded(jwt_secret=secret)
    known = make_token(secret, sub="alice")
    assert (await graphql(guard, "{me{id}}", token=known)).status == 200
    monkeypatch.setattr(guard.guard._runtime.admission._blocked, "_clock", ManualClock())
    forged = [make_token("x" * 40, sub=f"u{number}") for number in range(60)]
    verified = []
    verify = guard.guard._runtime.verifier._check

    class Counting:
        def __get__(self, subject, owner):
            return lambda *given: verified.append(given) or verify(*given)

    monkeypatch.setattr(type(guard.guard._runtime.verifier), "_check", Counting())
    statuses = [(await graphql(guard, "{me{id}}", token=token)).status for token in forged]
    assert statuses == [401] * 15 + [403] * 45
    assert len(verified) == 15 + 1 + 10  # until blocked, the one that met the block, and ten in the second after
    for _ in range(5):
        assert (await graphql(guard, "{me{id}}", token=known)).status == 200
    later = time.time() + 61  # when it has to be verified again
    monkeypatch.setattr(guard.guard._runtime.verifier, "_clock", lambda: later)
    assert (await graphql(guard, "{me{id}}", token=known)).status == 200
    fresh = make_token(secret, sub="bob")
    reply = await graphql(guard, "{me{id}}", token=fresh)
    assert (reply.status, reply.code) == (403, "BLOCKED")  # in this second there is no telling
    assert (await graphql(guard, "{me{id}}", token=fresh, client=("203.0.113.8", 1))).status == 200
    assert guard.metric("fraiseql_guard_auth_failures_total") == 60 + 1  # what is refused unseen counts like its cause
    assert guard.metric("fraiseql_guard_sanctions_total") == 1
    assert len(guard.lines("security.brute_force_detected")) == 1

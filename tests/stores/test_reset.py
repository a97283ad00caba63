"""After a reset a store is as if no caller had come; what operators have said is still there."""

from __future__ import annotations

from ipaddress import ip_address

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Escalation, Sanction
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.core.token_buckets import Charge, Limit, Rate
from fraiseql_guard.identity.networks import subject_of
from fraiseql_guard.stores.overrides import Override, OverrideKind
from fraiseql_guard.stores.protocol import AdmitRequest

ONCE = (Charge("default", Limit(1, 3600), 0),)
ADA, BOB = Subject("user", "ada"), Subject("user", "bob")
TWO = Escalation(PolicyName.DOS, offences=2, window_seconds=600, sanction_seconds=600)
ONE = Escalation(PolicyName.BRUTE_FORCE, offences=1, window_seconds=600, sanction_seconds=600)


def network(number: int) -> Subject:
    """One /64 of a /48."""
    return subject_of(ip_address(f"2001:db8:1:{number}::1"))


async def test_buckets_are_full_again(bench) -> None:
    store = bench.store
    assert (await store.admit(AdmitRequest(ADA, ONCE))).admitted
    assert not (await store.admit(AdmitRequest(ADA, ONCE))).admitted
    await store.reset()
    assert (await store.admit(AdmitRequest(ADA, ONCE))).admitted


async def test_offences_count_from_the_first_again(bench) -> None:
    store = bench.store
    for enforced in (True, False):
        policy = Escalation(PolicyName.DOS, 2, 600, 600, enforced)
        assert (await store.admit(AdmitRequest(ADA, offence=policy, enforced=enforced))).imposed is None
    await store.reset()
    for enforced in (True, False):
        policy = Escalation(PolicyName.DOS, 2, 600, 600, enforced)
        assert (await store.admit(AdmitRequest(ADA, offence=policy, enforced=enforced))).imposed is None
        assert (await store.admit(AdmitRequest(ADA, offence=policy, enforced=enforced))).imposed is not None


async def test_automatic_sanctions_end_and_operators_stay(bench) -> None:
    store = bench.store
    await store.sanctions.impose(Sanction(BOB, PolicyName.OPERATOR, 600, "scrapes", "alice"))
    for subject in (ADA, BOB):
        await store.sanctions.impose(Sanction(subject, PolicyName.DOS, 600))
    await store.reset()
    assert (await store.admit(AdmitRequest(ADA))).sanction is None
    for enforced in (True, False):
        held = (await store.admit(AdmitRequest(BOB, enforced=enforced))).sanction
        assert held is not None
        assert (held.policy, held.reason, held.actor) == (PolicyName.OPERATOR, "scrapes", "alice")
    assert [(each.subject, each.policy) for each in await store.sanctions.all()] == [(BOB, PolicyName.OPERATOR)]
    assert await store.sanctions.count() == 1


async def test_a_sanction_after_it_is_no_repeat_and_no_network_counts(bench) -> None:
    store = bench.store
    for number in range(7):
        caller = network(number)
        assert (await store.admit(AdmitRequest(caller, offence=ONE))).imposed is not None
    await store.reset()
    first = (await store.admit(AdmitRequest(network(7), offence=ONE))).imposed
    assert first is not None
    assert first.sanction.subject.name != "2001:db8:1::/48"
    again = (await store.admit(AdmitRequest(network(0), offence=ONE))).imposed
    assert again is not None
    assert round(again.sanction.expires_in_seconds) == 600


async def test_what_operators_have_set_stays(bench) -> None:
    store = bench.store
    await store.limits.set(ADA, Rate.of(2, 3600), 0, 600, actor="alice")
    await store.overrides.put(Override(OverrideKind.BLOCK, "198.51.100.0/28", 600))
    for _ in range(3):
        await store.admit(AdmitRequest(ADA, ONCE))
    await store.reset()
    found = [(await store.admit(AdmitRequest(ADA, ONCE))).admitted for _ in range(3)]
    assert found == [True, True, False]
    control = await store.overrides.read(-1)
    assert [entry.key for entry in control.of(OverrideKind.BLOCK)] == ["198.51.100.0/28"]

"""What both stores do alike (protocol.py)."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import pytest

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Escalation, Sanction
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.core.token_buckets import Charge, Limit, Rate
from fraiseql_guard.identity.logins import login_subject
from fraiseql_guard.stores import AdmitRequest, network_bucket
from fraiseql_guard.stores.refused_documents import MOST_DOCUMENTS, RefusedFor
from tests.stores.conftest import Bench

ALICE = Subject("user", "issuer|tenant|alice}{")
ADDRESS = Subject("address", "192.0.2.7")
SLOW = Limit(10, 3600)  # refills nothing worth mentioning while a test runs
CHARGE = Charge("default", SLOW)
ABUSE = Escalation(PolicyName.RATE_LIMIT_ABUSE, offences=2, window_seconds=300, sanction_seconds=300)
DOS = Escalation(PolicyName.DOS, offences=3, window_seconds=60, sanction_seconds=300)
BRUTE = Escalation(PolicyName.BRUTE_FORCE, offences=1, window_seconds=60, sanction_seconds=100)


def network(number: int) -> Subject:
    return Subject("address", f"2001:db8:0:{number:x}::/64", "2001:db8::/48", (("2001:db8::/48", 16),))


# --- buckets ---------------------------------------------------------------------------------------------------------


async def test_admits_exactly_its_capacity(bench: Bench):
    charge = replace(CHARGE, burst=5)
    results = [await bench.store.admit(AdmitRequest(ALICE, (charge,))) for _ in range(20)]
    assert [result.admitted for result in results] == [True] * 15 + [False] * 5
    assert results[0].buckets[0].remaining == pytest.approx(14, abs=0.1)
    assert results[0].buckets[0].retry_after_seconds == 0
    assert results[-1].buckets[0].remaining == pytest.approx(0, abs=0.1)
    assert results[-1].buckets[0].retry_after_seconds == pytest.approx(360, abs=20)
    assert results[-1].buckets[0].charge == charge


async def test_concurrent_requests_admit_exactly_the_capacity(bench: Bench):
    results = await asyncio.gather(*(bench.store.admit(AdmitRequest(ALICE, (CHARGE,))) for _ in range(256)))
    assert sum(result.admitted for result in results) == 10


async def test_takes_all_or_none(bench: Bench):
    wide, narrow = replace(CHARGE, policy="graphql"), Charge("graphql_mutation", Limit(2, 3600), tokens=1)
    for _ in range(2):
        assert (await bench.store.admit(AdmitRequest(ALICE, (wide, narrow)))).admitted
    for _ in range(3):
        result = await bench.store.admit(AdmitRequest(ALICE, (wide, narrow)))
        assert not result.admitted
        assert result.buckets[0].retry_after_seconds == 0
        assert result.buckets[1].retry_after_seconds > 0
        assert result.buckets[0].remaining == pytest.approx(8, abs=0.1)
    assert (await bench.store.admit(AdmitRequest(ALICE, (wide,)))).buckets[0].remaining == pytest.approx(7, abs=0.1)


async def test_two_charges_may_name_one_bucket(bench: Bench):
    four = replace(CHARGE, tokens=4)
    result = await bench.store.admit(AdmitRequest(ALICE, (four, four)))
    assert result.admitted
    assert result.buckets[0].remaining == pytest.approx(2, abs=0.1)
    refused = await bench.store.admit(AdmitRequest(ALICE, (replace(CHARGE, tokens=1), replace(CHARGE, tokens=2))))
    assert not refused.admitted
    assert [bucket.remaining for bucket in refused.buckets] == pytest.approx([2, 2], abs=0.1)
    assert refused.buckets[1].retry_after_seconds == pytest.approx(360, abs=20)


async def test_refills_by_fractions(bench: Bench):
    """A token a second, asked every 50 ms: whole-token arithmetic would never refill."""
    charge = Charge("default", Limit(10, 10))
    assert (await bench.store.admit(AdmitRequest(ALICE, (replace(charge, tokens=10),)))).admitted
    for _ in range(6):
        await bench.wait(0.05)
        result = await bench.store.admit(AdmitRequest(ALICE, (replace(charge, tokens=10),)))
        assert not result.admitted
    assert result.buckets[0].remaining >= 0.3 - 1e-6
    assert result.buckets[0].reset_seconds <= 9.7 + 1e-6
    await bench.wait(0.7 + 1e-6)
    assert (await bench.store.admit(AdmitRequest(ALICE, (replace(charge, tokens=1),)))).admitted


async def test_is_admitted_after_its_retry_after(bench: Bench):
    charge = Charge("default", Limit(7, 5), tokens=7)
    assert (await bench.store.admit(AdmitRequest(ALICE, (charge,)))).admitted
    refused = await bench.store.admit(AdmitRequest(ALICE, (replace(charge, tokens=1),)))
    assert 0 < refused.buckets[0].retry_after_seconds <= 5 / 7
    await bench.wait(refused.buckets[0].retry_after_seconds)
    assert (await bench.store.admit(AdmitRequest(ALICE, (replace(charge, tokens=1),)))).admitted


async def test_a_charge_above_the_capacity_never_fits(bench: Bench):
    result = await bench.store.admit(AdmitRequest(ALICE, (replace(CHARGE, tokens=11),)))
    assert not result.admitted
    assert result.buckets[0].retry_after_seconds == math.inf
    assert result.buckets[0].remaining == 10


async def test_a_raised_limit_acts_at_once_and_a_lowered_one_too(bench: Bench):
    assert (await bench.store.admit(AdmitRequest(ALICE, (replace(CHARGE, tokens=10),)))).admitted
    raised = await bench.store.admit(AdmitRequest(ALICE, (replace(CHARGE, limit=Limit(30, 3600)),)))
    assert raised.buckets[0].remaining == pytest.approx(19, abs=0.1)
    lowered = await bench.store.admit(AdmitRequest(ALICE, (replace(CHARGE, limit=Limit(5, 3600)),)))
    assert not lowered.admitted
    assert lowered.buckets[0].remaining == pytest.approx(0, abs=0.1)


QUICK = Limit(5, 1)


@pytest.mark.parametrize("before", [Limit(500, 3600), Limit(100_000, 60)], ids=str)
async def test_after_a_change_of_the_limit_who_waits_as_told_is_admitted(bench: Bench, before: Limit):
    """Whatever was used at the old limit, the first wait that is told at the new one is the time until admission."""
    old = Charge("default", before, tokens=before.tokens)
    assert (await bench.store.admit(AdmitRequest(ALICE, (old,)))).admitted
    new = Charge("default", QUICK, burst=1)
    refused = await bench.store.admit(AdmitRequest(ALICE, (new,), abuse=ABUSE))
    assert not refused.admitted
    told = refused.buckets[0].retry_after_seconds
    assert 0 < told <= 1 / QUICK.tokens_per_second
    assert refused.buckets[0].remaining == pytest.approx(0, abs=1)
    await bench.wait(told)
    admitted = await bench.store.admit(AdmitRequest(ALICE, (new,), abuse=ABUSE))
    assert admitted.admitted
    assert admitted.imposed is None


async def test_a_limit_that_is_lowered_again_and_again_never_tells_more_than_there_is_to_wait(bench: Bench):
    assert (
        await bench.store.admit(AdmitRequest(ALICE, (Charge("default", Limit(10_000, 3600), tokens=10_000),)))
    ).admitted
    for tokens in (1000, 100, 10, 4):
        charge = Charge("default", Limit(tokens, 1))
        refused = await bench.store.admit(AdmitRequest(ALICE, (charge,)))
        assert not refused.admitted
        assert refused.buckets[0].retry_after_seconds <= 1 / tokens + 1e-5
    await bench.wait(0.25)
    assert (await bench.store.admit(AdmitRequest(ALICE, (charge,)))).admitted


async def test_an_override_that_is_lowered_tells_the_truth(bench: Bench):
    await bench.store.limits.set(ALICE, Rate.of(1000, 3600), 0, 60)
    assert (await bench.store.admit(AdmitRequest(ALICE, (replace(CHARGE, tokens=900),)))).admitted
    await bench.store.limits.set(ALICE, Rate((QUICK,)), 0, 60)
    results = [await bench.store.admit(AdmitRequest(ALICE, (replace(CHARGE, tokens=5),))) for _ in range(2)]
    assert [result.admitted for result in results] == [True, False]
    await bench.wait(results[1].buckets[0].retry_after_seconds)
    assert (await bench.store.admit(AdmitRequest(ALICE, (replace(CHARGE, tokens=5),)))).admitted


async def test_a_bucket_that_only_refuses_lives_as_long_as_it_is_waited_for(bench: Bench):
    """A server forgets a bucket once it is full: after a change of the rate that is later than it was."""
    quick = Charge("default", Limit(5, 1), tokens=5)
    assert (await bench.store.admit(AdmitRequest(ALICE, (quick,)))).admitted
    slow = replace(CHARGE, limit=Limit(5, 3600))
    assert not (await bench.store.admit(AdmitRequest(ALICE, (slow,)))).admitted
    await bench.wait(1.1)
    refused = await bench.store.admit(AdmitRequest(ALICE, (slow,)))
    assert not refused.admitted
    assert refused.buckets[0].retry_after_seconds == pytest.approx(720, abs=5)


async def test_subjects_do_not_share_buckets_but_networks_of_a_group_do(bench: Bench):
    own = CHARGE
    shared = replace(CHARGE, bucket=network_bucket("default", "2001:db8::/48"))
    first = await bench.store.admit(AdmitRequest(network(1), (own, shared)))
    second = await bench.store.admit(AdmitRequest(network(2), (own, shared)))
    assert [bucket.remaining for bucket in first.buckets] == pytest.approx([9, 9], abs=0.1)
    assert [bucket.remaining for bucket in second.buckets] == pytest.approx([9, 8], abs=0.1)
    user = await bench.store.admit(AdmitRequest(Subject("user", ADDRESS.name), (own,)))
    address = await bench.store.admit(AdmitRequest(ADDRESS, (own,)))
    assert user.buckets[0].remaining == address.buckets[0].remaining == 9


async def test_a_request_without_charges_is_admitted(bench: Bench):
    result = await bench.store.admit(AdmitRequest(ALICE))
    assert result.admitted
    assert result.buckets == ()


# --- sanctions -------------------------------------------------------------------------------------------------------


async def test_a_sanction_binds_and_takes_nothing(bench: Bench):
    await bench.store.sanctions.impose(Sanction(ALICE, PolicyName.DOS, 30, "because\nof é"))
    result = await bench.store.admit(AdmitRequest(ALICE, (CHARGE,), offence=DOS))
    assert not result.admitted
    assert result.buckets == ()
    assert result.sanction is not None
    assert result.sanction.subject == ALICE
    assert result.sanction.policy is PolicyName.DOS
    assert result.sanction.reason == "because\nof é"
    assert result.sanction.expires_in_seconds == pytest.approx(30, abs=5)
    assert (await bench.store.admit(AdmitRequest(ADDRESS, (CHARGE,)))).admitted
    await bench.store.sanctions.lift(ALICE)
    assert (await bench.store.admit(AdmitRequest(ALICE, (CHARGE,)))).buckets[0].remaining == 9


async def test_a_sanction_ends(bench: Bench):
    await bench.store.sanctions.impose(Sanction(ALICE, PolicyName.DOS, 1))
    assert not (await bench.store.admit(AdmitRequest(ALICE))).admitted
    await bench.wait(1.05)
    assert (await bench.store.admit(AdmitRequest(ALICE))).admitted
    assert list(await bench.store.sanctions.all()) == []


async def test_the_operator_comes_first_and_then_the_longest(bench: Bench):
    await bench.store.sanctions.impose(Sanction(ALICE, PolicyName.DOS, 30))
    await bench.store.sanctions.impose(Sanction(ALICE, PolicyName.BRUTE_FORCE, 60))
    await bench.store.sanctions.impose(Sanction(ALICE, PolicyName.OPERATOR, 10, "abuse report"))

    async def bound(*exempt: PolicyName) -> PolicyName | None:
        result = await bench.store.admit(AdmitRequest(ALICE, exempt=frozenset(exempt)))
        return result.sanction.policy if result.sanction else None

    everything = tuple(PolicyName)
    assert await bound() is PolicyName.OPERATOR
    assert await bound(*everything) is PolicyName.OPERATOR
    assert await bench.store.sanctions.lift(ALICE, PolicyName.OPERATOR) == 1
    assert await bound() is PolicyName.BRUTE_FORCE
    assert await bound(PolicyName.BRUTE_FORCE) is PolicyName.DOS
    assert await bound(PolicyName.BRUTE_FORCE, PolicyName.DOS) is None
    assert await bench.store.sanctions.lift(ALICE) == 2
    assert await bench.store.sanctions.lift(ALICE) == 0


async def test_imposing_again_replaces(bench: Bench):
    await bench.store.sanctions.impose(Sanction(ALICE, PolicyName.OPERATOR, 600, "first"))
    await bench.store.sanctions.impose(Sanction(ALICE, PolicyName.OPERATOR, 20, "second"))
    found = list(await bench.store.sanctions.all())
    assert [(one.reason, one.subject) for one in found] == [("second", ALICE)]
    assert found[0].expires_in_seconds == pytest.approx(20, abs=5)


async def test_lists_all_in_force(bench: Bench):
    lone = replace(network(3), networks=())
    for subject in (ALICE, ADDRESS, lone):
        await bench.store.sanctions.impose(Sanction(subject, PolicyName.OPERATOR, 60, subject.name))
    await bench.store.admit(AdmitRequest(ADDRESS, exempt=frozenset(PolicyName)))
    await bench.store.admit(AdmitRequest(Subject("user", "bob"), offence=BRUTE))
    await bench.store.sanctions.lift(ALICE)
    found = {(one.subject.kind, one.subject.name, one.policy) for one in await bench.store.sanctions.all()}
    assert found == {
        ("address", ADDRESS.name, PolicyName.OPERATOR),
        ("address", lone.name, PolicyName.OPERATOR),
        ("user", "bob", PolicyName.BRUTE_FORCE),
    }
    assert lone.group in {one.subject.group for one in await bench.store.sanctions.all()}


# --- offences --------------------------------------------------------------------------------------------------------


async def test_offences_in_a_sliding_window(bench: Bench):
    escalation = replace(DOS, window_seconds=2)
    assert (await bench.store.admit(AdmitRequest(ALICE, offence=escalation))).imposed is None
    await bench.wait(1.1)
    assert (await bench.store.admit(AdmitRequest(ALICE, offence=escalation))).imposed is None
    await bench.wait(1.0)  # the first is out of the window now
    assert (await bench.store.admit(AdmitRequest(ALICE, offence=escalation))).imposed is None
    imposed = (await bench.store.admit(AdmitRequest(ALICE, offence=escalation))).imposed
    assert imposed is not None
    assert imposed.offences == 3
    assert imposed.escalation == escalation
    assert imposed.sanction == Sanction(ALICE, PolicyName.DOS, 300, "3 offences in 2 s")


async def test_a_request_may_count_several_times_and_pays_its_charge(bench: Bench):
    result = await bench.store.admit(AdmitRequest(ALICE, (CHARGE,), offence=DOS, offences=4))
    assert result.admitted
    assert result.imposed is not None
    assert result.imposed.offences == 4
    assert result.buckets[0].remaining == 9
    assert not (await bench.store.admit(AdmitRequest(ALICE, (CHARGE,)))).admitted


async def test_a_refused_request_counts_abuse_and_not_its_own_offence(bench: Bench):
    full = replace(CHARGE, tokens=10)
    await bench.store.admit(AdmitRequest(ALICE, (full,)))
    one = replace(ABUSE, offences=1)
    result = await bench.store.admit(AdmitRequest(ALICE, (CHARGE,), abuse=one, offence=BRUTE))
    assert not result.admitted
    assert result.imposed is not None
    assert result.imposed.escalation == one


async def test_abuse_counts_once_a_second_and_tells_every_refused_request(bench: Bench):
    await bench.store.admit(AdmitRequest(ALICE, (replace(CHARGE, tokens=10),)))
    for _ in range(5):
        result = await bench.store.admit(AdmitRequest(ALICE, (CHARGE,), abuse=ABUSE, refused_before=10))
        assert result.imposed is None
    await bench.wait(1.05)
    result = await bench.store.admit(AdmitRequest(ALICE, (CHARGE,), abuse=ABUSE, refused_before=3))
    assert not result.admitted
    assert result.sanction is None
    assert result.imposed is not None
    assert result.imposed.offences == 5 * 11 + 4


async def test_is_imposed_exactly_once_with_concurrency(bench: Bench):
    results = await asyncio.gather(*(bench.store.admit(AdmitRequest(ALICE, offence=DOS)) for _ in range(64)))
    assert [result.imposed is not None for result in results].count(True) == 1
    assert [result.admitted for result in results] == [True] * 3 + [False] * 61


async def test_offences_during_a_sanction_do_not_prolong_it(bench: Bench):
    short = replace(BRUTE, sanction_seconds=2, offences=2)
    request = AdmitRequest(ADDRESS, offence=short, exempt=frozenset({PolicyName.BRUTE_FORCE}))
    await bench.store.admit(request)
    assert (await bench.store.admit(request)).imposed is not None
    for _ in range(5):
        result = await bench.store.admit(request)
        assert result.admitted
        assert result.imposed is None
    await bench.wait(2.05)
    assert (await bench.store.admit(AdmitRequest(ADDRESS))).admitted
    assert (await bench.store.admit(request)).imposed is None  # counted anew
    assert (await bench.store.admit(request)).imposed is not None


async def test_another_policy_counts_during_a_sanction(bench: Bench):
    exempt = frozenset({PolicyName.BRUTE_FORCE})
    await bench.store.admit(AdmitRequest(ADDRESS, offence=BRUTE))
    result = await bench.store.admit(AdmitRequest(ADDRESS, offence=DOS, offences=3, exempt=exempt))
    assert result.imposed is not None


async def _length_of_next(bench: Bench, escalation: Escalation) -> float:
    result = await bench.store.admit(AdmitRequest(ALICE, offence=escalation, exempt=frozenset(PolicyName)))
    assert result.imposed is not None
    return result.imposed.sanction.expires_in_seconds


async def test_a_repeat_doubles(bench: Bench):
    escalation = replace(BRUTE, sanction_seconds=1)
    lengths = []
    for pause in (1.05, 2.05, 0):
        lengths.append(await _length_of_next(bench, escalation))
        await bench.wait(pause)
    assert lengths == [1, 2, 4]


async def test_lifting_forgets_offences_and_earlier_sanctions(bench: Bench):
    assert await _length_of_next(bench, BRUTE) == 100
    assert await bench.store.sanctions.lift(ALICE) == 1
    assert await _length_of_next(bench, BRUTE) == 100
    assert await bench.store.sanctions.lift(ALICE, PolicyName.BRUTE_FORCE) == 1
    for _ in range(2):
        await bench.store.admit(AdmitRequest(ALICE, offence=DOS, offences=2))
        assert await bench.store.sanctions.lift(ALICE) == 0


async def test_monitoring_offences_bind_no_one_who_enforces(bench: Bench):
    shadow = replace(BRUTE, enforced=False)
    imposed = (await bench.store.admit(AdmitRequest(ALICE, offence=shadow))).imposed
    assert imposed is not None
    assert imposed.escalation.enforced is False
    assert (await bench.store.admit(AdmitRequest(ALICE))).admitted
    assert list(await bench.store.sanctions.all()) == []
    seen = await bench.store.admit(AdmitRequest(ALICE, enforced=False))
    assert seen.sanction is not None
    assert seen.sanction.policy is PolicyName.BRUTE_FORCE
    assert await bench.store.sanctions.lift(ALICE) == 0
    assert (await bench.store.admit(AdmitRequest(ALICE, enforced=False))).admitted


async def test_monitoring_sees_the_operators_sanctions(bench: Bench):
    await bench.store.sanctions.impose(Sanction(ALICE, PolicyName.OPERATOR, 60))
    assert (await bench.store.admit(AdmitRequest(ALICE, enforced=False))).sanction is not None
    assert await bench.store.sanctions.lift(ALICE) == 1


# --- groups ----------------------------------------------------------------------------------------------------------


async def test_a_sanction_of_the_group_binds_its_members(bench: Bench):
    group = Subject("address", "2001:db8::/48")
    await bench.store.sanctions.impose(Sanction(group, PolicyName.OPERATOR, 60))
    result = await bench.store.admit(AdmitRequest(network(1)))
    assert result.sanction is not None
    assert result.sanction.subject == group
    assert await bench.store.sanctions.lift(network(1)) == 0
    assert await bench.store.sanctions.lift(group) == 1
    assert (await bench.store.admit(AdmitRequest(network(1)))).admitted


async def test_the_eighth_sanctioned_network_brings_down_its_group(bench: Bench):
    for number in range(7):
        imposed = (await bench.store.admit(AdmitRequest(network(number), offence=BRUTE))).imposed
        assert imposed is not None
        assert imposed.sanction.subject.name == network(number).name
    again = AdmitRequest(network(1), offence=DOS, offences=3, exempt=frozenset({PolicyName.BRUTE_FORCE}))
    imposed = (await bench.store.admit(again)).imposed  # a network that is sanctioned twice counts once
    assert imposed is not None
    assert imposed.sanction.subject.name == network(1).name
    assert (await bench.store.admit(AdmitRequest(network(99)))).admitted
    imposed = (await bench.store.admit(AdmitRequest(network(7), offence=BRUTE))).imposed
    assert imposed is not None
    assert imposed.sanction.subject == Subject("address", "2001:db8::/48")
    assert not (await bench.store.admit(AdmitRequest(network(99)))).admitted
    assert len(list(await bench.store.sanctions.all())) == 9


async def test_one_network_alone_does_not_bring_down_its_group(bench: Bench):
    for _ in range(9):
        assert (await bench.store.admit(AdmitRequest(network(1), offence=BRUTE))).imposed is not None
        await bench.store.sanctions.lift(network(1))
    for number in range(9):
        await bench.store.sanctions.impose(Sanction(network(number), PolicyName.OPERATOR, 60))
    assert (await bench.store.admit(AdmitRequest(network(99)))).admitted


# --- logins ----------------------------------------------------------------------------------------------------------

LOCKOUT = Escalation(PolicyName.ACCOUNT_LOCKOUT, offences=5, window_seconds=300, sanction_seconds=1800)
LOGIN = login_subject("alice", ADDRESS)


async def test_a_lockout_binds_the_pair_of_identifier_and_address(bench: Bench):
    for number in range(5):
        result = await bench.store.admit(AdmitRequest(LOGIN, offence=LOCKOUT))
        assert (result.imposed is not None) is (number == 4)
    seen = await bench.store.admit(AdmitRequest(LOGIN))
    assert seen.sanction is not None
    assert seen.sanction.policy is PolicyName.ACCOUNT_LOCKOUT
    assert [one.subject for one in await bench.store.sanctions.all()] == [LOGIN]
    for other in (login_subject("alice", network(1)), login_subject("bob", ADDRESS), ADDRESS, ALICE):
        assert (await bench.store.admit(AdmitRequest(other))).admitted
    assert await bench.store.sanctions.lift(LOGIN, PolicyName.ACCOUNT_LOCKOUT) == 1
    assert (await bench.store.admit(AdmitRequest(LOGIN))).admitted


async def test_pardon_forgets_offences_and_what_they_brought_of_one_policy(bench: Bench):
    await bench.store.sanctions.pardon(LOGIN, PolicyName.ACCOUNT_LOCKOUT)  # nothing to forget
    for _ in range(4):
        await bench.store.admit(AdmitRequest(LOGIN, offence=LOCKOUT))
    await bench.store.sanctions.pardon(LOGIN, PolicyName.ACCOUNT_LOCKOUT)
    for _ in range(4):
        assert (await bench.store.admit(AdmitRequest(LOGIN, offence=LOCKOUT))).imposed is None
    await bench.store.sanctions.impose(Sanction(LOGIN, PolicyName.OPERATOR, 60))
    assert (await bench.store.admit(AdmitRequest(LOGIN, offence=LOCKOUT))).sanction is not None
    await bench.store.sanctions.pardon(LOGIN, PolicyName.ACCOUNT_LOCKOUT)
    assert [one.policy for one in await bench.store.sanctions.all()] == [PolicyName.OPERATOR]


# --- documents that callers were refused for --------------------------------------------------------------------------


def refusals(document: str, *callers: str) -> list[RefusedFor]:
    return [RefusedFor(document, caller) for caller in callers]


async def test_the_third_caller_refused_for_a_document_is_told_once(bench: Bench):
    note = bench.store.refused_documents.note
    assert list(await note([])) == []
    assert list(await note(refusals("d1", "a1", "a1", "b2"))) == []
    assert list(await note(refusals("d2", "c3", "a1"))) == []  # another document
    assert list(await note(refusals("d1", "a1"))) == []
    assert list(await note(refusals("d1", "c3") + refusals("d2", "b2"))) == ["d1", "d2"]
    assert list(await note(refusals("d1", "c3", "a1", "b2", "d4"))) == []


async def test_documents_that_are_sent_once_each_take_bounded_room(bench: Bench):
    note = bench.store.refused_documents.note
    await note(refusals("0", "a", "b"))
    await note([RefusedFor(f"{number:x}", "a") for number in range(1, MOST_DOCUMENTS)])
    assert list(await note(refusals("1", "b"))) == []  # it was touched: another one is the oldest
    await note(refusals("ffff", "a"))  # one too many
    assert list(await note(refusals("0", "c"))) == []  # the oldest was forgotten
    assert list(await note(refusals("1", "c"))) == ["1"]


async def test_what_is_in_force_is_counted_without_being_listed(bench: Bench):
    assert (await bench.store.sanctions.count(), await bench.store.limits.count()) == (0, 0)
    for subject, seconds in ((ALICE, 600), (ADDRESS, 600), (LOGIN, 1)):
        await bench.store.sanctions.impose(Sanction(subject, PolicyName.DOS, seconds))
    await bench.store.sanctions.impose(Sanction(ALICE, PolicyName.OPERATOR, 600))
    await bench.store.limits.set(ALICE, Rate.of(5, 60), 0, 600)
    assert (await bench.store.sanctions.count(), await bench.store.limits.count()) == (4, 1)
    await bench.wait(1.05)
    assert await bench.store.sanctions.count() == 3
    await bench.store.sanctions.lift(ALICE)
    await bench.store.limits.clear(ALICE)
    assert (await bench.store.sanctions.count(), await bench.store.limits.count()) == (1, 0)

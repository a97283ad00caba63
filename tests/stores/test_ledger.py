"""What a request gets back of what it has paid: from which buckets, in which order, and never more than it paid."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.token_buckets import Bucket, Charge, Limit
from fraiseql_guard.stores.ledger import Ledger
from tests.support.contexts import request_of

RATE = Charge("default", Limit(100, 60), tokens=3)
HOUR = Charge("default-hour", Limit(1000, 3600), tokens=3)
COST = Charge("cost", Limit(1000, 3600), tokens=40, fixed=True)


def paid(*charges: Charge, **facts) -> RequestContext:
    return request_of(buckets=tuple(Bucket(charge, 50.0) for charge in charges), **facts)


def returned(ledger: Ledger, most: int | None = None, *, which=lambda _: True, **options) -> list[tuple]:
    """What is given back: whose, whether to this process alone, and the tokens of each bucket together."""
    found = []
    for adjustment in ledger.give_back(which, most, **options):
        tokens: Counter[str] = Counter()
        for charge in adjustment.charges:
            tokens[charge.policy] += charge.tokens
        found.append((adjustment.subject.name, adjustment.alone, dict(tokens)))
    return found


def test_all_comes_back_once() -> None:
    ledger = Ledger.of(paid(RATE, COST))
    assert returned(ledger) == [("192.0.2.1", False, {"cost": -40, "default": -3})]
    assert returned(ledger) == []


def test_of_one_kind_and_up_to_so_many_tokens_of_each_bucket() -> None:
    ledger = Ledger.of(paid(RATE, HOUR, COST))
    rates = {"which": lambda charge: charge.policy.startswith("default")}
    assert returned(ledger, 2, **rates) == [("192.0.2.1", False, {"default-hour": -2, "default": -2})]
    assert returned(ledger, 2, **rates) == [("192.0.2.1", False, {"default-hour": -1, "default": -1})]
    assert returned(ledger, 0) == []
    assert returned(ledger, 1) == [("192.0.2.1", False, {"cost": -1})]
    assert returned(ledger) == [("192.0.2.1", False, {"cost": -39})]


def test_what_the_app_has_taken_last_comes_back_first_and_stays_paid_where_admission_alone_is_meant() -> None:
    ctx = paid(RATE)
    ledger = Ledger.of(ctx)
    ledger.add(ctx, (Bucket(replace(RATE, tokens=5), 40.0),), alone=True)
    assert returned(ledger, 2, admission_only=True) == [("192.0.2.1", False, {"default": -2})]
    assert returned(ledger, 7, admission_only=True) == [("192.0.2.1", False, {"default": -1})]
    assert returned(ledger, admission_only=True) == []
    assert returned(ledger, 2) == [("192.0.2.1", True, {"default": -2})]
    assert returned(ledger) == [("192.0.2.1", True, {"default": -3})]


def test_up_to_so_many_tokens_of_one_bucket_however_often_it_was_paid() -> None:
    ctx = paid(RATE)
    ledger = Ledger.of(ctx)
    ledger.add(ctx, (Bucket(replace(RATE, tokens=5), 40.0),), alone=True)
    assert returned(ledger, 6) == [("192.0.2.1", True, {"default": -5}), ("192.0.2.1", False, {"default": -1})]
    assert returned(ledger) == [("192.0.2.1", False, {"default": -2})]


def test_three_payments_to_one_bucket_give_back_no_more_than_was_asked_for() -> None:
    ctx = paid(RATE)
    ledger = Ledger.of(ctx)
    for tokens in (5, 2):
        ledger.add(ctx, (Bucket(replace(RATE, tokens=tokens), 40.0),), alone=tokens == 2)
    assert returned(ledger, 8) == [("192.0.2.1", True, {"default": -2}), ("192.0.2.1", False, {"default": -6})]


def test_a_key_gets_back_its_own_and_the_caller_theirs() -> None:
    own = replace(RATE, own=True, fixed=True)
    ledger = Ledger.of(paid(RATE, own, keyed=Subject("key", "tenant-1"), paid_alone=True))
    assert returned(ledger) == [("192.0.2.1", True, {"default": -3}), ("tenant-1", True, {"default": -3})]


def test_what_was_not_paid_comes_back_to_no_caller() -> None:
    assert returned(Ledger.of(paid(RATE, unpaid=True))) == []
    own_part = (Bucket(replace(RATE, tokens=1), 50.0),)
    assert returned(Ledger.of(paid(RATE, COST, paid=own_part))) == [("192.0.2.1", False, {"default": -1})]


def test_a_request_has_one_ledger() -> None:
    ctx = paid(RATE)
    ledger = Ledger.of(ctx)
    returned(ledger, 1)
    assert Ledger.of(ctx) is ledger
    assert returned(Ledger.of(ctx)) == [("192.0.2.1", False, {"default": -2})]


def test_what_was_paid_at_admission_can_be_looked_at() -> None:
    ctx = paid(RATE, COST, paid_alone=True)
    ledger = Ledger.of(ctx)
    ledger.add(ctx, (Bucket(HOUR, 40.0),), alone=False)
    found = [(subject.name, charge.policy, alone) for subject, charge, alone in ledger.estimate(lambda _: True)]
    assert found == [("192.0.2.1", "default", True), ("192.0.2.1", "cost", True)]
    assert [charge for _, charge, _ in ledger.estimate(lambda charge: charge.fixed)] == [COST]
    ledger.give_back(lambda charge: charge.fixed)
    assert [charge for _, charge, _ in ledger.estimate(lambda _: True)] == [RATE]

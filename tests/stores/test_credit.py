"""What an inner guard pays of a request for which guards further outside have paid to the same store."""

from __future__ import annotations

from dataclasses import replace

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.token_buckets import Bucket, Charge, Limit, network_bucket
from fraiseql_guard.stores.credit import Drawn
from tests.support.contexts import request_of

TEN = Charge("default", Limit(10, 60))
FIVE = replace(TEN, limit=Limit(5, 60))
GRAPHQL = Charge("graphql", Limit(20, 60))
COST = Charge("cost", Limit(1000, 3600), tokens=40, fixed=True)
OVERRIDE = Charge("override", Limit(4, 60))


def outer(*buckets: Bucket, **facts) -> RequestContext:
    return request_of(buckets=buckets, **facts)


def taken(charge: Charge, remaining: float = 7.0) -> Bucket:
    return Bucket(charge, remaining)


def drawn(payers: tuple[RequestContext, ...], *charges: Charge, **facts) -> tuple[Drawn, list[tuple[str, int]]]:
    """The inner guard's bill, and what is left of it to pay."""
    found = Drawn(request_of(payers=payers, **facts), charges)
    return found, [(charge.policy, charge.tokens) for charge in found.charges]


def test_the_request_pays_the_larger_bill() -> None:
    paid = (outer(taken(replace(TEN, tokens=2), 6.5)),)
    found, left = drawn(paid, TEN, GRAPHQL)
    assert left == [("graphql", 1)]
    assert [(bucket.charge.policy, bucket.remaining) for bucket in found.covered] == [("default", 6.5)]
    assert drawn((outer(taken(replace(TEN, tokens=2))),), replace(TEN, tokens=5))[1] == [("default", 3)]
    assert drawn((outer(taken(replace(TEN, tokens=2))),), replace(TEN, tokens=2))[1] == []
    assert drawn((outer(taken(replace(TEN, tokens=2), 6.5)),), replace(TEN, tokens=5))[0].covered == ()


def test_one_request_counts_on_it_and_the_next_pays_for_itself() -> None:
    paid = (outer(taken(replace(TEN, tokens=3))),)
    assert drawn(paid, replace(TEN, tokens=2))[1] == []
    assert drawn(paid, replace(TEN, tokens=2))[1] == [("default", 1)]
    found, left = drawn(paid, TEN)
    assert left == [("default", 1)]
    found.give_back()  # it had counted on nothing
    assert drawn(paid, TEN)[1] == [("default", 1)]


def test_what_a_refused_request_counted_on_is_there_for_another_and_once() -> None:
    paid = (outer(taken(TEN)),)
    found, left = drawn(paid, TEN, GRAPHQL)
    assert left == [("graphql", 1)]
    found.give_back()
    found.give_back()
    assert drawn(paid, replace(TEN, tokens=3))[1] == [("default", 2)]


def test_all_guards_outside_together_have_paid() -> None:
    near, far = outer(taken(TEN, 3.0)), outer(taken(TEN, 5.0))
    found, left = drawn((near, far), replace(TEN, tokens=3))
    assert left == [("default", 1)]
    found.give_back()
    found, left = drawn((near, far), replace(TEN, tokens=2))
    assert left == []
    assert [bucket.remaining for bucket in found.covered] == [3.0]  # as the nearest one knows it


def test_buckets_of_another_size_subject_or_burst_are_others() -> None:
    paid = (outer(taken(FIVE)), outer(taken(replace(TEN, burst=1))), request_of("192.0.2.9", buckets=(taken(TEN),)))
    assert drawn(paid, TEN)[1] == [("default", 1)]
    network = replace(TEN, bucket=network_bucket("default", "2001:db8::/48"))
    neighbour = request_of("2001:db8:0:2::1", buckets=(taken(network), taken(TEN)))
    inner = Drawn(request_of("2001:db8:0:1::1", payers=(neighbour,)), (TEN, network))
    assert [charge.key for charge in inner.charges] == ["default"]


def test_a_guard_outside_that_was_refused_has_paid_nothing() -> None:
    assert drawn((outer(taken(TEN), unpaid=True),), TEN)[1] == [("default", 1)]


def test_a_guard_further_inside_may_count_on_all_of_it() -> None:
    ctx = request_of(payers=(outer(taken(replace(TEN, tokens=2))),))
    found = Drawn(ctx, (replace(TEN, tokens=3), GRAPHQL))
    found.keep(ctx, tuple(taken(charge) for charge in found.charges))
    inner = Drawn(request_of(payers=(ctx,)), (replace(TEN, tokens=3), replace(GRAPHQL, tokens=2)))
    assert [(charge.policy, charge.tokens) for charge in inner.charges] == [("graphql", 1)]


# --- an operator's override of the limits -----------------------------------------------------------------------------


def test_an_override_stands_for_all_charges_that_are_not_fixed() -> None:
    hour = replace(OVERRIDE, policy="override-hour", limit=Limit(50, 3600), bucket="override/3600")
    paid = (outer(taken(OVERRIDE, 2.0), taken(hour, 40.0), taken(COST)),)
    found, left = drawn(paid, TEN, GRAPHQL, replace(COST, tokens=50))
    assert left == [("cost", 10)]
    assert [bucket.charge.policy for bucket in found.covered] == ["override", "override-hour"]


def test_what_an_override_has_not_paid_is_left_as_the_first_charge_and_the_others_stay() -> None:
    paid = (outer(taken(OVERRIDE)),)
    found, left = drawn(paid, replace(TEN, tokens=3), replace(GRAPHQL, tokens=3))
    assert left == [("default", 2), ("graphql", 3)]
    assert found.covered == ()


def test_what_a_caller_pays_beside_their_key_is_dropped_where_an_operator_has_vouched_for_the_key() -> None:
    key = {"keyed": Subject("key", "tenant-1")}
    beside = replace(TEN, own=True, fixed=True)
    assert drawn((outer(taken(OVERRIDE), **key),), TEN, beside, **key)[1] == []
    assert drawn((outer(taken(TEN), **key),), TEN, beside, **key)[1] == [("default", 1)]
    assert drawn((outer(taken(OVERRIDE)),), TEN, beside, **key)[1] == [("default", 1), ("default", 1)]

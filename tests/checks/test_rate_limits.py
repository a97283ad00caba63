"""The bill of a request: which buckets it takes from, how many tokens, and how large those buckets are."""

from __future__ import annotations

from typing import Any

import pytest

from fraiseql_guard.checks.bills import Bills
from fraiseql_guard.checks.rate_limits import is_lenient, refuse, unpayable
from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.place import Place
from fraiseql_guard.core.rule_candidates import RuleShare
from fraiseql_guard.core.rule_table import RuleTable
from fraiseql_guard.core.settings import Mode, Settings
from fraiseql_guard.core.signals import (
    BAD_REQUEST,
    CHARGE_TOO_LARGE,
    CROSS_SITE_REQUEST,
    RATE_LIMITED,
    UNAUTHENTICATED,
    FailureReason,
)
from fraiseql_guard.core.token_buckets import Bucket, Charge, Limit
from tests.support.contexts import measured, request_of

EXPIRED = Denial(UNAUTHENTICATED, reason=FailureReason.TOKEN_EXPIRED, tokens=0)
CROSS_SITE = Denial(CROSS_SITE_REQUEST, tokens=0)
V6 = "2001:db8:0:1::1"

Bill = dict[str, tuple[int, int]]


def bills(
    *, mode: Mode = Mode.ENFORCE, beside: bool = False, configured: dict[str, Any] | None = None, **settings: Any
) -> Bills:
    options = {"rate_limit_default": "10/minute", "rate_limit_burst": 2, "rate_limit_authenticated": "30/minute"}
    loaded = Settings.load({}, **options | settings)
    first = None if configured is None else Settings.load({}, **options | configured)
    return Bills(loaded, first, RuleTable.of(loaded), mode=mode, beside=beside)


def written(charges: tuple[Charge, ...]) -> Bill:
    """By policy: tokens taken, and what a full bucket holds. A further bucket of the policy is named by its own."""
    found: Bill = {}
    for charge in charges:
        name = charge.policy if charge.policy not in found else charge.key
        assert name not in found
        found[name] = (charge.tokens, charge.capacity)
    return found


def bill(ctx: RequestContext, denial: Denial | None = None, **settings: Any) -> Bill:
    return written(bills(**settings).of(ctx, denial))


# --- whose buckets ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        ({}, {"default": (1, 12)}),
        ({"user": "alice"}, {"authenticated": (1, 32)}),
        ({"user": "alice", "tier": "pro"}, {"pro": (1, 102)}),
        ({"user": "alice", "tier": "invented"}, {"authenticated": (1, 32)}),
        ({"public_operation": True}, {"public": (1, 6)}),
        ({"socket": True}, {"sockets": (1, 10)}),
        ({"shared_peer": True}, {"default": (1, 240)}),
        ({"shared_peer": True, "public_operation": True}, {"public": (1, 120)}),
        ({"shared_peer": True, "socket": True}, {"sockets": (1, 200)}),
        ({"shared_peer": True, "user": "alice"}, {"authenticated": (1, 32)}),
    ],
)
def test_each_caller_pays_one_token_from_the_bucket_that_is_theirs(caller, expected) -> None:
    rates = {"rate_limit_public": "4/minute", "rate_limit_sockets": "5/minute", "tiers": "pro=100/minute"}
    assert bill(request_of(**caller), **rates) == expected


def test_every_window_is_a_bucket_and_the_shortest_alone_has_the_burst() -> None:
    windows = {"rate_limit_default": "10/minute, 100/hour", "rate_limit_sockets": "5/minute, 50/hour"}
    assert bill(request_of(), **windows) == {"default": (1, 12), "default-hour": (1, 100)}
    assert bill(request_of(shared_peer=True), **windows) == {"default": (1, 240), "default-hour": (1, 2000)}
    assert bill(request_of(socket=True), **windows) == {"sockets": (1, 10), "sockets-hour": (1, 50)}


def test_buckets_of_callers_who_look_alike_are_none_of_anyone_elses() -> None:
    own, shared = bills().of(request_of(), None), bills().of(request_of(shared_peer=True), None)
    assert own[0].key != shared[0].key
    assert (own[0].limit, shared[0].limit) == (Limit(10, 60), Limit(200, 60))


def test_a_rate_changed_at_run_time_stays_in_the_bucket_that_the_guard_was_mounted_with() -> None:
    tiers = {"tiers": "pro=100/minute", "rate_limit_graphql_mutation": "3/minute", "rate_limit_sockets": "5/minute"}
    changed = {
        "tiers": "pro=7/minute", "rate_limit_graphql_mutation": "1/minute", "rate_limit_sockets": "2/minute",
        "rate_limit_default": "5/minute", "rate_limit_burst": 0, "rate_limit_authenticated": "6/minute",
    }  # fmt: skip
    for ctx in (
        request_of(),
        request_of(measured=measured("mutation")),
        request_of(user="a"),
        request_of(user="a", tier="pro"),
        request_of(socket=True),
    ):
        mounted, now = bills(**tiers).of(ctx, None), bills(configured=tiers, **changed).of(ctx, None)
        assert [charge.key for charge in mounted] == [charge.key for charge in now]
        assert all(one.capacity > other.capacity for one, other in zip(mounted, now, strict=True))
        fresh = bills(**changed).of(ctx, None)
        assert not {charge.key for charge in fresh} & {charge.key for charge in now}


def test_buckets_keep_their_names_so_that_a_new_version_finds_what_was_counted() -> None:
    rates = {
        "tiers": "pro=100/minute, authenticated=7/minute", "rate_limit_default": "10/minute, 100/hour",
        "rate_limit_graphql": "8/minute",
    }  # fmt: skip
    found = [
        [charge.key for charge in bills(**rates).of(ctx, denial)]
        for ctx, denial in (
            (request_of(), None),
            (request_of(shared_peer=True, operation=False), None),
            (request_of(user="a", operation=False), None),
            (request_of(user="a", tier="pro"), None),
            (request_of(user="a", tier="authenticated"), None),
            (request_of(), EXPIRED),
            (request_of("2001:db8::1", operation=False), None),
        )
    ]
    default = ["default:10/60+2", "default/3600:100/3600+0"]
    assert found == [
        [*default, "graphql:8/60+2"],
        [f"{name}*20" for name in default],
        ["authenticated:30/60+2"],
        ["tier:pro:100/60+2"],
        ["tier:authenticated:7/60+2"],
        [f"token_expired:{name}" for name in default],
        [*default, *(f"{name}@2001:db8::/{length}" for length in (56, 48) for name in default)],
    ]


# --- how much --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "tokens"),
    [
        (None, 1),
        (measured(fields=("a", "b", "c")), 1),
        (measured("mutation", fields=()), 1),
        (measured("mutation", fields=("a",)), 1),
        (measured("mutation", fields=("a", "b", "c")), 3),
        (measured("mutation", fields=("a", "b"), unmeasured=4), 6),
        (measured(unmeasured=2), 2),
    ],
)
def test_a_mutation_takes_a_token_for_each_root_field_and_so_does_each_part_that_is_not_known(asked, tokens) -> None:
    assert bill(request_of(measured=asked)) == {"default": (tokens, 12)}


def test_a_public_operation_takes_one_for_each_root_field_whatever_its_kind() -> None:
    asked = measured(fields=("login", "refresh"))
    rates = {"rate_limit_public": "4/minute"}
    assert bill(request_of(measured=asked, public_operation=True), **rates) == {"public": (2, 6)}
    none = measured(fields=())
    assert bill(request_of(measured=none, public_operation=True), **rates) == {"public": (1, 6)}


GRAPHQL = {
    "rate_limit_graphql": "8/minute", "rate_limit_graphql_query": "6/minute",
    "rate_limit_graphql_mutation": "4/minute", "tiers": "pro=100/minute",
}  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "further"),
    [
        ({"measured": measured()}, {"graphql": (1, 10), "graphql_query": (1, 8)}),
        ({"measured": measured("subscription")}, {"graphql": (1, 10), "graphql_query": (1, 8)}),
        ({"measured": measured("mutation", fields=("a", "b"))}, {"graphql": (2, 10), "graphql_mutation": (2, 6)}),
        ({}, {"graphql": (1, 10), "graphql_query": (1, 8), "graphql_mutation": (1, 6)}),
        (
            {"measured": measured(unmeasured=2)},
            {"graphql": (2, 10), "graphql_query": (2, 8), "graphql_mutation": (2, 6)},
        ),
        ({"operation": False}, {}),
        ({"measured": measured(), "public_operation": True}, {}),
        ({"measured": measured(), "user": "a", "tier": "pro"}, {}),
        ({"measured": measured(), "user": "a"}, {"graphql": (1, 10), "graphql_query": (1, 8)}),
    ],
)
def test_graphql_limits_come_on_top_by_the_kind_of_the_operation_and_a_tier_replaces_them(facts, further) -> None:
    own = bill(request_of(**facts), **GRAPHQL)
    main = next(iter(own))
    assert main in ("default", "public", "authenticated", "pro")
    del own[main]
    assert own == further


# --- wider networks --------------------------------------------------------------------------------------------------


def test_an_ipv6_address_pays_for_its_wider_networks_from_buckets_four_times_as_large_each() -> None:
    ctx = request_of(V6)
    found = bills().of(ctx, None)
    assert [(charge.tokens, charge.capacity, charge.shared) for charge in found] == [
        (1, 12, False), (1, 48, True), (1, 192, True),
    ]  # fmt: skip
    assert [charge.key.partition("@")[2] for charge in found] == ["", "2001:db8::/56", "2001:db8::/48"]
    mutation = request_of(V6, measured=measured("mutation", fields=("a", "b")))
    charges = bills(rate_limit_graphql_mutation="4/minute").of(mutation, None)
    assert [(charge.policy, charge.tokens) for charge in charges] == [("default", 2)] * 3 + [("graphql_mutation", 2)]
    # A user has none, wherever they are.
    assert bill(request_of(V6, user="alice")) == {"authenticated": (1, 32)}


def test_refused_requests_pay_for_the_networks_as_well() -> None:
    found = bills().of(request_of(V6), Denial(BAD_REQUEST, tokens=5))
    assert [(charge.tokens, charge.capacity) for charge in found] == [(5, 12), (5, 48), (5, 192)]
    lenient = bills().of(request_of(V6), EXPIRED)
    assert [charge.capacity for charge in lenient] == [120, 480, 1920]


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "denial", "expected"),
    [
        ({}, Denial(BAD_REQUEST), {"default": (1, 12)}),
        ({}, Denial(BAD_REQUEST, tokens=10), {"default": (10, 12)}),
        ({}, Denial(BAD_REQUEST, tokens=12), {"default": (12, 12)}),
        ({}, Denial(BAD_REQUEST, tokens=13), {"default": (12, 12)}),  # as far as the bucket can pay
        ({}, Denial(BAD_REQUEST, tokens=0), {}),
        ({"socket": True}, Denial(BAD_REQUEST, tokens=10), {"sockets": (1, 10)}),
        ({"socket": True}, Denial(BAD_REQUEST, tokens=0), {}),
        ({"measured": measured("mutation", fields=("a", "b"))}, Denial(BAD_REQUEST), {"default": (1, 12)}),
        ({}, EXPIRED, {"token_expired": (1, 120)}),
        ({}, CROSS_SITE, {"cross_site": (1, 120)}),
        ({"shared_peer": True}, EXPIRED, {"token_expired": (1, 2400)}),
        ({"shared_peer": True}, CROSS_SITE, {"cross_site": (1, 2400)}),
    ],
)
def test_a_refusal_costs_the_main_bucket_what_it_says_and_a_lenient_one_a_bucket_of_its_own(
    facts, denial, expected
) -> None:
    rates = {"rate_limit_sockets": "5/minute", "rate_limit_graphql": "8/minute"}
    assert bill(request_of(**facts), denial, **rates) == expected


def test_lenient_refusals_have_all_windows_of_the_anonymous_rate_ten_times_as_large() -> None:
    assert bill(request_of(), EXPIRED, rate_limit_default="10/minute, 100/hour") == {
        "token_expired": (1, 120), "token_expired-hour": (1, 1000),
    }  # fmt: skip
    shortest, hour = bills(rate_limit_default="10/minute, 100/hour").of(request_of(), EXPIRED)
    assert (shortest.fixed, hour.fixed, hour.window_of) == (True, True, "token_expired")


@pytest.mark.parametrize(
    ("denial", "lenient"),
    [
        (None, False), (EXPIRED, True), (CROSS_SITE, True),
        (Denial(CROSS_SITE_REQUEST), False), (Denial(BAD_REQUEST, tokens=0), False),
        (Denial(UNAUTHENTICATED, reason=FailureReason.INVALID_TOKEN, tokens=0), False),
        (Denial(UNAUTHENTICATED, reason=FailureReason.TOKEN_EXPIRED), False),
    ],
)  # fmt: skip
def test_lenient_is_what_innocent_clients_are_refused_for_and_costs_nothing(denial, lenient) -> None:
    assert is_lenient(denial) is lenient


def test_what_checks_have_added_is_paid_by_what_passes_alone() -> None:
    points = Charge("cost", Limit(1000, 3600), tokens=40, fixed=True)
    ctx = request_of(charges=(points,))
    assert bill(ctx) == {"default": (1, 12), "cost": (40, 1000)}
    assert bill(ctx, Denial(BAD_REQUEST)) == {"default": (1, 12)}


# --- what is not counted ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "counts"),
    [
        ({}, True),
        ({"allow_listed": True}, False),
        ({"private_peer": True, "place": Place(exempt=True)}, False),
        ({"private_peer": False, "place": Place(exempt=True)}, True),
        ({"private_peer": True, "place": Place(exempt=False)}, True),
        ({"preflight": True, "headers": {b"origin": b"https://spa.example.org"}}, False),
        ({"preflight": True, "headers": {b"origin": b"https://evil.example"}}, True),
        ({"preflight": False, "headers": {b"origin": b"https://spa.example.org"}}, True),
    ],
)
def test_who_is_not_counted(facts, counts) -> None:
    made = bills(cors_origins="https://spa.example.org")
    ctx = request_of(**facts)
    assert (made.counts(ctx), made.free(ctx)) == (counts, not counts)
    assert bool(made.of_passed(ctx)) is counts
    assert bool(made.further(ctx, 3)) is counts


@pytest.mark.parametrize(
    ("mode", "passed", "refused"), [(Mode.ENFORCE, True, True), (Mode.MONITOR, True, False), (Mode.OFF, False, False)]
)
def test_a_limit_that_is_only_watched_charges_no_refusal_and_one_that_is_off_charges_nothing(
    mode, passed, refused
) -> None:
    made = bills(mode=mode)
    assert bool(made.of(request_of(), None)) is passed
    assert bool(made.of_passed(request_of())) is passed
    assert bool(made.further(request_of(), 2)) is passed
    assert made.counts(request_of()) is passed
    assert bool(made.of(request_of(), Denial(BAD_REQUEST))) is refused


def test_what_the_app_takes_comes_from_the_main_buckets_and_those_of_the_networks() -> None:
    made = bills(rate_limit_graphql="8/minute")
    assert written(made.further(request_of(), 5)) == {"default": (5, 12)}
    assert [charge.tokens for charge in made.further(request_of(V6), 5)] == [5, 5, 5]
    assert made.further(request_of(), 0) == ()


# --- beside a key that is chosen at will -----------------------------------------------------------------------------


def keyed(address: str = "192.0.2.1", **facts: Any) -> RequestContext:
    return request_of(address, keyed=Subject("key", "tenant-1"), **facts)


def test_beside_a_key_that_is_chosen_at_will_the_caller_pays_the_same_from_buckets_of_their_own() -> None:
    key, own = bills(beside=True).of(keyed(), None)
    assert (key.own, own.own) == (False, True)
    assert (key.capacity, own.capacity, own.tokens) == (12, 240, 1)
    assert own.fixed
    assert [charge.own for charge in bills(beside=False).of(keyed(), None)] == [False]
    assert [charge.own for charge in bills(beside=True).of(request_of(), None)] == [False]
    assert [charge.own for charge in bills(beside=True).of(keyed(), Denial(BAD_REQUEST))] == [False, True]
    assert [charge.own for charge in bills(beside=True).of(keyed(), EXPIRED)] == [False]


def test_what_any_request_takes_is_its_main_buckets_and_what_is_paid_beside_them() -> None:
    asked = {"measured": measured("mutation", fields=("a", "b"))}
    made = bills(rate_limit_graphql="8/minute")
    assert written(made.main(request_of(**asked))) == {"default": (1, 12)}
    key, own = bills(beside=True).main(keyed(**asked))
    assert (key.capacity, own.capacity, own.own) == (12, 240, True)


def test_an_ipv6_caller_pays_beside_their_key_for_their_networks_too() -> None:
    key, *own = bills(beside=True).of(keyed(V6), None)
    assert not key.own
    assert [(charge.own, charge.fixed, charge.capacity) for charge in own] == [
        (True, True, 240), (True, True, 960), (True, True, 3840),
    ]  # fmt: skip


# --- rules -----------------------------------------------------------------------------------------------------------


def ruled(ctx: RequestContext, settings: Settings, *, strict: bool = False) -> RequestContext:
    full, strictly = RuleTable(settings).in_force
    ctx.rule = strictly if strict else full
    return ctx


def by_rule(ctx: RequestContext, *, strict: bool = False, **effects: Any) -> Bill:
    rule = {"name": "heavy", "match": {"operations": ["Report"]}, **effects}
    options = {
        "rate_limit_default": "10/minute", "rate_limit_burst": 2, "rate_limit_graphql": "8/minute",
        "rules": {"rules": [rule]},
    }  # fmt: skip
    loaded = Settings.load({}, **options)
    made = Bills(loaded, None, RuleTable.of(loaded), mode=Mode.ENFORCE, beside=False)
    return written(made.of(ruled(ctx, loaded, strict=strict), None))


def test_a_rules_rate_replaces_all_others_and_in_its_strict_form_is_paid_beside_them() -> None:
    assert by_rule(request_of(), rate="5/hour") == {"rule:heavy": (1, 7)}
    assert by_rule(request_of(shared_peer=True), rate="5/hour") == {"rule:heavy": (1, 140)}
    assert by_rule(request_of(), strict=True, rate="5/hour") == {
        "default": (1, 12), "graphql": (1, 10), "rule:heavy": (1, 7),
    }  # fmt: skip


def test_a_rules_cost_multiplies_what_is_taken() -> None:
    assert by_rule(request_of(), cost=4) == {"default": (4, 12), "graphql": (4, 10)}
    two = measured("mutation", fields=("a", "b"))
    assert by_rule(request_of(measured=two), cost=4) == {"default": (8, 12), "graphql": (8, 10)}
    assert by_rule(request_of(measured=two), cost=3, rate="9/hour") == {"rule:heavy": (6, 11)}
    assert by_rule(request_of(), cost=0) == {}


# --- what can never be paid, and what is short ------------------------------------------------------------------------


def test_a_charge_above_its_bucket_can_never_be_paid_and_of_several_the_smallest_bucket_is_named() -> None:
    fits = Charge("default", Limit(3, 60), burst=2, tokens=5)
    assert unpayable(()) is None
    assert unpayable((fits,)) is None
    above = Charge("default", Limit(3, 60), burst=2, tokens=6)
    expected = Denial(CHARGE_TOO_LARGE, limit=5, actual=6, detail="default", tokens=0)
    assert unpayable((above,)) == expected
    assert unpayable((fits, above)) == expected
    larger = Charge("graphql", Limit(50, 60), tokens=60)
    smaller = Charge("hour", Limit(2, 3600), tokens=3)
    assert unpayable((larger, above)) == expected
    assert unpayable((above, larger)) == expected
    assert unpayable((above, smaller, larger)) == Denial(CHARGE_TOO_LARGE, limit=2, actual=3, detail="hour", tokens=0)
    equal = Charge("equal", Limit(5, 60), tokens=7)
    assert unpayable((above, equal)) == expected


@pytest.mark.parametrize(
    ("remaining", "tokens", "actual"), [(0.0, 1, 13), (0.9, 1, 13), (1.0, 3, 14), (2.5, 3, 13), (-0.5, 1, 13)]
)
def test_the_refusal_tells_the_rate_and_how_much_would_be_in_use_with_the_request(remaining, tokens, actual) -> None:
    charge = Charge("default", Limit(10, 60), burst=2, tokens=tokens)
    assert refuse(Bucket(charge, remaining, 4.5)) == Denial(
        RATE_LIMITED, detail="default: 10/minute", limit=10, actual=actual, retry_after_seconds=4.5, tokens=1
    )


def test_the_operations_of_a_batch_pay_by_their_own_rules_and_one_bucket_once() -> None:
    settings = Settings.load(
        {}, rate_limit_default="10/minute", rate_limit_public="20/minute", rate_limit_burst=2,
        rules={"rules": [{"name": "heavy", "match": {"operations": ["Report"]}, "cost": 4}]},
    )  # fmt: skip
    made = Bills(settings, None, RuleTable.of(settings), mode=Mode.ENFORCE, beside=False)
    ctx = ruled(request_of(), settings)
    ctx.rule_shares = (RuleShare(ctx.rule, 1, 3), RuleShare(None, 2, 2), RuleShare(None, 0, 0))
    assert written(made.of(ctx, None)) == {"default": (4 + 2 + 1, 12)}
    ctx.public_operation = True
    assert written(made.of(ctx, None)) == {"public": (3 * 4 + 2 + 1, 22)}

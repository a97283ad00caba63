"""Points per hour: whose budget an operation takes from, how much of it, and what is told of one that is used up."""

from __future__ import annotations

from typing import Any

import pytest

from fraiseql_guard.checks.cost_budgets import CostBudgets, budget_among, is_budget, refuse_budget
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import CHARGE_TOO_LARGE, COST_BUDGET_EXCEEDED
from fraiseql_guard.core.token_buckets import Bucket, Charge, Limit
from tests.support.contexts import measured, request_of

BUDGETS = "free=100,pro=1000,default=500"


def charged(ctx: RequestContext, budgets: str = BUDGETS, **settings: Any) -> list[tuple[int, int]]:
    """What an operation that passes takes: points, and how many a full budget has."""
    loaded = Settings.load({}, cost_budgets=budgets, **settings)
    assert CostBudgets(loaded).decide(ctx) is None
    assert all(charge.policy == "cost" and charge.fixed and is_budget(charge) for charge in ctx.charges)
    assert all(charge.limit.window_seconds == 3600 for charge in ctx.charges)
    return [(charge.tokens, charge.capacity) for charge in ctx.charges]


@pytest.mark.parametrize(
    ("facts", "points"),
    [
        ({}, 500),
        ({"user": "a"}, 500),
        ({"user": "a", "tier": "free"}, 100),
        ({"user": "a", "tier": "pro"}, 1000),
        ({"user": "a", "tier": "invented"}, 500),
        ({"shared_peer": True}, 10_000),
        ({"shared_peer": True, "user": "a"}, 500),
    ],
)
def test_each_caller_pays_what_the_operation_costs_from_the_budget_of_their_tier(facts, points) -> None:
    assert charged(request_of(measured=measured(complexity=40), **facts)) == [(40, points)]


def test_without_a_default_callers_without_a_tier_have_no_budget() -> None:
    asked = measured(complexity=40)
    assert charged(request_of(measured=asked), "free=100") == []
    assert charged(request_of(measured=asked, user="a"), "free=100") == []
    assert charged(request_of(measured=asked, user="a", tier="free"), "free=100") == [(40, 100)]


@pytest.mark.parametrize(
    "facts",
    [{"operation": False}, {"public_operation": True}, {"allow_listed": True}, {"measured": measured(complexity=0)}],
)
def test_what_costs_nothing(facts) -> None:
    assert charged(request_of(**{"measured": measured(complexity=40)} | facts)) == []


@pytest.mark.parametrize(("tier", "limit"), [("free", 100), ("pro", 1000)])
def test_a_whole_budget_can_be_spent_at_once_and_one_point_more_never(tier, limit) -> None:
    assert charged(request_of(user="a", tier=tier, measured=measured(complexity=limit))) == [(limit, limit)]
    ctx = request_of(user="a", tier=tier, measured=measured(complexity=limit + 1))
    denial = CostBudgets(Settings.load({}, cost_budgets=BUDGETS)).decide(ctx)
    assert denial == Denial(CHARGE_TOO_LARGE, limit=limit, actual=limit + 1, detail="cost")
    assert ctx.charges == ()


def test_what_could_not_be_measured_costs_what_the_limits_allow_and_at_most_the_whole_budget() -> None:
    rules = {"rules": [{"name": "report", "match": {"operations": ["Report"]}, "max_complexity": 400}]}
    for unknown in (None, measured(complexity=40, unmeasured=1)):
        assert charged(request_of(measured=unknown), max_query_complexity=300) == [(300, 500)]
        assert charged(request_of(measured=unknown), max_query_complexity=600) == [(500, 500)]
        assert charged(request_of(measured=unknown), max_query_complexity=300, rules=rules) == [(400, 500)]
        assert charged(request_of(measured=unknown), max_query_complexity=450, rules=rules) == [(450, 500)]
    assert charged(request_of(measured=measured(complexity=350, unmeasured=1)), max_query_complexity=300) == [
        (350, 500)
    ]


def test_wider_networks_have_budgets_too() -> None:
    ctx = request_of("2001:db8:0:1::1", measured=measured(complexity=40))
    assert charged(ctx) == [(40, 500), (40, 2000), (40, 8000)]
    assert [charge.key.partition("@")[2] for charge in ctx.charges] == ["", "2001:db8::/56", "2001:db8::/48"]


def test_a_budget_changed_at_run_time_stays_in_the_bucket_that_the_guard_was_mounted_with() -> None:
    def bucket(budgets: str, mounted: str | None, **facts: Any) -> str:
        first = None if mounted is None else Settings.load({}, cost_budgets=mounted)
        ctx = request_of(measured=measured(), **facts)
        CostBudgets(Settings.load({}, cost_budgets=budgets), first).decide(ctx)
        return ctx.charges[0].key

    before = bucket(BUDGETS, None)
    assert bucket("default=50", BUDGETS) == before
    assert bucket("default=50", None) != before
    assert bucket("default=50", "free=1") not in (before, bucket("default=50", None))
    free = {"user": "a", "tier": "free"}
    assert len({before, bucket(BUDGETS, None, **free), bucket(BUDGETS, None, shared_peer=True)}) == 3
    alike = "free=500,default=500"
    assert bucket(alike, None) != bucket(alike, None, **free)  # each tier has its own


def test_what_the_app_takes_comes_from_the_same_budgets() -> None:
    budgets = CostBudgets(Settings.load({}, cost_budgets=BUDGETS))
    (charge,) = budgets.further(request_of(user="a", tier="free"), 7)
    assert (charge.tokens, charge.capacity) == (7, 100)
    assert [each.tokens for each in budgets.further(request_of("2001:db8::1"), 7)] == [7, 7, 7]
    assert budgets.further(request_of(allow_listed=True), 7) == ()
    assert CostBudgets(Settings.load({}, cost_budgets="free=1")).further(request_of(), 7) == ()


# --- a budget that is used up ----------------------------------------------------------------------------------------

BUDGET = Charge("cost", Limit(100, 3600), tokens=40, bucket="cost:free", fixed=True)
TIER = Charge("cost", Limit(100, 3600), tokens=40, bucket="tier:cost")


@pytest.mark.parametrize(("remaining", "left"), [(39.9, 39), (39.0, 39), (0.0, 0), (-3.0, 0)])
def test_the_refusal_tells_how_many_points_are_left_and_how_many_are_needed(remaining, left) -> None:
    assert refuse_budget(Bucket(BUDGET, remaining, 36.5)) == Denial(
        COST_BUDGET_EXCEEDED, detail=f"{left} of 100 points left, 40 needed", limit=100, actual=40,
        retry_after_seconds=36.5, facts=(("remaining", left),), tokens=1,
    )  # fmt: skip


def test_a_tier_called_cost_is_no_budget() -> None:
    assert is_budget(BUDGET)
    assert not is_budget(TIER)
    assert refuse_budget(Bucket(TIER, 0.0, 1.0)) is None
    fixed = Charge("sockets", Limit(5, 60), fixed=True)
    assert not is_budget(fixed)
    buckets = (Bucket(TIER, 1.0), Bucket(fixed, 1.0), Bucket(BUDGET, 2.0))
    assert budget_among(buckets) is buckets[2]
    assert budget_among(buckets[:2]) is None

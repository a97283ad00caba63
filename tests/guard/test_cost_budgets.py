"""Points per hour: who has spent theirs is told so, and when to come back."""

import pytest

from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.testing import make_token
from tests.support.asgi import graphql

TEN = "{users(limit:10){id}}"


async def test_without_budgets_there_is_none(guarded) -> None:
    guard = guarded(max_query_complexity=10_000)
    for _ in range(20):
        assert (await graphql(guard, "{users(limit:1000){id}}")).status == 200


async def test_a_budget_is_spent_by_what_operations_cost(guarded, clock) -> None:
    guard = guarded(clock=clock, cost_budgets="default=25")
    replies = [await graphql(guard, TEN) for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert '"cost";q=25;w=3600' in (replies[0].header("ratelimit-policy") or "")
    refused = replies[2]
    assert (refused.code, refused.extensions["limit"], refused.extensions["actual"]) == ("COST_BUDGET_EXCEEDED", 25, 10)
    assert refused.extensions["remaining"] == 5
    assert refused.header("retry-after") == "720"  # 5 points more at 25 an hour
    assert (await graphql(guard, "{users(limit:5){id}}")).status == 200  # what fits still passes
    assert len(guard.app.bodies) == 3


async def test_a_refusal_has_its_own_counter_and_line(guarded) -> None:
    guard = guarded(cost_budgets="default=10")
    for _ in range(3):
        await graphql(guard, TEN)
    assert guard.metric("fraiseql_guard_cost_budget_exceeded_total", ip_address="203.0.113.7") == 2
    assert guard.metric("fraiseql_guard_refusals_total", code="COST_BUDGET_EXCEEDED") == 2
    assert guard.metric("fraiseql_rate_limit_exceeded_total") == 0
    assert guard.lines("guard.request_refused")[0]["context"]["code"] == "COST_BUDGET_EXCEEDED"


async def test_what_costs_more_than_the_whole_budget_is_not_a_matter_of_waiting(guarded) -> None:
    guard = guarded(cost_budgets="default=5", rate_limit_default="10/minute", rate_limit_burst=0)
    reply = await graphql(guard, TEN)
    assert (reply.status, reply.code) == (400, "CHARGE_TOO_LARGE")
    assert (reply.extensions["limit"], reply.extensions["actual"]) == (5, 10)
    assert reply.header("retry-after") is None
    assert reply.header("x-ratelimit-remaining") == "9"  # refusals are not free
    assert (await graphql(guard, "{users(limit:5){id}}")).status == 200  # nothing of the budget was taken


async def test_budgets_go_by_tier(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret, auth_required=False, cost_budgets="free=10,pro=30,default=20")

    async def admitted(**caller):
        return [(await graphql(guard, TEN, **caller)).status for _ in range(4)].count(200)

    assert await admitted(token=make_token(secret, sub="a", tier="free")) == 1
    assert await admitted(token=make_token(secret, sub="b", tier="pro")) == 3
    assert await admitted(token=make_token(secret, sub="c", tier="invented")) == 2
    assert await admitted(token=make_token(secret, sub="d")) == 2
    assert await admitted() == 2
    assert await admitted(client=("198.51.100.1", 1)) == 2


async def test_without_a_default_only_the_tiers_have_one(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret, auth_required=False, cost_budgets="free=10")
    assert {(await graphql(guard, TEN)).status for _ in range(5)} == {200}
    token = make_token(secret, sub="a", tier="free")
    assert [(await graphql(guard, TEN, token=token)).status for _ in range(2)] == [200, 429]


async def test_a_tier_called_cost_is_no_budget(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret, tiers="cost=1/minute", rate_limit_burst=0, cost_budgets="default=1000")
    token = make_token(secret, sub="a", tier="cost")
    assert (await graphql(guard, TEN, token=token)).status == 200
    assert (await graphql(guard, TEN, token=token)).code == "RATE_LIMITED"


async def test_many_networks_of_one_holder_share_a_budget(guarded) -> None:
    guard = guarded(cost_budgets="default=10", rate_limit_default="10000/minute")
    spent = 0
    for network in range(20):
        spent += (await graphql(guard, TEN, client=(f"2001:db8:1:2{network:02x}::1", 1))).status == 200
    assert spent == 4  # one /56 has four budgets


async def test_who_is_refused_spends_nothing_and_the_allow_listed_are_not_counted(guarded) -> None:
    guard = guarded(cost_budgets="default=10", max_list_size=100)
    assert (await graphql(guard, "{users(limit:200){id}}")).status == 400
    assert (await graphql(guard, TEN)).status == 200
    guard = guarded(cost_budgets="default=10", allow_list="203.0.113.0/24")
    assert {(await graphql(guard, "{users(limit:20){id}}")).status for _ in range(5)} == {200}


async def test_in_monitor_mode_a_spent_budget_is_only_counted(guarded) -> None:
    guard = guarded(cost_budgets="default=10", mode_rate_limit="monitor")
    for query in (TEN, TEN, "{users(limit:20){id}}"):
        assert (await graphql(guard, query)).status == 200
    assert guard.metric("fraiseql_guard_would_refuse_total", code="COST_BUDGET_EXCEEDED") == 1
    assert guard.metric("fraiseql_guard_would_refuse_total", code="CHARGE_TOO_LARGE") == 1
    assert guard.metric("fraiseql_guard_cost_budget_exceeded_total") == 0


@pytest.mark.parametrize("bad", ["free", "free=0", "free=-1", "free=many", "bad tier=1", "=5"])
def test_bad_budgets_are_explained(guarded, bad) -> None:
    with pytest.raises(SettingsError, match="free=1000,pro=10000,default=500"):
        guarded(cost_budgets=bad)

"""Limits can be tuned before they bite: requests near a limit are counted, and a limit may be watched alone."""

import json

import pytest

from fraiseql_guard import RateLimitMiddleware
from fraiseql_guard.core.settings import VARIABLES
from fraiseql_guard.core.signals import LIMITS
from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.graphql.document_limits import QUERY_LIMITS
from tests.support.asgi import graphql, request

NEAR = "fraiseql_guard_near_limit_total"
WOULD = "fraiseql_guard_would_refuse_total"


def test_every_limit_on_an_operation_can_be_watched():
    assert set(LIMITS) == {row.setting for row in QUERY_LIMITS} <= {row.option for row in VARIABLES}


@pytest.mark.parametrize(
    ("query", "near"),
    [
        ("{me{id}}", set()),
        ("{users(limit:80){id}}", set()),
        ("{users(limit:81){id}}", {"max_query_complexity", "max_list_size"}),
        ("{users(limit:100){id}}", {"max_query_complexity", "max_list_size"}),
        ("{a{a{a{a{a{a{a{a{a}}}}}}}}}", {"max_query_depth"}),
        ("{" + " ".join(f"a{n}:x" for n in range(25)) + "}", {"max_aliases"}),
        ("{" + " ".join(f"a{n}" for n in range(25)) + "}", {"max_root_fields"}),
    ],
)
async def test_operations_near_a_limit_are_counted(guarded, query, near) -> None:
    options = {"max_query_complexity": 100, "max_list_size": 100}
    guard = guarded(**options, max_root_fields=200 if "max_aliases" in near else 30)
    assert (await graphql(guard, query)).status == 200
    assert {limit for limit in LIMITS if guard.metric(NEAR, limit=limit)} == near
    assert guard.metric(NEAR) == len(near)


async def test_what_is_beyond_a_limit_is_not_near_it_and_memory_changes_nothing(guarded) -> None:
    guard = guarded(max_query_complexity=100)
    for _ in range(2):
        assert (await graphql(guard, "{users(limit:101){id}}")).status == 400
        assert guard.metric(NEAR) == 0
    for _ in range(3):
        await graphql(guard, "{users(limit:90){id}}")
    assert guard.metric(NEAR, limit="max_query_complexity") == 3


async def test_some_limits_are_watched_while_the_others_refuse(guarded) -> None:
    guard = guarded(monitor_limits="max_query_complexity,max_aliases")
    aliases = "{me{" + " ".join(f"a{n}:x" for n in range(70)) + "}}"
    assert (await graphql(guard, aliases)).status == 200
    assert (await graphql(guard, "{a" * 11 + "}" * 11)).code == "QUERY_TOO_DEEP"
    assert (await graphql(guard, "{users(limit:1000){posts(limit:2000){id}}}")).code == "LIST_TOO_LARGE"
    assert guard.metric(WOULD, code="TOO_MANY_ALIASES") == 1
    assert guard.metric("fraiseql_guard_refusals_total") == 2


async def test_what_exceeds_a_watched_limit_is_told_and_no_offence(guarded) -> None:
    guard = guarded(monitor_limits="max_query_complexity,max_aliases")
    for _ in range(12):
        assert (await graphql(guard, "{users(limit:1000){posts(limit:5){id}}}")).status == 200
    assert guard.metric(WOULD, code="QUERY_TOO_COMPLEX") == 12
    assert guard.metric("fraiseql_guard_sanctions_total") == 0
    line = guard.lines("graphql.expensive_query")[0]["context"]
    assert (line["enforced"], line["query_complexity"], line["max_complexity"]) == (False, 5000 + 1000, 1000)


async def test_a_batch_is_watched_as_a_whole(guarded) -> None:
    guard = guarded(batching=True, monitor_limits="max_query_complexity")
    batch = json.dumps([{"query": "{users(limit:600){id}}"}] * 2).encode()
    assert (await request(guard, body=batch)).status == 200
    assert guard.metric(WOULD, code="QUERY_TOO_COMPLEX") == 1


async def test_nothing_is_watched_where_the_query_limits_are_not_mounted(guarded) -> None:
    guard = guarded(middleware=RateLimitMiddleware, monitor_limits="max_query_complexity")
    assert (await graphql(guard, "{users(limit:5000){id}}")).status == 200
    assert guard.metric(WOULD) == 0


def test_an_unknown_limit_is_explained(guarded) -> None:
    with pytest.raises(SettingsError, match="'max_tokens', which is none of max_query_depth, max_query_complexity"):
        guarded(monitor_limits="max_tokens")

"""The line of an answered GraphQL request carries what was measured of it, in bounded numbers and short names."""

from __future__ import annotations

import orjson
import pytest

from fraiseql_guard.core.signals import MEASURES
from fraiseql_guard.testing import make_token
from tests.conftest import SECRET
from tests.support.asgi import EchoApp, graphql, request

QUERY = "query Home { users(limit: 7, offset: 3) { name } a: me { id } b: me { id } }"
DEEP = "{a{a{a{a{a{a{a{a{a{a{a{id}}}}}}}}}}}}"
FAR_TOO_DEEP = "{a" * 40 + "{id}" + "}" * 40


async def measured(guard, query=QUERY, **more):
    """The line of one request."""
    await graphql(guard, query, **more)
    return guard.lines("http.request")[-1]["context"]


async def test_what_was_measured_stands_in_the_line(guarded):
    guard = guarded(EchoApp(), jwt_secret=SECRET, tiers="pro=50/minute", rate_limit_burst="0")
    line = await measured(guard, token=make_token(SECRET, sub="ada", tier="pro"))
    found = line[MEASURES]
    assert (line["operation"], len(line["query_hash"])) == ("Home", 64)
    assert found.pop("caller") not in ("ada", "")
    assert found == {
        "tier": "pro", "kind": "query", "depth": 2, "complexity": found["complexity"], "list_size": 7, "offset": 3,
        "aliases": 2, "root_fields": 3, "fields": ["me", "users"], "in_flight": 1,
        "policy": "pro", "used": 1, "capacity": 50, "refill": 0.8333,
    }  # fmt: skip


async def test_a_caller_is_told_apart_and_stays_the_same(guarded):
    guard = guarded(EchoApp(), jwt_secret=SECRET, auth_required="false")
    callers = [
        (await measured(guard, token=make_token(SECRET, sub=name) if name else None))[MEASURES]["caller"]
        for name in ("ada", "bob", None, "ada")
    ]
    assert callers[0] == callers[3]
    assert len(set(callers)) == 3


async def test_the_caller_is_whose_buckets_pay(guarded):
    guard = guarded(jwt_secret=SECRET, rate_limit_key="claim:org")
    callers = [
        (await measured(guard, token=make_token(SECRET, sub=sub, org=org)))[MEASURES]["caller"]
        for sub, org in (("alice", "acme"), ("bob", "acme"), ("alice", "other"))
    ]
    assert callers[0] == callers[1] != callers[2]
    assert "acme" not in str(callers)


@pytest.mark.parametrize("mode", ["monitor", "enforce"])
async def test_what_is_refused_or_would_be_says_so(guarded, mode):
    guard = guarded(EchoApp(), mode=mode)
    found = (await measured(guard, DEEP))[MEASURES]
    assert (found["code"], found["enforced"], found["depth"]) == ("QUERY_TOO_DEEP", mode == "enforce", 12)
    # Refused before it was measured: its number is all that is known.
    found = (await measured(guard, FAR_TOO_DEEP))[MEASURES]
    assert found["code"] == "QUERY_TOO_DEEP"
    assert found.get("actual", found.get("depth")) > 12


async def test_the_time_of_its_statements_is_added_up(guarded):
    async def app(scope, receive, send):
        for _ in range(3):
            guard.guard.database.record_query(0.02, query_type="select")
        with guard.guard.database.timed_query("select 1"):
            pass
        await EchoApp()(scope, receive, send)

    guard = guarded(app)
    assert 60 <= (await measured(guard))[MEASURES]["database_ms"] < 10_000


async def test_a_sampled_line_says_how_many_it_stands_for(guarded):
    guard = guarded(EchoApp(), access_log="sampled")
    for number in range(20):
        await graphql(guard, QUERY, client=(f"203.0.113.{number}", 1))
    lines = [line["context"] for line in guard.lines("http.request")]
    assert [line["sample_rate"] for line in lines] == [10, 10]
    assert all(line[MEASURES]["depth"] == 2 for line in lines)


async def test_they_are_bounded_whatever_a_client_sends(guarded):
    guard = guarded(EchoApp())
    fields = " ".join(f"{'f' * 250}{number}: {'g' * 250}{number}" for number in range(15))
    found = (await measured(guard, f"query {'N' * 5_000} {{ {fields} }}"))[MEASURES]
    assert len(orjson.dumps(found)) < 1_200


async def test_they_can_be_switched_off_and_belong_to_graphql_alone(guarded):
    assert MEASURES not in await measured(guarded(EchoApp(), log_measures="false"))
    guard = guarded(EchoApp())
    await request(guard, "GET", "/other", content_type=None)
    assert MEASURES not in guard.lines("http.request")[-1]["context"]

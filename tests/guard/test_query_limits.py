"""Expensive operations are refused with the numbers that the engineer needs, and counted."""

import json

from fraiseql_guard.core.settings import name_of
from fraiseql_guard.stores.documents import digest_of
from fraiseql_guard.testing import make_token
from tests.support.asgi import graphql, request

LIMITS = {
    "{a{a{a{a{a{a{a{a{a{a{a}}}}}}}}}}}": ("QUERY_TOO_DEEP", 10, 11),
    "{users(limit:100){posts(limit:50){id}}}": ("QUERY_TOO_COMPLEX", 1000, 5100),
    "{users(limit:501){id}}": ("LIST_TOO_LARGE", 500, 501),
    "{" + " ".join(f"a{n}:me{{id}}" for n in range(31)) + "}": ("TOO_MANY_ALIASES", 30, 31),
}


async def test_what_is_over_a_limit_is_refused_with_its_numbers(guarded) -> None:
    guard = guarded(max_root_fields=50, max_list_size=500)
    for query, (code, limit, actual) in LIMITS.items():
        reply = await graphql(guard, query)
        assert (reply.status, reply.code) == (400, code), query
        assert (reply.extensions["limit"], reply.extensions["actual"]) == (limit, actual)
    assert guard.app.bodies == []
    assert guard.metric("fraiseql_graphql_query_complexity_exceeded_total") == 2
    line = guard.lines("graphql.expensive_query")[1]
    assert (line["level"], line["context"]["query_complexity"], line["context"]["max_complexity"]) == (
        "WARNING",
        5100,
        1000,
    )
    assert len(line["context"]["query_hash"]) == 64
    for written in guard.lines():
        assert "posts(limit" not in json.dumps(written)  # never the text


async def test_every_measured_operation_moves_the_histograms(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret)
    token = make_token(secret, sub="alice")
    await graphql(guard, "{users(limit:20){id posts(limit:3){id}}}", token=token)
    assert guard.metric("fraiseql_graphql_query_complexity_count") == 1
    assert guard.metric("fraiseql_graphql_query_complexity_sum") == 80
    assert guard.metric("fraiseql_graphql_query_complexity_total", user_id="alice") == 80
    assert guard.metric("fraiseql_graphql_query_depth_sum") == 3
    assert guard.metric("fraiseql_graphql_query_limit_sum") == 20
    assert guard.metric("fraiseql_graphql_queries_total") == 1
    assert guard.metric("fraiseql_graphql_queries_success") == 1
    assert guard.metric("fraiseql_graphql_query_duration_seconds_count", user_id="alice") == 1


async def test_ten_dear_queries_in_a_minute_bring_a_block_of_their_user_alone(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret)
    dear = "{users(limit:100){posts(limit:100){id}}}"  # 10,100 of 1,000
    attacker, other = make_token(secret, sub="mallory"), make_token(secret, sub="alice")
    statuses = [(await graphql(guard, dear, token=attacker)).status for _ in range(12)]
    assert statuses == [400] * 10 + [403] * 2
    (line,) = guard.lines("security.dos_detected")
    assert line["level"] == "CRITICAL"
    assert line["context"]["user_id"] == "mallory"
    assert (line["context"]["expensive_queries_count"], line["context"]["action"]) == (10, "automatic_block")
    assert (await graphql(guard, "{me{id}}", token=attacker)).status == 403
    assert (await graphql(guard, "{me{id}}", token=other)).status == 200
    assert guard.metric("fraiseql_graphql_query_complexity_exceeded_total") == 13  # who is blocked is not read any more


async def test_slightly_too_much_and_mistakes_are_no_offence(guarded) -> None:
    guard = guarded(rate_limit_default="10000/minute")
    for _ in range(15):
        assert (await graphql(guard, "{users(limit:100){posts(limit:98){id}}}")).status == 400  # 9900 of 1000
        assert (await graphql(guard, "{syntax error")).status == 400
        assert (await graphql(guard, "{__schema{types{name}}}")).status == 400
    assert guard.metric("fraiseql_guard_sanctions_total") == 0


async def test_introspection_is_denied_unless_development_or_switched_on(guarded, secret) -> None:
    query = "{__schema{types{name}}}"
    denied = await graphql(guarded(), query)
    assert (denied.status, denied.code) == (400, "INTROSPECTION_DENIED")
    assert (await graphql(guarded(environment="development"), query)).status == 200
    assert (await graphql(guarded(introspection="allow"), query)).status == 200
    guard = guarded(jwt_secret=secret, auth_required=False, introspection="authenticated")
    assert (await graphql(guard, query)).status == 400
    assert (await graphql(guard, query, token=make_token(secret, sub="alice"))).status == 200


async def test_every_operation_is_bounded_not_only_the_one_named(guarded) -> None:
    guard = guarded()
    two = {"query": "query A{me{id}} query B{users(limit:1000){posts(limit:9){id}}}", "operationName": "A"}
    assert (await request(guard, body=json.dumps(two).encode())).code == "QUERY_TOO_COMPLEX"


async def test_a_schema_makes_the_count_exact(guarded) -> None:
    sdl = "type Query { people: [Person!]! } type Person { id: ID status: Status } type Status { name: String }"
    reply = await graphql(guarded(schema=sdl, max_query_complexity=19), "{people{status{name}}}")
    assert (reply.code, reply.extensions["actual"]) == ("QUERY_TOO_COMPLEX", 20)
    assert (
        await graphql(guarded(max_query_complexity=19), "{people{status{name}}}")
    ).status == 200  # people: no plural s


async def test_what_was_answered_often_is_subject_to_whatever_is_in_force(guarded) -> None:
    guard, query = guarded(), "{users(limit:20){id}}"
    for kind, name, value, code in [
        ("setting", name_of("max_query_complexity"), "19", "QUERY_TOO_COMPLEX"),
        ("document", digest_of(query), "", "DOCUMENT_BLOCKED"),
    ]:
        assert [(await graphql(guard, query)).status for _ in range(5)] == [200] * 5
        await guard.guard.operator.switch(kind, name, value, duration_seconds=60)
        await guard.guard.runtime.control.refresh()
        assert (await graphql(guard, query)).code == code
        await guard.guard.operator.unswitch(kind, name)
        await guard.guard.runtime.control.refresh()
    assert [(await graphql(guard, query)).status for _ in range(5)] == [200] * 5
    assert guard.metric("fraiseql_graphql_query_complexity_sum") == 17 * 20

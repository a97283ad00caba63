"""What clients are told of limits: which headers, and whether refusals carry numbers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.testing import make_token
from tests.guard.test_honest_limits import Telling
from tests.support import socket_memory
from tests.support.asgi import EchoApp, graphql, request
from tests.support.socket_memory import SocketApp

STANDARD = {"ratelimit", "ratelimit-policy"}
LEGACY = {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"}
ONCE = {"rate_limit_default": "1/hour", "rate_limit_burst": 0, "rate_limit_abuse_offences": 10**6}
HIDDEN = {"expose_limits": False}
TOLD = {"code", "retryAfter", "requestId"}
DEEP = "{a{b{c{d}}}}"


def told(reply: Any) -> set[str]:
    return {name.decode().lower() for name, _ in reply.headers} & (STANDARD | LEGACY)


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ("standard,legacy", STANDARD | LEGACY),
        ("legacy, standard", STANDARD | LEGACY),
        ("Standard", STANDARD),
        ("legacy", LEGACY),
        ("none", set()),
    ],
)
@pytest.mark.parametrize("app", [EchoApp, Telling])
async def test_the_chosen_headers_and_no_others_reach_clients(guarded, chosen, names, app) -> None:
    guard = guarded(app(), rate_limit_headers=chosen, cors_origins="https://a.example", **ONCE)
    origin = {"origin": "https://a.example"}
    assert told(await graphql(guard, "{me}", headers=origin)) == names
    for _ in range(3):  # of the store, from memory, and the same answer again
        refused = await graphql(guard, "{me}", headers=origin)
        assert (refused.status, told(refused)) == (429, names)
        assert int(refused.header("retry-after")) > 0
        exposed = {name.strip().lower() for name in refused.header("access-control-expose-headers").split(",")}
        assert exposed == names | {"retry-after", "x-request-id"}


@pytest.mark.parametrize(
    ("chosen", "names"), [("standard,legacy", STANDARD | LEGACY), ("legacy", LEGACY), ("none", set())]
)
async def test_the_apps_own_headers_of_callers_who_are_not_counted(guarded, chosen, names) -> None:
    guard = guarded(Telling(), rate_limit_headers=chosen, allow_list="203.0.113.0/24")
    reply = await graphql(guard, "{me}")
    assert told(reply) == names
    assert reply.header("x-ratelimit-resource") == "books"


@pytest.mark.parametrize("chosen", ["", "none,legacy", "draft"])
def test_headers_that_there_are_not(guarded, chosen) -> None:
    with pytest.raises(SettingsError, match="rate_limit_headers"):
        guarded(rate_limit_headers=chosen.split(","))


# Hidden numbers


async def test_a_refusal_for_the_rate_says_when_to_come_back_alone(guarded) -> None:
    guard = guarded(Telling(), **ONCE, **HIDDEN)
    assert told(await graphql(guard, "{me}")) == set()
    for _ in range(3):
        refused = await graphql(guard, "{me}")
        assert (refused.status, refused.code, set(refused.extensions)) == (429, "RATE_LIMITED", TOLD)
        assert refused.extensions["retryAfter"] == int(refused.header("retry-after"))
        assert told(refused) == set()
    (line, *_) = guard.lines("security.rate_limit")
    assert (line["context"]["limit"], line["context"]["window_seconds"]) == (1, 3600)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (DEEP, "QUERY_TOO_DEEP"),
        ("{a b:a c:a}", "TOO_MANY_ROOT_FIELDS"),
        ("{unreadable", "GRAPHQL_PARSE_FAILED"),
        ("mutation{a b c d}", "CHARGE_TOO_LARGE"),
        ("{__schema{types{name}}}", "INTROSPECTION_DENIED"),
    ],
)
async def test_no_refusal_tells_a_limit_a_path_or_a_setting(guarded, query, code) -> None:
    options = {"max_query_depth": 2, "max_root_fields": 2, "rate_limit_default": "30/minute"}
    if code == "CHARGE_TOO_LARGE":
        options = {"rate_limit_default": "3/minute", "rate_limit_burst": 0}
    guard = guarded(environment="production", **options, **HIDDEN)
    refused = await graphql(guard, query)
    assert (refused.code, set(refused.extensions)) == (code, TOLD - {"retryAfter"})
    assert told(refused) == set()
    assert "FRAISEQL" not in refused.body.decode()


async def test_problem_json_tells_as_little(guarded) -> None:
    guard = guarded(**ONCE, **HIDDEN)
    await request(guard, "GET", "/page")
    refused = await request(guard, "GET", "/page")
    assert refused.header("content-type") == "application/problem+json"
    assert set(refused.json) == {"type", "title", "status"} | TOLD
    too_large = await request(guarded(max_request_bytes=5, **HIDDEN), path="/upload", body=b"x" * 50)
    assert set(too_large.json) == {"type", "title", "status", "code", "requestId"}


async def test_a_batch_tells_as_little(guarded) -> None:
    guard = guarded(batching=True, max_query_depth=2, **HIDDEN)
    refused = await request(guard, body=json.dumps([{"query": DEEP}, {"query": "{a}"}]).encode())
    assert isinstance(refused.json, list)
    for answer in refused.json:
        assert set(answer["errors"][0]["extensions"]) == TOLD - {"retryAfter"}


async def test_server_sent_events_tell_as_little(guarded) -> None:
    guard = guarded(max_query_depth=2, **HIDDEN)
    refused = await graphql(guard, "subscription" + DEEP, headers={"accept": "text/event-stream"})
    (data,) = [line for line in refused.body.decode().splitlines() if line.startswith("data: {")]
    (error,) = json.loads(data.removeprefix("data: "))["errors"]
    assert set(error["extensions"]) == TOLD - {"retryAfter"}


@pytest.mark.parametrize("protocol", ["graphql-transport-ws", "graphql-ws"])
async def test_a_socket_tells_as_little(guarded, protocol) -> None:
    guard = guarded(SocketApp(), max_query_depth=2, **ONCE | {"rate_limit_default": "2/hour"}, **HIDDEN)
    async with socket_memory.opened(guard, protocol) as socket:
        await socket.init()
        deep = await socket.ask(DEEP, "1")
        assert (deep["extensions"]["code"], set(deep["extensions"])) == ("QUERY_TOO_DEEP", TOLD - {"retryAfter"})
        seen = [await socket.ask("{a}", str(number)) for number in range(2, 6)]
        assert set(seen[-1]["extensions"]) == TOLD


async def test_a_mutation_whose_time_is_up_still_says_that_its_outcome_is_unknown(guarded) -> None:
    guard = guarded(EchoApp(seconds=5), mutation_timeout=0.05, query_timeout=0.05, **HIDDEN)
    refused = await graphql(guard, "mutation{a}")
    assert refused.extensions["outcome"] == "unknown"
    assert set(refused.extensions) == {"code", "requestId", "outcome"}


async def test_a_budget_tells_nothing_of_what_is_left(guarded, secret) -> None:
    guard = guarded(cost_budgets="default=10", **HIDDEN)
    replies = [await graphql(guard, "{a{b{c}}}") for _ in range(6)]
    refused = replies[-1]
    assert (refused.code, set(refused.extensions)) == ("COST_BUDGET_EXCEEDED", TOLD)


def test_costs_in_answers_contradict_hidden_numbers(guarded) -> None:
    with pytest.raises(SettingsError, match=r"COST_IN_RESPONSE=true .* FRAISEQL_GUARD_EXPOSE_LIMITS=false"):
        guarded(cost_in_response=True, **HIDDEN)


async def test_a_refused_token_is_still_challenged(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret, **HIDDEN)
    refused = await graphql(guard, "{me}", token=make_token("y" * 40, sub="alice"))
    assert refused.status == 401
    assert refused.header("www-authenticate")
    assert "detail" not in refused.extensions

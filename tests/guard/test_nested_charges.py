"""Guards around guards: what a request costs where they count in one store, and where each has its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fraiseql_guard import Guard, RateLimitMiddleware
from fraiseql_guard.testing import make_token
from tests.support.asgi import Connection, EchoApp, Reply, graphql, request
from tests.support.nesting import Between
from tests.support.redis_server import RedisServer

TEN = {"rate_limit_default": "10/hour", "rate_limit_burst": 0, "store_timeout_ms": 5000}
THREE_FIELDS = "mutation { a b c }"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
def store(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Options of guards that count in one place: in Redis, or each in its own memory."""
    return {"redis_url": request.getfixturevalue("server").url} if request.param == "redis" else {}


@pytest.fixture
def caller() -> Iterator[Callable[[], tuple[str, int]]]:
    """Addresses that no test has used before: they share a Redis."""
    return iter_callers


_addresses = iter(range(1, 60_000))


def iter_callers() -> tuple[str, int]:
    number = next(_addresses)
    return f"198.{18 + number // 65536}.{number // 256 % 256}.{number % 256}", 1


async def closing(*guards: Any) -> None:
    for guard in guards:
        await guard.aclose()


async def pages(app: Any, count: int, client: Any, path: str = "/page") -> list[Reply]:
    return [await request(app, "GET", path, client=client) for _ in range(count)]


def statuses(replies: list[Reply]) -> list[int]:
    return [reply.status for reply in replies]


async def test_a_request_costs_one_token_of_a_bucket_that_all_describe_alike(store, caller) -> None:
    inner = RateLimitMiddleware(EchoApp(), **TEN, **store)
    middle = Guard(Between(inner), **TEN, **store)
    outer = Guard(Between(middle), **TEN, **store)
    replies = await pages(outer, 12, caller())
    assert statuses(replies) == [200] * 10 + [429] * 2
    assert [reply.header("x-ratelimit-remaining") for reply in replies[:10]] == [str(left) for left in range(9, -1, -1)]
    await closing(outer, middle, inner)


async def test_buckets_that_differ_in_their_limit_are_counted_apart(store, caller) -> None:
    inner = RateLimitMiddleware(EchoApp(), rate_limit_default="5/hour", rate_limit_burst=0, **store)
    outer = Guard(Between(inner), **TEN | {"rate_limit_default": "100/minute"}, **store)
    assert statuses(await pages(outer, 50, caller())) == [200] * 5 + [429] * 45
    await closing(outer, inner)


async def test_the_larger_bill_is_paid(store, caller) -> None:
    """Outside a mutation of three fields is a request like any other."""
    inner = Guard(EchoApp(), graphql_paths="/api/graphql", **TEN, **store)
    outer = Guard(Between(inner), graphql_paths="/elsewhere", **TEN, **store)
    client = caller()
    replies = [await graphql(outer, THREE_FIELDS, path="/api/graphql", client=client) for _ in range(4)]
    assert statuses(replies) == [200] * 3 + [429]
    assert replies[2].header("x-ratelimit-remaining") == "1"
    turned = Guard(Between(Guard(EchoApp(), graphql_paths="/elsewhere", **TEN, **store)), **TEN, **store)
    client = caller()
    assert statuses([await graphql(turned, THREE_FIELDS, client=client) for _ in range(4)]) == [200] * 3 + [429]
    await closing(outer, inner, turned)


async def test_a_refusal_inside_costs_what_it_costs_there_and_no_more(store, caller) -> None:
    inner = Guard(EchoApp(), **TEN, **store)
    outer = RateLimitMiddleware(Between(inner), graphql_paths="/elsewhere", **TEN, **store)
    client = caller()
    broken = await graphql(outer, "{{{", client=client)  # ten tokens
    assert (broken.status, broken.header("x-ratelimit-remaining")) == (400, "0")
    assert (await graphql(outer, "{me}", client=client)).status == 429
    await closing(outer, inner)


async def test_users_and_addresses_are_counted_apart(store, caller, secret) -> None:
    """The outer guard has no key: to it everybody is an address."""
    inner = Guard(EchoApp(), jwt_secret=secret, **TEN, **store)
    outer = Guard(Between(inner), **TEN | {"rate_limit_default": "12/hour"}, **store)
    client = caller()
    tokens = [make_token(secret, sub=f"{name}-{client[0]}") for name in ("ada", "bob")]
    replies = [await graphql(outer, "{me}", token=tokens[turn % 2], client=client) for turn in range(14)]
    assert statuses(replies) == [200] * 12 + [429] * 2
    await closing(outer, inner)


async def test_what_monitoring_would_have_refused_was_not_paid(store, caller) -> None:
    inner = Guard(EchoApp(), **TEN, **store)
    outer = Guard(Between(inner), mode="monitor", **TEN, **store)
    assert statuses(await pages(outer, 12, caller())) == [200] * 10 + [429] * 2
    turned = Guard(Between(Guard(EchoApp(), mode="monitor", **TEN, **store)), **TEN, **store)
    assert statuses(await pages(turned, 12, caller())) == [200] * 10 + [429] * 2
    await closing(outer, inner, turned)


async def test_what_an_app_asks_itself_pays_for_itself(store, caller) -> None:
    """One request of the client pays for one of those that its endpoint makes of it, also when they run at once."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != "/batch":
            await EchoApp()(scope, receive, send)
            return

        async def one() -> int:
            connection = Connection([b""])
            part = {**scope, "path": "/part", "raw_path": b"/part"}
            await guard(part, connection.receive, connection.send)
            return connection.reply.status

        body = json.dumps(await asyncio.gather(*[one() for _ in range(4)])).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    guard = RateLimitMiddleware(app, **TEN, **store)
    replies = await pages(guard, 4, caller(), "/batch")
    assert [reply.json for reply in replies[:2]] == [[200] * 4] * 2
    assert sorted(replies[2].json) == [
        200,
        200,
        429,
        429,
    ]  # 2 of 10 were left: its own, which pays for one, and one more
    assert replies[3].status == 429
    await closing(guard)


async def test_a_limit_that_an_operator_has_set_is_counted_once(store, caller, secret) -> None:
    """On one Redis, whatever the guards' own limits are: it replaces them all."""
    inner = Guard(EchoApp(), jwt_secret=secret, rate_limit_default="7/hour", rate_limit_burst=0, **store)
    outer = Guard(Between(inner), jwt_secret=secret, **TEN, **store)
    name = f"ada-{caller()[0]}"
    for guard in (outer, inner) if not store else (outer,):
        await guard.set_user_limit(name, "3/hour")
    held = (await outer.operator.limits())[0].burst
    token = make_token(secret, sub=name)
    replies = [await graphql(outer, "{me}", token=token) for _ in range(5 + held)]
    assert statuses(replies) == [200] * (3 + held) + [429] * 2
    await closing(outer, inner)


async def test_the_wider_networks_of_an_address_pay_once_as_well(store) -> None:
    inner = Guard(EchoApp(), **TEN | {"rate_limit_default": "2/hour"}, **store)
    outer = Guard(Between(inner), **TEN | {"rate_limit_default": "2/hour"}, **store)
    # A /56 has four times the limit of each of its /64s.
    callers = [(f"2001:db8:77:{number:x}::1", 1) for number in range(5)]
    replies = [(await pages(outer, 2, client)) for client in callers]
    assert [statuses(each) for each in replies] == [[200, 200]] * 4 + [[429, 429]]
    await closing(outer, inner)


async def test_a_budget_of_points_pays_once(store, caller, secret) -> None:
    options = {"jwt_secret": secret, "cost_budgets": "default=30", "cost_in_response": True, **store}
    inner = Guard(EchoApp(), **options, store_timeout_ms=5000)
    outer = Guard(Between(inner), **options, store_timeout_ms=5000)
    token = make_token(secret, sub=f"ada-{caller()[0]}")
    query = "{ " + " ".join(f"a{number}: me {{ id }}" for number in range(10)) + " }"
    replies = [await graphql(outer, query, token=token) for _ in range(4)]
    costs = [reply.json["extensions"]["cost"] for reply in replies[:3]]
    assert [(cost["requested"], cost["remaining"]) for cost in costs] == [(10, 20), (10, 10), (10, 0)]
    assert replies[3].code == "COST_BUDGET_EXCEEDED"
    await closing(outer, inner)


@pytest.mark.redis
async def test_guards_on_two_databases_count_apart(server, caller) -> None:
    inner = Guard(EchoApp(), redis_url=server.url, **TEN)
    outer = Guard(Between(inner), redis_url=server.url.replace("/0", "/1"), **TEN)
    client = caller()
    assert statuses(await pages(inner, 4, client)) == [200] * 4
    assert statuses(await pages(outer, 7, client)) == [200] * 6 + [429]
    await closing(outer, inner)


async def test_what_was_refused_from_memory_is_told_alike(store, caller) -> None:
    """A flood through both: the refusal that is repeated has the numbers and the id of its own request."""
    inner = RateLimitMiddleware(EchoApp(), **TEN | {"rate_limit_default": "2/hour"}, **store)
    outer = Guard(Between(inner), **TEN | {"rate_limit_default": "1000/minute"}, **store)
    replies = await pages(outer, 40, caller())
    assert {reply.status for reply in replies[2:]} == {429}
    ids = [reply.header("x-request-id") for reply in replies]
    assert len(set(ids)) == 40
    assert [reply.json["requestId"] for reply in replies[2:]] == ids[2:]
    assert {reply.header("x-ratelimit-limit") for reply in replies} == {"2"}
    assert all(1790 <= int(reply.header("retry-after")) <= 1800 for reply in replies[2:])
    await closing(outer, inner)

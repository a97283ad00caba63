"""A number that a client is told is true: who waits as long as it is told is admitted, whatever changed meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from fraiseql_guard.core.settings import name_of
from fraiseql_guard.operations.operator.interface import Target
from fraiseql_guard.stores.overrides import Override, OverrideKind
from fraiseql_guard.testing import make_token
from tests.conftest import Guarded
from tests.guard.test_fleet import soon
from tests.support.asgi import PUBLIC_ADDRESS, EchoApp, Reply, graphql, request
from tests.support.redis_server import RedisServer

FIELDS = 20
EXPENSIVE = "mutation{" + " ".join(f"f{number}:x" for number in range(FIELDS)) + "}"
QUICK = "2/second"
BEFORE = {"rate_limit_default": "200/hour", "rate_limit_burst": 0, "rate_limit_abuse_offences": 6}


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def mount(request: pytest.FixtureRequest, guarded: Any) -> AsyncIterator[Callable[..., Guarded]]:
    """Mounts a guard on either store."""
    store: dict[str, Any] = {}
    if request.param == "redis":
        server = request.getfixturevalue("redis")
        server.flush()
        store = {"redis_url": server.url, "store_timeout_ms": 5000}
    made: list[Guarded] = []

    def make(app: Any = None, **options: Any) -> Guarded:
        made.append(guarded(app, **{**store, **options}))
        return made[-1]

    yield make
    for each in made:
        await each.guard.aclose()


async def use_up(guard: Guarded, tokens: int, **caller: Any) -> None:
    for _ in range(tokens // FIELDS):
        assert (await graphql(guard, EXPENSIVE, **caller)).status == 200


async def admitted_by_obeying(guard: Guarded, **caller: Any) -> None:
    """Ask until refused, wait as told, and be admitted: three times over, and never blocked."""
    for _ in range(3):
        for _ in range(10):
            reply = await graphql(guard, "{me{id}}", **caller)
            if reply.status != 200:
                break
        assert (reply.status, reply.header("retry-after")) == (429, "1")
        assert reply.extensions["retryAfter"] == 1
        await asyncio.sleep(1)
        assert (await graphql(guard, "{me{id}}", **caller)).status == 200


async def test_a_setting_that_is_lowered_at_run_time(mount) -> None:
    guard = mount(**BEFORE)
    await use_up(guard, 200)
    assert (await graphql(guard, "{me{id}}")).status == 429
    variable = name_of("rate_limit_default")
    await guard.guard._runtime.store.overrides.put(Override(OverrideKind.SETTING, variable, 600, value=QUICK))
    assert await soon(lambda: str(guard.guard.settings.rate_limit_default) == QUICK)
    assert (await graphql(guard, "{me{id}}")).status == 429  # the bucket goes on, and is no new one
    await admitted_by_obeying(guard)


async def test_a_cheaper_tier(mount, secret) -> None:
    guard = mount(jwt_secret=secret, tiers=f"pro=200/hour,free={QUICK}", **BEFORE)
    await use_up(guard, 200, token=make_token(secret, sub="alice", tier="pro"))
    await admitted_by_obeying(guard, token=make_token(secret, sub="alice", tier="free"))
    assert (await graphql(guard, "{me{id}}", token=make_token(secret, sub="alice", tier="pro"))).status == 429


async def test_a_limit_that_an_operator_lowers_for_one_caller(mount) -> None:
    guard = mount(**BEFORE)
    caller = Target(ip_address=PUBLIC_ADDRESS)
    await guard.guard.operator.set_limit(caller, "1000/hour", duration_seconds=600)
    await use_up(guard, 900)
    await guard.guard.operator.set_limit(caller, QUICK, duration_seconds=600)
    await admitted_by_obeying(guard)


async def test_a_burst_is_lowered(mount) -> None:
    guard = mount(rate_limit_default="2/second", rate_limit_burst="1000%")
    await use_up(guard, 20)
    await guard.guard._runtime.store.overrides.put(
        Override(OverrideKind.SETTING, name_of("rate_limit_burst"), 600, value="0%")
    )
    assert await soon(lambda: str(guard.guard.settings.rate_limit_burst) == "0%")
    await admitted_by_obeying(guard)


async def test_a_change_of_rates_lets_no_caller_have_both(mount, secret) -> None:
    """What the larger rate has counted stays counted, whatever the smaller one has looked at meanwhile."""
    guard = mount(jwt_secret=secret, tiers="pro=40/hour,free=1/hour", rate_limit_burst=0)
    pro, free = (make_token(secret, sub="alice", tier=tier) for tier in ("pro", "free"))
    await use_up(guard, 40, token=pro)
    for _ in range(3):
        await graphql(guard, "{me{id}}", token=free)
    assert (await graphql(guard, "{me{id}}", token=pro)).status == 429


async def test_everybody_behind_a_proxy_and_one_alone_do_not_share(mount) -> None:
    guard = mount(rate_limit_default="2/hour", rate_limit_burst=0)
    alone = {"client": ("10.0.0.5", 1)}
    behind = {**alone, "headers": {"x-forwarded-for": "198.51.100.1"}}
    await use_up(guard, 40, **behind)
    assert [(await graphql(guard, "{me{id}}", **alone)).status for _ in range(3)] == [200, 200, 429]
    assert (await graphql(guard, "{me{id}}", **behind)).status == 429


# --- what headers say ------------------------------------------------------------------------------------------------


def states(reply: Reply) -> list[str]:
    return (reply.header("ratelimit") or "").split(", ")


async def test_a_burst_is_not_taken_for_a_part_of_the_rate(guarded) -> None:
    first = await graphql(guarded(rate_limit_default="100/hour"), "{me{id}}")
    assert (first.header("x-ratelimit-limit"), first.header("x-ratelimit-remaining")) == ("100", "100")
    assert states(first) == ['"default";r=100;t=36']


async def test_the_time_is_that_until_one_request_more(guarded) -> None:
    guard = guarded(rate_limit_default="10/hour", rate_limit_burst=0)
    first, second = [await graphql(guard, "{me{id}}") for _ in range(2)]
    assert states(first) == ['"default";r=9;t=360']
    assert states(second) in (['"default";r=8;t=360'], ['"default";r=8;t=359'])


async def test_on_a_refusal_the_times_are_those_of_retry_after(guarded) -> None:
    guard = guarded(
        rate_limit_default="5/hour", rate_limit_graphql="60/minute", rate_limit_graphql_mutation="4/hour",
        rate_limit_burst=0,
    )  # fmt: skip
    await graphql(guard, "mutation{a:x b:x c:x}")
    refused = await graphql(guard, "mutation{a:x b:x c:x}")
    assert (refused.status, refused.header("retry-after"), refused.extensions["retryAfter"]) == (429, "1800", 1800)
    assert states(refused) == ['"default";r=2;t=720', '"graphql";r=57', '"graphql_mutation";r=1;t=1800']
    assert (refused.header("x-ratelimit-limit"), refused.extensions["limit"]) == ("4", 4)


async def test_a_wait_of_days_is_told_as_it_is(guarded) -> None:
    guard = guarded(rate_limit_default="2/day", rate_limit_burst=2)
    await graphql(guard, "mutation{a:x b:x c:x d:x}")
    refused = await graphql(guard, "mutation{a:x b:x c:x d:x}")
    assert (refused.status, refused.header("retry-after")) == (429, str(2 * 86_400))


async def test_who_is_refused_for_another_reason_and_has_nothing_left_is_told_of_both(guarded) -> None:
    guard = guarded(EchoApp(seconds=0.5), max_in_flight=1, rate_limit_default="2/hour", rate_limit_burst=0)
    at_work = asyncio.create_task(graphql(guard, "{me{id}}"))
    await asyncio.sleep(0.1)
    refused = await graphql(guard, "{me{id}}")
    assert (refused.code, refused.header("retry-after")) == ("CONCURRENCY_LIMIT", "1800")
    assert states(refused) == ['"default";r=0;t=1800']
    assert (await at_work).status == 200


async def test_who_is_refused_for_another_reason_and_has_something_left_comes_back_soon(guarded) -> None:
    guard = guarded(EchoApp(seconds=0.5), max_in_flight=1, rate_limit_default="9/hour", rate_limit_burst=0)
    at_work = asyncio.create_task(graphql(guard, "{me{id}}"))
    await asyncio.sleep(0.1)
    refused = await graphql(guard, "{me{id}}")
    assert (refused.code, refused.header("retry-after"), states(refused)) == (
        "CONCURRENCY_LIMIT", "1", ['"default";r=7'],
    )  # fmt: skip
    assert (await at_work).status == 200


class Telling(EchoApp):
    """An app that tells of limits of its own."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def with_limits(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [
                    (b"X-RateLimit-Limit", b"7"),
                    (b"x-ratelimit-remaining", b"6"),
                    (b"x-ratelimit-reset", b"5"),
                    (b"RateLimit", b'"app";r=6'),
                    (b"ratelimit-policy", b'"app";q=7'),
                    (b"x-ratelimit-resource", b"books"),
                    (b"retry-after", b"17"),
                ]
            await send(message)

        await super().__call__(scope, receive, with_limits)


@pytest.mark.parametrize("path", ["/graphql", "/page"])
@pytest.mark.parametrize("status", [200, 429, 503])
async def test_the_apps_own_headers_are_replaced_and_not_doubled(guarded, path, status) -> None:
    guard = guarded(Telling(status=status), rate_limit_default="100/hour", rate_limit_burst=0)
    reply = await request(guard, path=path, body=b'{"query":"{me{id}}"}')
    names = [name.lower() for name, _ in reply.headers]
    assert all(names.count(name) == 1 for name in names)
    assert reply.header("x-ratelimit-limit") == "100"
    assert states(reply) == ['"default";r=99;t=36']
    assert reply.header("x-ratelimit-resource") == "books"
    assert reply.header("retry-after") == "17"  # the app knows when it will be well again


async def test_who_is_not_counted_sees_what_the_app_says(guarded) -> None:
    guard = guarded(Telling(), allow_list="203.0.113.0/24")
    reply = await graphql(guard, "{me{id}}")
    assert [value for name, value in reply.headers if name.lower() == b"x-ratelimit-limit"] == [b"7"]

"""Rates of several windows as clients and operators meet them: who is refused, what it says, and when to come back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from fraiseql_guard import Guard
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.surroundings import warnings_of
from fraiseql_guard.operations.operator.interface import Target
from fraiseql_guard.testing import make_token
from tests.support.asgi import EchoApp, graphql, request
from tests.support.nesting import Between
from tests.support.properties import examples
from tests.support.redis_server import RedisServer
from tests.support.upgrades import EchoSocketApp, upgrade

TWO = {"rate_limit_default": "3/minute, 5/hour", "rate_limit_burst": 0, "rate_limit_abuse_offences": 1_000_000}


async def statuses(guard: Any, times: int, query: str = "{me{id}}", **caller: Any) -> list[int]:
    return [(await graphql(guard, query, **caller)).status for _ in range(times)]


async def test_each_window_refuses_and_a_refusal_takes_nothing(guarded, clock) -> None:
    guard = guarded(clock=clock, **TWO)
    assert await statuses(guard, 5) == [200] * 3 + [429] * 2
    guard.advance(60)
    assert await statuses(guard, 3) == [200] * 2 + [429]
    guard.advance(60)
    refused = await graphql(guard, "{me{id}}")
    assert (refused.status, refused.extensions["detail"]) == (429, "default-hour: 5/hour")
    assert refused.extensions["limit"] == 5


async def test_headers_tell_every_window_and_the_one_that_is_nearest_to_its_end(guarded, clock) -> None:
    guard = guarded(clock=clock, **TWO)
    first = await graphql(guard, "{me{id}}")
    assert first.header("ratelimit-policy") == '"default";q=3;w=60, "default-hour";q=5;w=3600'
    assert first.header("ratelimit") == '"default";r=2;t=20'
    assert (first.header("x-ratelimit-limit"), first.header("x-ratelimit-remaining")) == ("3", "2")
    guard.advance(60)
    await statuses(guard, 2)
    guard.advance(60)
    last = await graphql(guard, "{me{id}}")
    assert last.header("ratelimit-policy") == first.header("ratelimit-policy")
    assert (last.header("ratelimit") or "").startswith('"default-hour";r=1;')
    assert (last.header("x-ratelimit-limit"), last.header("x-ratelimit-remaining")) == ("5", "1")


async def test_a_refusal_shows_the_window_that_is_waited_for_longest(guarded, clock) -> None:
    guard = guarded(clock=clock, **TWO | {"rate_limit_default": "2/minute, 2/hour"})
    await statuses(guard, 2)
    for _ in range(3):  # decided by the store, and then from memory
        refused = await graphql(guard, "{me{id}}")
        assert (refused.header("retry-after"), refused.header("x-ratelimit-limit")) == ("1800", "2")
        assert (refused.header("ratelimit") or "").startswith('"default-hour";r=0;t=1800')


async def test_users_and_tiers_have_windows_too(guarded, secret) -> None:
    guard = guarded(
        jwt_secret=secret, auth_required=False, rate_limit_authenticated="9/minute+2/day", tiers="pro=9/minute+4/week",
        rate_limit_burst=0,
    )  # fmt: skip
    assert await statuses(guard, 3, token=make_token(secret, sub="alice")) == [200, 200, 429]
    assert await statuses(guard, 5, token=make_token(secret, sub="bob", tier="pro")) == [200] * 4 + [429]


async def test_a_mutation_that_the_smallest_window_can_never_hold(guarded) -> None:
    guard = guarded(rate_limit_default="9/minute, 5/day, 7/week", rate_limit_burst=0)
    reply = await graphql(guard, "mutation{a:x b:x c:x d:x e:x f:x g:x h:x}")
    assert (reply.status, reply.code, reply.extensions["limit"]) == (400, "CHARGE_TOO_LARGE", 5)
    assert reply.header("retry-after") is None
    assert await statuses(guard, 1, "mutation{a:x b:x c:x d:x e:x}") == [200]


async def test_the_wider_networks_of_an_address_have_every_window(guarded) -> None:
    guard = guarded(rate_limit_default="50/minute, 2/day", rate_limit_burst=0)
    admitted = 0
    for network in range(40):
        admitted += sum(
            status == 200 for status in await statuses(guard, 1, client=(f"2001:db8:1:2{network:02x}::1", 1))
        )
    assert admitted == 8  # four times the limit for a /56


async def test_everybody_behind_an_untrusted_proxy_shares_every_window(guarded) -> None:
    guard = guarded(rate_limit_default="50/minute, 1/day", rate_limit_burst=0)
    hidden = {"client": ("10.0.0.5", 1), "headers": {"x-forwarded-for": "198.51.100.1"}}
    assert await statuses(guard, 22, **hidden) == [200] * 20 + [429] * 2


async def test_upgrades_have_windows_of_their_own(guarded) -> None:
    guard = guarded(EchoSocketApp(), rate_limit_sockets="9/minute, 3/day")
    found = [await upgrade(guard) for _ in range(4)]
    assert [each.closed for each in found] == [None] * 3 + [(4503, "RATE_LIMITED")]


async def test_lenient_refusals_have_windows_ten_times_as_large(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret, rate_limit_default="50/minute, 1/day", rate_limit_burst=0)
    expired = make_token(secret, sub="alice", expires_in_seconds=-60)
    assert await statuses(guard, 12, token=expired) == [401] * 10 + [429] * 2


@pytest.fixture(scope="module")
def server():
    with RedisServer() as running:
        yield running


@pytest.mark.parametrize("where", ["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def test_guards_inside_guards_pay_every_window_once(request: pytest.FixtureRequest, where: str) -> None:
    store = {"redis_url": request.getfixturevalue("server").url, "store_timeout_ms": 5000} if where == "redis" else {}
    inner = Guard(EchoApp(), **TWO, **store)
    outer = Guard(Between(inner), **TWO, **store)
    assert await statuses(outer, 4, client=("198.51.100.77", 1)) == [200] * 3 + [429]
    shown = await graphql(outer, "{me{id}}", client=("198.51.100.78", 1))
    assert shown.header("ratelimit-policy") == '"default";q=3;w=60, "default-hour";q=5;w=3600'
    assert shown.header("x-ratelimit-remaining") == "2"
    await outer.aclose()
    await inner.aclose()


@pytest.mark.redis
async def test_guards_inside_guards_pay_every_window_of_an_override_once(server: RedisServer) -> None:
    store = {"redis_url": server.url, "store_timeout_ms": 5000}
    inner = Guard(EchoApp(), **TWO, **store)
    outer = Guard(Between(inner), **TWO, **store)
    alice = Target(ip_address="198.51.100.79")
    await outer.operator.set_limit(alice, "50/hour, 4/day", actor="bob")
    replies = [await graphql(outer, "{me{id}}", client=("198.51.100.79", 1)) for _ in range(5)]
    assert [reply.status for reply in replies] == [200] * 4 + [429]
    for reply in replies:
        policies = {'"override";q=50;w=3600', '"override-day";q=4;w=86400'}
        assert set((reply.header("ratelimit-policy") or "").split(", ")) == policies
    await outer.aclose()
    await inner.aclose()


# Limits of single users


async def test_a_user_is_given_several_windows(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret, rate_limit_authenticated="1/minute,2/day", rate_limit_burst=0)
    token = make_token(secret, sub="carol")
    assert await guard.guard.get_user_limit("carol") == "1/minute+2/day"
    done = await guard.guard.set_user_limit("carol", "50/hour, 3/day", 600)
    assert done.details == {"limit": "50/hour+3/day", "burst": 0}
    assert await guard.guard.get_user_limit("carol") == "50/hour+3/day"
    assert [each.limit for each in await guard.guard.operator.limits()] == ["50/hour+3/day"]
    replies = [await graphql(guard, "{me{id}}", token=token) for _ in range(4)]
    assert [reply.status for reply in replies] == [200] * 3 + [429]
    assert replies[0].header("ratelimit-policy") == '"override";q=50;w=3600, "override-day";q=3;w=86400'
    assert not (await guard.guard.set_user_limit("carol", "3/day+50/hour", 300)).changed
    await guard.guard.aclose()


# A change while the process runs


@pytest.mark.redis
async def test_a_restart_keeps_the_bucket_of_the_shortest_window(guarded, server: RedisServer) -> None:
    """What was counted under a rate of one window counts on when longer windows are added to it."""
    store = {"redis_url": server.url, "rate_limit_burst": 0, "store_timeout_ms": 5000}
    caller = {"client": ("198.51.100.80", 1)}
    before = guarded(rate_limit_default="3/hour", **store)
    assert await statuses(before, 2, **caller) == [200, 200]
    await before.guard.aclose()
    after = guarded(rate_limit_default="3/hour, 9/day", **store)
    assert await statuses(after, 2, **caller) == [200, 429]
    await after.guard.aclose()


# Who comes back when told


@examples(25, allow=[HealthCheck.function_scoped_fixture])
@given(
    windows=st.lists(
        st.tuples(st.integers(1, 9), st.sampled_from(["second", "7s", "minute", "hour", "2days", "4weeks"])),
        min_size=1,
        max_size=3,
        unique_by=lambda window: window[1],
    ),
    burst=st.sampled_from([0, 3, "50%"]),
    script=st.lists(st.sampled_from(["{a}", "mutation{a b}", "mutation{a b c d}"]), min_size=3, max_size=15),
)
def test_who_comes_back_after_retry_after_is_admitted(guarded, clock, windows, burst, script) -> None:
    async def run() -> None:
        rate = ",".join(f"{tokens}/{window}" for tokens, window in windows)
        limits = {"rate_limit_default": rate, "rate_limit_graphql_mutation": "5/30s, 20/day", "rate_limit_burst": burst}
        guard = guarded(clock=clock, rate_limit_abuse_offences=10**6, **limits)
        for query in script:
            reply = await graphql(guard, query)
            if reply.status != 429:
                continue
            guard.advance(0.01)
            again = await graphql(guard, query)  # from memory: the same, less what has passed
            assert again.status == 429
            guard.advance(int(again.header("retry-after")))
            assert (await graphql(guard, query)).status == 200
        await guard.guard.aclose()

    asyncio.run(run())


# At the start


@pytest.mark.parametrize(
    ("options", "idle", "tighter"),
    [
        ({"rate_limit_default": "1000/minute, 100000/hour"}, "100000/hour", "1000/minute"),
        ({"rate_limit_default": "1000/minute, 100/hour"}, "1000/minute", "100/hour"),
        ({"rate_limit_sockets": "60/minute, 9000/hour"}, "9000/hour", "60/minute"),
        ({"tiers": "pro=5/second+900000/day", "jwt_secret": "x" * 32}, "900000/day", "5/second"),
    ],
)
def test_a_window_that_can_never_be_short_is_worth_a_warning(options, idle, tighter) -> None:
    (sentence,) = warnings_of(Settings.load({}, **options))
    assert f"{idle} refuses nothing that {tighter} admits" in sentence


@pytest.mark.parametrize("rate", ["100/minute, 1000/hour", "100/minute, 150/hour", "10/second, 60/minute"])
def test_windows_that_can_be_short_are_in_order(rate) -> None:
    assert warnings_of(Settings.load({}, rate_limit_default=rate)) == []


async def test_pages_off_the_graphql_paths_have_the_same_windows(guarded) -> None:
    guard = guarded(**TWO)
    replies = [await request(guard, "GET", "/page") for _ in range(4)]
    assert [reply.status for reply in replies] == [200] * 3 + [429]

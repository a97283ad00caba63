"""What limits count callers by: the user, the address, a tenant, a header, a claim, or what the app says."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from fraiseql_guard import Guard, RateLimitMiddleware, SettingsError
from fraiseql_guard.testing import make_token
from tests.support.asgi import EchoApp, graphql, request
from tests.support.nesting import Between
from tests.support.redis_server import RedisServer

FEW = {"rate_limit_default": "3/hour", "rate_limit_authenticated": "4/hour", "rate_limit_burst": 0}
FAULTS = "fraiseql_guard_faults_total"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def mount(
    request: pytest.FixtureRequest, guarded: Callable[..., Any], secret: str
) -> AsyncIterator[Callable[..., Any]]:
    """``guarded`` with few requests an hour, on either store."""
    made: list[Any] = []
    more = {"jwt_secret": secret, "brute_force_offences": 1000, "rate_limit_abuse_offences": 100_000, **FEW}
    if request.param == "redis":
        server = request.getfixturevalue("server")
        more |= {"redis_url": server.url, "store_timeout_ms": 10_000, "namespace": f"n{secrets.token_hex(6)}"}

    def mounted(app: Any = None, **options: Any) -> Any:
        made.append(guarded(app, **more | options))
        return made[-1]

    yield mounted
    for each in made:
        await each.guard.aclose()


async def admitted(guard: Any, times: int = 12, **how: Any) -> int:
    """How many of so many requests are admitted."""
    how = {"client": ("198.51.100.1", 1)} | how
    replies = [await request(guard, "GET", "/page", **how) for _ in range(times)]
    assert {reply.status for reply in replies} <= {200, 429}
    return sum(reply.status == 200 for reply in replies)


def of(secret: str, sub: str, **claims: Any) -> str:
    return make_token(secret, sub=sub, **claims)


# --- parts ------------------------------------------------------------------------------------------------------------


async def test_an_address_counts_all_its_users_together(mount, secret) -> None:
    guard = mount(rate_limit_key="address")
    assert await admitted(guard, 3, token=of(secret, "alice")) == 3
    assert await admitted(guard, 3, token=of(secret, "bob")) == 1
    assert await admitted(guard, token=of(secret, "bob"), client=("198.51.100.2", 1)) == 4


async def test_the_users_of_an_ipv6_address_pay_for_its_networks(mount, secret) -> None:
    guard = mount(rate_limit_key="address")
    places = [(f"2001:db8:1:{number:x}::1", 1) for number in range(40)]
    passed = [await admitted(guard, 4, token=of(secret, f"user{number}"), client=places[number]) for number in range(8)]
    assert passed == [4, 4, 4, 4, 0, 0, 0, 0]


async def test_a_tenant_counts_its_users_together_wherever_they_are(mount, secret) -> None:
    guard = mount(rate_limit_key="tenant", tenant_claim="org")
    assert await admitted(guard, 3, token=of(secret, "alice", org="acme")) == 3
    assert await admitted(guard, token=of(secret, "bob", org="acme"), client=("198.51.100.9", 1)) == 1
    assert await admitted(guard, token=of(secret, "carol", org="other")) == 4


@pytest.mark.parametrize("value", [None, "", True, ["acme"], {"a": 1}, "x" * 513, "é" * 257])
async def test_who_has_no_such_claim_is_counted_as_without_a_key(mount, secret, value) -> None:
    guard = mount(rate_limit_key="claim:team")
    claims = {} if value is None else {"team": value}
    assert [await admitted(guard, token=of(secret, user, **claims)) for user in ("alice", "bob")] == [4, 4]
    assert [await admitted(guard, client=(f"198.51.100.{number}", 1)) for number in (7, 8)] == [3, 3]


async def test_a_claim_may_be_a_number(mount, secret) -> None:
    guard = mount(rate_limit_key="claim:team")
    assert [await admitted(guard, token=of(secret, user, team=7)) for user in ("alice", "bob")] == [4, 0]
    assert await admitted(guard, token=of(secret, "alice", team=8)) == 4


async def test_a_header_tells_callers_of_one_address_apart(mount) -> None:
    guard = mount(rate_limit_key="header:X-API-Key")
    assert [await admitted(guard, headers={"x-api-key": key}) for key in ("one", "two", "one")] == [3, 3, 0]
    assert await admitted(guard, headers={"x-api-key": "one"}, client=("198.51.100.2", 1)) == 0
    assert await admitted(guard) == 3, "without one it is the address"


@pytest.mark.parametrize("value", ["", "k" * 513])
async def test_a_header_that_is_empty_or_too_long_is_none(mount, value) -> None:
    guard = mount(rate_limit_key="header:X-API-Key")
    headers = {"x-api-key": value}
    assert [await admitted(guard, headers=headers, client=(f"198.51.100.{n}", 1)) for n in (1, 2)] == [3, 3]


async def test_a_value_of_a_header_is_nowhere_to_be_read(mount) -> None:
    guard, key = mount(rate_limit_key="header:X-API-Key"), "a-value-that-is-a-secret"
    await admitted(guard, headers={"x-api-key": key})
    lines = guard.lines("security.rate_limit")
    assert lines[0]["context"]["limit_key"].startswith("header:x-api-key#")
    assert len(lines[0]["context"]["limit_key"]) == len("header:x-api-key#") + 24
    assert key not in guard.log_path.read_text()
    assert key not in guard.exposition()


async def test_several_parts_are_one_key(mount, secret) -> None:
    guard = mount(rate_limit_key="tenant+address", tenant_claim="org")
    acme, other = of(secret, "alice", org="acme"), of(secret, "alice", org="other")
    there = ("198.51.100.2", 1)
    assert [await admitted(guard, token=acme), await admitted(guard, token=acme, client=there)] == [4, 4]
    assert [await admitted(guard, token=other), await admitted(guard, token=acme)] == [4, 0]
    assert await admitted(guard, token=of(secret, "bob", org="acme")) == 0
    assert await admitted(guard, token=of(secret, "carol")) == 4, "without a tenant she is counted for herself"


async def test_offences_and_blocks_are_the_users_and_not_the_tenants(mount, secret) -> None:
    guard = mount(rate_limit_key="tenant", tenant_claim="org", rate_limit_abuse_offences=1)
    alice, bob = of(secret, "alice", org="acme"), of(secret, "bob", org="acme")
    assert await admitted(guard, 4, token=alice) == 4
    assert (await graphql(guard, "{a}", token=alice)).status == 429
    held = await guard.store.sanctions.all()
    assert [(each.subject.kind, json.loads(each.subject.name)[2]) for each in held] == [("user", "alice")]
    assert (await graphql(guard, "{a}", token=bob)).code == "RATE_LIMITED"


async def test_a_cost_budget_is_the_keys(mount, secret) -> None:
    guard = mount(
        rate_limit_key="tenant", tenant_claim="org", cost_budgets="default=5", rate_limit_authenticated="1000/hour"
    )
    replies = [
        await graphql(guard, "{a{b{c}}}", token=of(secret, user, org="acme")) for user in ("alice", "bob", "carol")
    ]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert (await graphql(guard, "{a{b{c}}}", token=of(secret, "dave", org="other"))).status == 200


# --- a key that anyone can choose -------------------------------------------------------------------------------------


async def test_new_header_values_bring_no_more_than_twenty_times_the_limit(guarded) -> None:
    """10,000 random values of one address: 20 times 100 a minute with 20 % at once, and the rest is refused."""
    guard = guarded(rate_limit_key="header:X-API-Key", rate_limit_default="100/hour", rate_limit_abuse_offences=10**6)
    passed = 0
    for _ in range(10_000):
        reply = await request(guard, "GET", "/page", headers={"x-api-key": secrets.token_hex(8)})
        passed += reply.status == 200
    assert 2_400 <= passed <= 2_400 + 40
    assert (await request(guard, "GET", "/page", client=("198.51.100.77", 1))).status == 200
    assert sum(guard.store.entries.values()) < 6_000


async def test_new_header_values_bring_no_more_on_redis_either(mount) -> None:
    guard = mount(rate_limit_key="header:X-API-Key", rate_limit_default="2/hour")
    assert sum([await admitted(guard, 1, headers={"x-api-key": str(number)}) for number in range(100)]) == 40


async def test_new_header_values_bring_no_more_to_an_ipv6_network(mount) -> None:
    guard = mount(rate_limit_key="header:X-API-Key", rate_limit_default="1/hour")
    passed = 0
    for number in range(400):
        how = {"headers": {"x-api-key": str(number)}, "client": (f"2001:db8:1:{number % 200:x}::1", 1)}
        passed += await admitted(guard, 1, **how)
    assert passed == 80, "the /56 has four times what an address has"


async def test_a_verified_user_pays_beside_too(mount, secret) -> None:
    guard = mount(rate_limit_key="header:X-API-Key", rate_limit_authenticated="2/hour")
    token = of(secret, "alice")
    assert sum([await admitted(guard, 1, token=token, headers={"x-api-key": str(n)}) for n in range(100)]) == 40
    assert await admitted(guard, token=of(secret, "bob"), headers={"x-api-key": "bobs"}) == 2


async def test_budgets_are_bounded_in_the_same_way(mount) -> None:
    guard = mount(
        rate_limit_key="header:X-API-Key",
        cost_budgets="default=3",
        rate_limit_default="10000/hour",
        auth_required=False,
    )
    replies = [await graphql(guard, "{a{b{c}}}", headers={"x-api-key": str(number)}) for number in range(60)]
    assert sum(reply.status == 200 for reply in replies) == 20 * 3 // 2 == 30


# --- the app says -----------------------------------------------------------------------------------------------------


def by_session(ctx: Any) -> str | None:
    return ctx.header(b"x-session") or None


async def by_session_later(ctx: Any) -> str | None:
    await asyncio.sleep(0)
    return by_session(ctx)


@pytest.mark.parametrize("ask", [by_session, by_session_later])
async def test_the_app_says_what_a_request_is_counted_by(mount, ask) -> None:
    guard = mount(rate_limit_key=ask)
    assert [await admitted(guard, headers={"x-session": each}) for each in ("one", "two", "one")] == [3, 3, 0]
    assert [await admitted(guard), await admitted(guard, client=("198.51.100.2", 1))] == [3, 3]


async def test_the_function_is_shown_the_verified_user(mount, secret) -> None:
    guard = mount(rate_limit_key=lambda ctx: ctx.identity and ctx.identity.claims["org"])
    assert [await admitted(guard, token=of(secret, user, org="acme")) for user in ("alice", "bob")] == [4, 0]
    assert await admitted(guard) == 3


async def never(_: Any) -> str:
    await asyncio.Event().wait()
    return "never"


def broken(_: Any) -> str:
    raise RuntimeError("no such table")


@pytest.mark.parametrize("ask", [broken, lambda _: 7, lambda _: "x" * 513, lambda _: "", lambda _: b"bytes"])
async def test_a_function_that_fails_is_a_fault_and_the_request_is_counted_as_without(mount, ask) -> None:
    guard = mount(rate_limit_key=ask)
    assert [await admitted(guard), await admitted(guard, client=("198.51.100.2", 1))] == [3, 3]
    assert guard.metric(FAULTS, part="limit_key") >= 6
    assert any(line["context"]["part"] == "limit_key" for line in guard.lines("guard.fault"))


async def test_a_function_that_does_not_answer_is_left(guarded) -> None:
    guard = guarded(rate_limit_key=never, **FEW)
    assert await admitted(guard, 1) == 1
    assert guard.metric(FAULTS, part="limit_key") == 1


async def test_what_the_function_said_is_nowhere_to_be_read(mount) -> None:
    guard = mount(rate_limit_key=lambda _: "session-of-a-person")
    await admitted(guard)
    assert guard.lines("security.rate_limit")[0]["context"]["limit_key"].startswith("function#")
    assert "session-of-a-person" not in guard.log_path.read_text()


# --- refusals that are remembered -------------------------------------------------------------------------------------


async def test_a_refusal_is_not_given_to_another_key_with_the_same_head(mount) -> None:
    guard = mount(rate_limit_key="header:X-API-Key", rate_limit_default="3/hour")
    assert await admitted(guard, 40, headers={"x-api-key": "one"}) == 3
    assert await admitted(guard, headers={"x-api-key": "two"}) == 3
    assert await admitted(guard) == 3


async def test_a_refusal_is_not_given_to_what_the_app_counts_apart(mount) -> None:
    guard = mount(rate_limit_key=by_session)
    assert await admitted(guard, 40, headers={"x-session": "one"}) == 3
    assert await admitted(guard, headers={"x-session": "two"}) == 3


# --- guards in guards -------------------------------------------------------------------------------------------------


async def test_guards_with_one_key_charge_it_once(mount, secret) -> None:
    def options(guard: Any) -> dict[str, Any]:
        settings = guard.guard.settings
        return {"redis_url": settings.redis_url, "namespace": settings.namespace, "store_timeout_ms": 10_000}

    outer = mount(rate_limit_key="header:X-API-Key")
    inner = RateLimitMiddleware(EchoApp(), rate_limit_key="header:X-API-Key", **FEW, **options(outer))
    both = Guard(Between(inner), rate_limit_key="header:X-API-Key", **FEW, **options(outer))
    if outer.guard.settings.redis_url is None:
        assert await admitted(both, headers={"x-api-key": "one"}) == 3
    else:
        assert [await admitted(both, headers={"x-api-key": each}) for each in ("one", "two")] == [3, 3]
        assert await admitted(both, headers={"x-api-key": "one"}, client=("198.51.100.5", 1)) == 0
    await both.aclose()
    await inner.aclose()


async def test_a_guard_inside_with_another_key_charges_its_own(mount, secret) -> None:
    inner = RateLimitMiddleware(EchoApp(), rate_limit_key="tenant", tenant_claim="org", **FEW)
    outer = mount(Between(inner), rate_limit_authenticated="100/hour", tenant_claim="org")
    alice, bob = (of(secret, user, org="acme") for user in ("alice", "bob"))
    assert await admitted(outer, 2, token=alice) == 2
    assert await admitted(outer, token=bob) == 1, "inside no user is verified: it is the rate of anonymous callers"
    await inner.aclose()


# --- the start --------------------------------------------------------------------------------------------------------


def test_both_a_function_and_the_setting_are_refused(monkeypatch) -> None:
    monkeypatch.setenv("FRAISEQL_GUARD_RATE_LIMIT_KEY", "tenant")
    with pytest.raises(SettingsError, match=r"FRAISEQL_GUARD_RATE_LIMIT_KEY='tenant' is set, and .*Give one of them"):
        Guard(EchoApp(), rate_limit_key=by_session, tenant_claim="org")


def test_a_tenant_needs_its_claim() -> None:
    with pytest.raises(SettingsError, match=r"RATE_LIMIT_KEY='tenant' needs FRAISEQL_GUARD_TENANT_CLAIM"):
        Guard(EchoApp(), rate_limit_key="tenant")


def test_two_functions_are_refused() -> None:
    inner = RateLimitMiddleware(EchoApp(), rate_limit_key=by_session)
    with pytest.raises(SettingsError, match="two different rate_limit_key"):
        Guard(inner, rate_limit_key=by_session_later)


async def test_a_key_by_tokens_without_a_key_to_verify_them_is_told(guarded) -> None:
    guard = guarded(rate_limit_key="claim:org")
    await graphql(guard, "{a}")
    assert any("counts by what tokens say" in str(line) for line in guard.lines())

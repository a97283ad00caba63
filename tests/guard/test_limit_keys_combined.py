"""What limits count by, together with windows, rules, limits from code, what counts, waiting, resets and API keys."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from fraiseql_guard import ApiKey, Guard, Limits, RateLimitMiddleware, SettingsError, limits
from fraiseql_guard.operations.operator.interface import Target
from fraiseql_guard.testing import make_token
from tests.support.asgi import Connection, EchoApp, Reply, request
from tests.support.nesting import Between
from tests.support.redis_server import RedisServer
from tests.support.waiting import until

BY_TENANT = {"rate_limit_key": "tenant", "tenant_claim": "org"}
BY_HEADER = {"rate_limit_key": "header:X-Team"}
Work = Callable[[Limits], Awaitable[Any]]


class WorkingApp(EchoApp):
    """Does something about the limits of each request, and keeps what it found."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.work, self.found = work, list[Any]()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.found.append(await self.work(limits(scope)))
        await super().__call__(scope, receive, send)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def mount(
    request: pytest.FixtureRequest, guarded: Callable[..., Any], secret: str
) -> AsyncIterator[Callable[..., Any]]:
    """``guarded`` without bursts or blocks, on either store."""
    made: list[Any] = []
    more = {"jwt_secret": secret, "rate_limit_burst": 0, "rate_limit_abuse_offences": 100_000}
    if request.param == "redis":
        url = request.getfixturevalue("server").url
        more |= {"redis_url": url, "store_timeout_ms": 10_000, "namespace": f"test-{secrets.token_hex(6)}"}

    def mounted(app: Any = None, **options: Any) -> Any:
        made.append(guarded(app, **more | options))
        return made[-1]

    yield mounted
    for each in made:
        await each.guard.aclose()


@pytest.fixture
def token(secret: str) -> Callable[[str, str], str]:
    """The token of a user and their tenant."""
    return lambda sub, org: make_token(secret, sub=sub, org=org)


def team(name: object) -> dict[str, str]:
    return {"x-team": str(name)}


async def page(guard: Any, path: str = "/page", **how: Any) -> Reply:
    return await request(guard, "GET", path, **how)


async def admitted(guard: Any, times: int, path: str = "/page", **how: Any) -> int:
    """How many of so many requests are admitted."""
    replies = [await page(guard, path, **how) for _ in range(times)]
    assert {reply.status for reply in replies} <= {200, 429}
    return sum(reply.status == 200 for reply in replies)


async def of_teams(guard: Any, times: int, path: str = "/page") -> int:
    """How many are admitted of so many requests of one address, each with another header."""
    return sum([await admitted(guard, 1, path, headers=team(number)) for number in range(times)])


# --- windows ----------------------------------------------------------------------------------------------------------


async def test_every_window_is_the_keys(mount, token) -> None:
    guard = mount(rate_limit_authenticated="4/minute+5/day", **BY_TENANT)
    assert await admitted(guard, 3, token=token("alice", "acme")) == 3
    assert await admitted(guard, 3, token=token("bob", "acme")) == 1
    assert await admitted(guard, 9, token=token("alice", "other")) == 4
    await guard.guard.runtime.operator.set_limit(Target(key="tenant:acme"), "9/minute+6/day")
    await asyncio.sleep(1.1)  # a refusal is remembered for a second
    assert [await admitted(guard, 4, token=token(user, "acme")) for user in ("alice", "bob")] == [4, 2]
    reply = await page(guard, token=token("carol", "acme"))
    assert '"override-day";r=0' in (reply.header("ratelimit") or "")


async def test_what_is_paid_beside_a_key_has_every_window(mount) -> None:
    guard = mount(rate_limit_default="3/minute+2/day", **BY_HEADER)
    assert await admitted(guard, 4, headers=team("one")) == 2
    assert await of_teams(guard, 60) == 20 * 2 - 2
    assert await admitted(guard, 3, client=("198.51.100.9", 1)) == 2


# --- rules ------------------------------------------------------------------------------------------------------------


async def test_the_rate_of_a_rule_is_the_keys(mount, token) -> None:
    rules = [{"name": "exports", "match": {"path": "/exports"}, "rate": "3/minute+9/day"}]
    guard = mount(rules=rules, rate_limit_authenticated="4/hour", **BY_TENANT)
    alice, bob = token("alice", "acme"), token("bob", "acme")
    assert [await admitted(guard, 2, "/exports", token=each) for each in (alice, bob)] == [2, 1]
    assert [await admitted(guard, 3, token=each) for each in (alice, bob)] == [3, 1]
    assert await admitted(guard, 4, "/exports", token=token("alice", "other")) == 3


async def test_the_rate_of_a_rule_is_paid_beside_a_key_as_well(mount) -> None:
    rules = [
        {"name": "exports", "match": {"path": "/exports"}, "rate": "1/hour"},
        {"name": "free", "match": {"path": "/free"}, "cost": 0},
    ]
    guard = mount(rules=rules, rate_limit_default="1000/hour", **BY_HEADER)
    assert await of_teams(guard, 40, "/exports") == 20
    assert await of_teams(guard, 40, "/free") == 40
    assert await of_teams(guard, 40) == 40, "the callers' other buckets have paid nothing"


async def test_a_batch_with_operations_of_several_rules_pays_from_the_key(mount, token) -> None:
    rules = [{"name": "tags", "match": {"only_root_fields": ["tags"], "path": "/graphql"}, "rate": "2/hour"}]
    guard = mount(rules=rules, batching=True, rate_limit_authenticated="5/hour", **BY_TENANT)
    both = json.dumps([{"query": "{tags{name}}"}, {"query": "{me{id}}"}]).encode()
    replies = [await request(guard, body=both, token=token(user, "acme")) for user in ("alice", "bob", "carol")]
    assert [reply.status for reply in replies] == [200, 200, 429]


# --- limits from code, and what counts --------------------------------------------------------------------------------


async def test_the_app_takes_from_the_key_and_gives_back_to_it(mount, token) -> None:
    app = WorkingApp(lambda mine: mine.charge(3))
    guard = mount(app, rate_limit_authenticated="5/hour", **BY_TENANT)
    assert await admitted(guard, 1, token=token("alice", "acme")) == 1
    app.work = lambda mine: mine.charge(1)
    assert await admitted(guard, 1, token=token("bob", "acme")) == 1
    assert [each.admitted for each in app.found] == [True, False]
    app.work = lambda mine: mine.refund()
    assert await admitted(guard, 8, token=token("carol", "other")) == 8
    app.work = lambda mine: mine.peek()
    assert await admitted(guard, 1, token=token("dave", "other")) == 1
    assert [(each.policy, each.remaining) for each in app.found[-1]] == [("authenticated", 4)]


async def test_what_is_paid_beside_a_key_is_taken_and_given_back_with_it(mount) -> None:
    app = WorkingApp(lambda mine: mine.refund())
    guard = mount(app, rate_limit_default="3/hour", **BY_HEADER)
    assert await of_teams(guard, 70) == 70
    app.work = lambda mine: mine.charge(2)
    assert await of_teams(guard, 30) == 20
    assert all(each.admitted for each in app.found[70:])
    app.work = lambda mine: mine.peek()
    assert await admitted(guard, 1, headers=team("new"), client=("198.51.100.9", 1)) == 1
    assert [(each.limit, each.remaining) for each in app.found[-1]] == [(3, 2), (60, 59)]


async def test_a_budget_of_a_key_is_taken_from_by_the_app(mount, token) -> None:
    app = WorkingApp(lambda mine: mine.charge(points=6))
    guard = mount(app, cost_budgets="default=10", rate_limit_authenticated="100/hour", **BY_TENANT)
    for user in ("alice", "bob"):
        await page(guard, token=token(user, "acme"))
    await page(guard, token=token("carol", "other"))
    assert [each.admitted for each in app.found] == [True, False, True]


async def test_what_does_not_count_goes_back_to_the_key_and_to_what_was_paid_beside(mount, token) -> None:
    guard = mount(rate_limit_authenticated="2/hour", rate_limit_count="failures", **BY_TENANT)
    header = mount(rate_limit_default="1/hour", rate_limit_count="failures", **BY_HEADER)

    async def answered(guard: Any, times: int, **how: Any) -> None:
        assert (await page(guard, **how)).status == 200
        await until(lambda: guard.metric("fraiseql_guard_adjustments_total", reason="success") >= times)

    for number in range(6):
        await answered(guard, number + 1, token=token(f"user{number}", "acme"))
    for number in range(25):
        await answered(header, number + 1, headers=team(number))


# --- waiting ----------------------------------------------------------------------------------------------------------


class Sent:
    """A request that is under way, and whose client can leave."""

    def __init__(self, guard: Any, **how: Any) -> None:
        self.connection = Connection([])
        self.task = asyncio.create_task(page(guard, connection=self.connection, **how))

    async def leave(self) -> None:
        self.connection.leave()
        await self.task


async def test_requests_of_one_key_wait_in_one_line(mount, token) -> None:
    guard = mount(rate_limit_authenticated="2/1s", rate_limit_wait_ms=10_000, rate_limit_abuse_offences=1, **BY_TENANT)
    sent = [Sent(guard, token=token(f"user{number % 2}", "acme")) for number in range(6)]
    replies = [await each.task for each in sent]
    assert [reply.status for reply in replies] == [200] * 6
    assert list(await guard.store.sanctions.all()) == []
    assert guard.metric("fraiseql_guard_waiting_requests") == 0


async def test_a_key_has_a_quarter_of_the_places(mount, token) -> None:
    guard = mount(rate_limit_authenticated="1/9s", rate_limit_wait_ms=10_000, rate_limit_waiting=4, **BY_TENANT)
    for org in ("acme", "other"):
        assert await admitted(guard, 1, token=token("first", org)) == 1
    sent = [Sent(guard, token=token("alice", "acme")), Sent(guard, token=token("bob", "other"))]
    await until(lambda: guard.metric("fraiseql_guard_waiting_requests") == 2)
    assert (await page(guard, token=token("carol", "acme"))).status == 429
    for each in sent:
        await each.leave()
    assert guard.metric("fraiseql_guard_waiting_requests") == 0


async def test_who_sends_many_keys_has_a_quarter_of_the_places(mount) -> None:
    guard = mount(rate_limit_default="1/9s", rate_limit_wait_ms=10_000, rate_limit_waiting=4, **BY_HEADER)
    for name in ("one", "two"):
        assert await admitted(guard, 1, headers=team(name)) == 1
    waits = Sent(guard, headers=team("one"))
    await until(lambda: guard.metric("fraiseql_guard_waiting_requests") == 1)
    assert (await page(guard, headers=team("two"))).status == 429
    await waits.leave()


async def test_a_bucket_that_is_paid_beside_is_waited_for_too(mount) -> None:
    guard = mount(rate_limit_default="1/2s", rate_limit_wait_ms=10_000, **BY_HEADER)
    assert await of_teams(guard, 26) == 26, "20 at once, and one more in each tenth of a second"


# --- resets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [BY_TENANT, BY_HEADER], ids=["tenant", "header"])
async def test_after_a_reset_the_key_begins_anew(mount, token, key) -> None:
    guard = mount(rate_limit_default="2/minute+3/hour", rate_limit_authenticated="2/minute+3/hour", **key)
    how = {"token": token("alice", "acme"), "headers": team("one")}
    for _ in range(3):
        assert await admitted(guard, 40, **how) == 2
        await guard.guard.reset()


# --- API keys and refusals that are given again -----------------------------------------------------------------------


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


async def test_the_tenant_of_an_api_key_is_a_tenant(mount) -> None:
    known = {digest(f"key-of-{name}-{'x' * 40}"): ApiKey(name=name, tenant=org) for name, org in KEYS.items()}

    async def ask(sha256: str) -> ApiKey | None:
        return known.get(sha256)

    guard = mount(rate_limit_key="tenant", api_keys=ask, rate_limit_authenticated="3/hour", jwt_secret=None)

    def headers(name: str) -> dict[str, str]:
        return {"x-api-key": f"key-of-{name}-{'x' * 40}"}

    assert [await admitted(guard, 2, headers=headers(name)) for name in KEYS] == [2, 1, 2]
    limited = next(line for line in guard.lines("security.rate_limit"))
    assert limited["context"]["limit_key"] == "tenant:acme"


KEYS = {"batch": "acme", "report": "acme", "partner": "other"}


def test_without_api_keys_a_tenant_needs_the_claim() -> None:
    with pytest.raises(SettingsError, match="TENANT_CLAIM"):
        Guard(EchoApp(), rate_limit_key="tenant", jwt_secret="x" * 40)


async def test_a_refusal_is_given_again_to_the_same_credentials_and_key_alone(mount, token) -> None:
    guard = mount(rate_limit_authenticated="1/hour", token_cookie="__Host-token", **BY_HEADER)

    def how(user: str, name: str) -> dict[str, Any]:
        cookie = f"__Host-token={token(user, 'acme')}"
        return {"headers": {**team(name), "cookie": cookie, "sec-fetch-site": "same-origin"}}

    assert await admitted(guard, 60, **how("alice", "one")) == 1
    assert await admitted(guard, 60, **how("bob", "one")) == 0, "of the same team"
    assert await admitted(guard, 60, **how("alice", "two")) == 1
    assert await admitted(guard, 60, headers=team("three")) == 60


# --- guards in guards -------------------------------------------------------------------------------------------------


async def test_guards_with_one_key_and_several_windows_charge_it_once(mount) -> None:
    rates = {"rate_limit_default": "9/minute+3/hour", "rate_limit_burst": 0, **BY_HEADER}
    probe = mount(**rates)
    settings = probe.guard.settings
    if settings.redis_url is None:
        pytest.skip("what is in the memory of two guards is not shared")
    shared = {"redis_url": settings.redis_url, "namespace": settings.namespace, "store_timeout_ms": 10_000}
    inner = RateLimitMiddleware(EchoApp(), **rates, **shared)
    both = Guard(Between(inner), **rates, **shared)
    assert await of_teams(both, 70) == 60
    assert await admitted(both, 5, headers=team("one"), client=("198.51.100.9", 1)) == 3
    # An operator vouches for a key: neither guard charges what is paid beside it.
    await probe.guard.runtime.operator.set_limit(Target(key="header:X-Team:partner"), "20/minute+70/hour")
    await asyncio.sleep(1.1)  # a refusal is remembered for a second
    assert await admitted(both, 25, headers=team("partner")) == 20
    await both.aclose()
    await inner.aclose()

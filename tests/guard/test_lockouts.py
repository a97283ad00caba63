"""Logins that the app reports: the attacker of an account is locked out, its owner elsewhere never is."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware as Layer
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from fraiseql_guard import Guard, logins
from fraiseql_guard.core.context import Sanction, Subject
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.identity.logins import login_subject, read_login
from fraiseql_guard.stores.overrides import Override, OverrideKind
from fraiseql_guard.testing import ManualClock, make_token
from tests.support.asgi import Reply, request
from tests.support.redis_server import RedisServer

LOGINS = "fraiseql_guard_logins_total"
PASSWORD = "correct horse"
HOME = ("198.51.100.9", 1)


async def login(http: Request) -> JSONResponse:
    """What an app's form does."""
    form = await http.json()
    name = form["name"]
    desk = logins(http)
    if lockout := await desk.locked(name):
        return JSONResponse({}, 429, {"retry-after": str(lockout.retry_after_seconds)})
    if form["password"] != PASSWORD:
        lockout = await desk.failed(name)
        return JSONResponse({"locked": lockout is not None}, 401)
    await desk.succeeded(name)
    return JSONResponse({"welcome": name})


def blog() -> Starlette:
    return Starlette(routes=[Route("/login", login, methods=["POST"])])


async def enter(app, name: str, password: str = "guess", **caller) -> Reply:
    body = json.dumps({"name": name, "password": password}).encode()
    return await request(app, path="/login", body=body, **caller)


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def guards(request, guarded) -> AsyncIterator[list]:
    """Two workers on one Redis, or one worker alone, twice."""
    if request.param == "memory":
        guard = guarded(blog())
        yield [guard, guard]
        return
    with RedisServer() as server:
        workers = [guarded(blog(), redis_url=server.url, store_timeout_ms=5000) for _ in range(2)]
        yield workers
        for worker in workers:
            await worker.guard.aclose()


async def test_the_fifth_failure_locks_the_pair_and_nobody_else(guards) -> None:
    one, two = guards
    answers = [await enter(guard, "Alice") for guard in (one, two, one, two, one)]
    assert [reply.status for reply in answers] == [401] * 5
    assert [reply.json["locked"] for reply in answers] == [False] * 4 + [True]
    for guard in guards:
        for name in ("alice", " ALICE "):
            locked = await enter(guard, name, PASSWORD)  # not even with the right password
            assert locked.status == 429
            assert 1790 <= int(locked.header("retry-after") or 0) <= 1800
        assert (await enter(guard, "alice", PASSWORD, client=HOME)).status == 200  # the owner elsewhere
        assert (await enter(guard, "bob", PASSWORD)).status == 200  # a neighbour of the attacker
    (line,) = [line for guard in {one, two} for line in guard.lines("security.brute_force_detected")]
    assert line["context"] | {"request_id": ""} == {
        "user_id": "anonymous", "ip_address": "203.0.113.7", "failed_attempts": 5, "time_window_seconds": 300,
        "action": "account_locked", "sanction_seconds": 1800, "identifier": "alice", "request_id": "",
    }  # fmt: skip
    total = {guard.guard: guard for guard in guards}.values()
    assert sum(guard.metric("fraiseql_account_lockouts_total") for guard in total) == 1
    assert sum(guard.metric("fraiseql_guard_sanctions_total", policy="account_lockout") for guard in total) == 1
    outcomes = ("failed", "locked", "succeeded")
    assert [sum(guard.metric(LOGINS, outcome=each) for guard in total) for each in outcomes] == [5, 4, 4]


async def test_an_operator_sees_the_lockout_and_lifts_it_at_once(guards) -> None:
    one, two = guards
    for _ in range(5):
        await enter(one, "alice")
    store = two.guard.runtime.store
    (lockout,) = await store.sanctions.all()
    assert (lockout.policy, read_login(lockout.subject)) == (PolicyName.ACCOUNT_LOCKOUT, ("alice", "203.0.113.7"))
    assert await store.sanctions.lift(lockout.subject) == 1
    assert await store.sanctions.all() == []
    assert (await enter(one, "alice", PASSWORD)).status == 200


async def test_a_success_forgets_the_failures_of_its_pair_alone(guards) -> None:
    one, two = guards
    for _ in range(3):
        for _ in range(4):
            await enter(one, "alice")
            await enter(one, "bob")
        assert (await enter(two, "alice", PASSWORD)).status == 200
        if (await enter(two, "bob")).json.get("locked"):
            break
    assert (await enter(one, "bob")).status == 429
    assert (await enter(one, "alice", PASSWORD)).status == 200


async def test_failures_at_once_are_all_counted_and_lock_once(guards) -> None:
    answers = await asyncio.gather(*(enter(guards[n % 2], "alice") for n in range(20)))
    assert sum(reply.status == 401 for reply in answers) >= 5
    assert {reply.status for reply in answers} <= {401, 429}
    assert (await enter(guards[0], "alice")).status == 429
    assert sum(len(guard.lines("security.brute_force_detected")) for guard in {*guards}) == 1


async def test_guessing_in_parallel_gives_hardly_more_guesses(guards) -> None:
    """All are asked about before the first one fails: without a bound, each would be a guess."""
    tried = 0

    async def slow(http: Request) -> JSONResponse:
        nonlocal tried
        if await logins(http).locked("alice"):
            return JSONResponse({}, 429)
        tried += 1
        await asyncio.sleep(0.2)  # a password's hash takes its time
        await logins(http).failed("alice")
        return JSONResponse({}, 401)

    for guard in guards:
        guard.guard.app = Starlette(routes=[Route("/login", slow, methods=["POST"])])
    await asyncio.gather(*(enter(guards[n % 2], "alice") for n in range(60)))
    assert 5 <= tried <= 5 * len({*guards})
    for guard in guards:
        assert not guard.guard.runtime.lockouts._at_work
        assert (await enter(guard, "alice", PASSWORD)).status == 429


async def test_asking_without_an_attempt_holds_nothing_beyond_the_request(guarded) -> None:
    async def form(http: Request) -> JSONResponse:
        return JSONResponse({"locked": await logins(http).locked("alice") is not None})

    guard = guarded(Starlette(routes=[Route("/", form)]))
    for _ in range(20):
        assert (await request(guard, "GET", "/")).json == {"locked": False}
    assert not guard.guard.runtime.lockouts._at_work


async def test_a_line_about_a_failure_does_not_tell_what_was_typed(guarded) -> None:
    guard = guarded(blog())
    await enter(guard, "my-password-by-mistake")
    (line,) = guard.lines("guard.login_failed")
    assert line["context"]["ip_address"] == "203.0.113.7"
    assert "my-password" not in json.dumps(guard.lines())


async def test_a_neighbour_in_the_same_ipv6_network_is_the_same_place(guarded) -> None:
    guard = guarded(blog())
    for number in range(5):
        await enter(guard, "alice", client=(f"2001:db8::{number}", 1))
    assert (await enter(guard, "alice", PASSWORD, client=("2001:db8::77", 1))).status == 429
    assert (await enter(guard, "alice", PASSWORD, client=("2001:db8:0:1::77", 1))).status == 200


async def test_the_address_is_the_guards_through_proxies_mounts_and_other_middleware(guarded) -> None:
    inner = Starlette(routes=[Mount("/", blog())], middleware=[Layer(GZipMiddleware)])
    guard = guarded(inner, trusted_proxies="10.0.0.0/8")
    proxy = ("10.0.0.1", 1)
    for _ in range(5):
        await enter(guard, "alice", client=proxy, headers={"x-forwarded-for": "9.9.9.9, 198.51.100.1"})
    assert (
        await enter(guard, "alice", PASSWORD, client=proxy, headers={"x-forwarded-for": "198.51.100.1"})
    ).status == 429
    assert (await enter(guard, "alice", PASSWORD, client=("198.51.100.1", 1))).status == 429
    assert (await enter(guard, "alice", PASSWORD, client=proxy, headers={"x-forwarded-for": "9.9.9.9"})).status == 200


async def test_behind_an_undeclared_proxy_nobody_is_locked_out_for_another(guarded) -> None:
    guard = guarded(blog())
    hidden = {"client": ("10.0.0.5", 1), "headers": {"x-forwarded-for": "198.51.100.1"}}
    for caller in (hidden, {"client": None}):
        for _ in range(10):
            assert (await enter(guard, "alice", **caller)).status == 401
        assert (await enter(guard, "alice", PASSWORD, **caller)).status == 200
    assert guard.metric("fraiseql_account_lockouts_total") == 0
    assert guard.metric(LOGINS, outcome="failed") == 20


async def test_the_allow_listed_are_never_locked_out(guarded) -> None:
    guard = guarded(blog(), allow_list="203.0.113.0/24")
    for _ in range(10):
        assert (await enter(guard, "alice")).status == 401
    await guard.guard.runtime.store.overrides.put(Override(OverrideKind.ALLOW, "198.51.100.0/24", 600))
    await guard.heard()
    for _ in range(10):
        assert (await enter(guard, "alice", client=HOME)).status == 401


async def test_failed_logins_are_no_failed_tokens(guarded, secret) -> None:
    """Wrong passwords of many names lock each name at this address; they never block the address."""
    guard = guarded(blog(), jwt_secret=secret)
    for number in range(40):
        assert (await enter(guard, f"name-{number}")).status == 401
    assert guard.metric("fraiseql_guard_sanctions_total") == 0
    assert guard.metric("fraiseql_auth_failures_total") == 0


async def test_the_numbers_are_settings_and_a_repeat_lasts_longer(guarded) -> None:
    guard = guarded(blog(), lockout_offences=2, lockout_window_seconds=60, lockout_seconds=120)
    clock = ManualClock()
    for part in (guard.guard.runtime.store, guard.guard.runtime.store.sanctions):
        part._clock = clock
    assert [(await enter(guard, "alice")).status for _ in range(3)] == [401, 401, 429]
    clock.advance(121)
    assert [(await enter(guard, "alice")).status for _ in range(1)] == [401]
    clock.advance(61)  # out of the window
    assert [(await enter(guard, "alice")).status for _ in range(3)] == [401, 401, 429]
    assert int((await enter(guard, "alice")).header("retry-after") or 0) == 240


async def test_in_monitor_mode_it_is_only_said(guarded) -> None:
    guard = guarded(blog(), mode_auth="monitor")
    for _ in range(12):
        assert (await enter(guard, "alice")).json == {"locked": False}
    assert (await enter(guard, "alice", PASSWORD)).status == 200
    assert guard.lines("security.brute_force_detected")[0]["context"]["enforced"] is False
    assert guard.metric("fraiseql_account_lockouts_total") == 0
    assert guard.metric("fraiseql_guard_sanctions_total") == 0
    assert list(await guard.guard.runtime.store.sanctions.all()) == []


@pytest.mark.redis
@pytest.mark.parametrize(("policy", "sixth"), [("local", 429), ("open", 401)])
async def test_without_redis_the_failure_policy_decides(guarded, policy, sixth) -> None:
    with RedisServer() as server:
        guard = guarded(blog(), redis_url=server.url, on_store_failure=policy)
        assert (await enter(guard, "carol")).status == 401
        server.kill()
        for _ in range(4):
            assert (await enter(guard, "alice")).status == 401
        assert (await enter(guard, "alice", PASSWORD)).status == 200  # forgets, in this process
        statuses = [(await enter(guard, "alice")).status for _ in range(6)]
        assert statuses == [401] * 5 + [sixth]
        await guard.guard.aclose()


@pytest.mark.redis
async def test_a_store_that_fails_closed_lets_no_login_be_tried(guarded) -> None:
    with RedisServer() as server:
        guard = guarded(blog(), redis_url=server.url, on_store_failure="closed", store_timeout_ms=10_000)
        scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "client": ("203.0.113.7", 1)}
        assert await guard.guard.login_locked("alice", scope) is None
        server.kill()
        lockout = await guard.guard.login_locked("alice", scope)
        assert lockout is not None
        assert lockout.retry_after_seconds == 1
        assert await guard.guard.report_login_failure("alice", scope) is not None
        await guard.guard.report_login_success("alice", scope)
        await guard.guard.aclose()


async def test_nothing_that_breaks_reaches_the_app(guarded) -> None:
    guard = guarded(blog())

    class Broken:
        def __getattr__(self, name):
            raise RuntimeError("broken")

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "client": ("203.0.113.7", 1)}
    guard.guard.runtime.lockouts._store = Broken()
    assert (await guard.guard.login_locked("alice", scope)) is not None  # what cannot be checked is not tried
    assert (await guard.guard.report_login_failure("alice", scope)) is not None
    assert (await guard.guard.report_login_success("alice", scope)) is None
    assert guard.metric("fraiseql_guard_faults_total", part="lockouts") == 3


async def test_the_guard_at_hand_and_the_one_in_front_are_the_same_desk(guarded, secret) -> None:
    guard = guarded(blog(), jwt_secret=secret)
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        await blog()(scope, receive, send)

    guard.guard.app = app
    token = make_token(secret, sub="alice")
    assert (await enter(guard, "alice", token=token)).status == 401
    (scope,) = scopes
    for _ in range(3):
        assert await guard.guard.report_login_failure("alice", Request(scope)) is None
    lockout = await guard.guard.report_login_failure("alice", scope)
    assert lockout is not None
    assert await guard.guard.login_locked("alice", Request(scope)) == lockout
    other = Guard(blog())  # one that the request did not come through asks the one that it did
    assert await other.login_locked("alice", scope) == lockout
    await guard.guard.report_login_success("alice", scope)
    assert await guard.guard.login_locked("alice", scope) is None


async def test_a_websocket_may_log_in_too(guarded) -> None:
    guard = guarded(blog())
    scope = {
        "type": "websocket",
        "path": "/chat",
        "headers": [],
        "client": ["203.0.113.7", "4711"],
        "query_string": b"",
    }
    await guard(scope, None, _ignore)
    for _ in range(5):
        await logins(scope).failed("alice")
    assert (await enter(guard, "alice", PASSWORD)).status == 429


async def _ignore(message) -> None:
    """A client that does not listen."""


async def test_without_a_guard_it_is_said_rather_than_not_counted() -> None:
    with pytest.raises(LookupError, match="Mount one"):
        logins({"type": "http"})


async def test_a_lockout_stops_nothing_but_the_login(guarded) -> None:
    guard = guarded(blog())
    pair = login_subject("alice", Subject("address", "203.0.113.7"))
    await guard.guard.runtime.store.sanctions.impose(Sanction(pair, PolicyName.ACCOUNT_LOCKOUT, 60))
    assert (await enter(guard, "alice", PASSWORD)).status == 429
    assert (await request(guard, "GET", "/login")).status == 405  # everything else goes on

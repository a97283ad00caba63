"""API keys: who gets in with one, what a bad one counts as, and that no key is written down anywhere."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from fraiseql_guard import ApiKey, AuthMiddleware, Guard, SettingsError
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.surroundings import warnings_of
from fraiseql_guard.identity.api_keys import API_KEY_ISSUER
from fraiseql_guard.operations.operator.interface import Target
from fraiseql_guard.testing import make_token
from tests.conftest import SECRET, Guarded
from tests.support.asgi import EchoApp, Reply, graphql, request
from tests.support.redis_server import RedisServer
from tests.support.socket_memory import ClosedError, SocketApp, T, opened
from tests.support.upgrades import EchoSocketApp, upgrade
from tests.support.waiting import until

KEY, OTHER = "fgk_a-key-of-our-own-" + "k" * 22, "fgk_another-key-" + "o" * 22
ALICE = make_token(SECRET, sub="alice")
REASONS = "fraiseql_auth_failures_total"


def entry(key: str = KEY, **fields: Any) -> dict[str, Any]:
    return {"sha256": sha256(key.encode()).hexdigest(), "name": "partner", **fields}


def shown(key: str, **more: str) -> dict[str, str]:
    return {"x-api-key": key, **more}


async def with_key(guard: Any, key: str = KEY, **more: Any) -> Reply:
    return await graphql(guard, "{me{id}}", headers=shown(key), **more)


@pytest.fixture
def keys_file(tmp_path) -> Path:
    path = tmp_path / "api-keys.yml"
    path.write_text(json.dumps([entry(tier="pro", scopes=["read"]), entry(OTHER, name="other")]))
    return path


@pytest.fixture
def guard(guarded, keys_file, clock) -> Guarded:
    return guarded(api_keys_file=keys_file, clock=clock)


# --- a file of keys --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers", [shown(KEY), {"authorization": f"Bearer {KEY}"}, {"authorization": f"ApiKey {KEY}"}]
)
@pytest.mark.parametrize("middleware", [Guard, AuthMiddleware])
async def test_a_key_gets_in_and_the_app_sees_who_has_it(guarded, keys_file, headers, middleware) -> None:
    guard = guarded(middleware=middleware, api_keys_file=keys_file)
    assert (await graphql(guard, "{me{id}}", headers=headers)).status == 200
    scope = guard.app.scopes[-1]
    assert (scope["user"].identity, scope["user"].is_authenticated) == ("partner", True)
    assert {"authenticated", "read"} <= set(scope["auth"].scopes)
    assert guard.metric("fraiseql_auth_success_total") == 1
    assert guard.metric("fraiseql_guard_token_keys_total", key="api_key") == 1
    (line,) = guard.lines("security.auth_success")
    assert line["context"]["user_id"] == "partner"


@pytest.mark.parametrize("headers", [{}, shown(""), shown(" "), {"authorization": "Bearer"}])
async def test_without_a_key_nothing_is_served(guard, headers) -> None:
    reply = await graphql(guard, "{me{id}}", headers=headers)
    assert (reply.status, reply.code) == (401, "UNAUTHENTICATED")
    assert guard.metric(REASONS, failure_reason="missing_token") == 1
    assert guard.app.bodies == []


async def test_why_a_key_is_not_accepted_is_counted_as_for_tokens(guard, keys_file) -> None:
    keys_file.write_text(json.dumps([entry(disabled=True), entry(OTHER, expires_at=guard.guard.mount_options.clock())]))
    guard.advance(6)
    for key, reason in ((KEY, "user_disabled"), (OTHER, "token_expired"), ("fgk_unknown", "invalid_token")):
        assert (await with_key(guard, key)).status == 401
        assert guard.metric(REASONS, failure_reason=reason) == 1
    (line,) = guard.lines("security.token_expired")
    assert line["context"]["user_id"] == "partner"


async def test_fifteen_unknown_keys_block_the_address_and_no_good_key_behind_it(guard) -> None:
    assert (await with_key(guard)).status == 200
    statuses = [(await with_key(guard, f"fgk_guess-{number}")).status for number in range(40)]
    assert statuses == [401] * 15 + [403] * 25
    assert len(guard.lines("security.brute_force_detected")) == 1
    assert (await with_key(guard)).status == 200


async def test_a_key_that_is_taken_out_of_the_file_ends(guard, keys_file) -> None:
    assert (await with_key(guard)).status == 200
    keys_file.write_text(json.dumps([entry(OTHER)]))
    guard.advance(6)
    assert (await with_key(guard)).status == 401
    keys_file.write_text("- broken")
    guard.advance(6)
    assert (await with_key(guard, OTHER)).status == 200
    (line,) = [each for each in guard.lines() if "the last good API keys stay in force" in json.dumps(each)]
    assert str(keys_file) in json.dumps(line)


async def test_a_key_and_a_token_at_once_are_ambiguous(guarded, keys_file) -> None:
    guard = guarded(EchoApp(), api_keys_file=keys_file, jwt_secret=SECRET)
    for headers in (shown(KEY, authorization=f"Bearer {ALICE}"), [("x-api-key", KEY), ("x-api-key", OTHER)]):
        reply = await graphql(guard, "{me{id}}", headers=headers)
        assert (reply.status, reply.code) == (400, "AMBIGUOUS_TOKEN")
    assert (await graphql(guard, "{me{id}}", headers=shown(KEY, authorization=f"Bearer {KEY}"))).status == 200
    assert (await request(guard, "GET", "/page", headers=shown(KEY, authorization=f"Bearer {ALICE}"))).status == 200
    assert not guard.app.scopes[-1]["user"].is_authenticated


async def test_tokens_go_on_beside_keys(guarded, keys_file) -> None:
    guard = guarded(api_keys_file=keys_file, jwt_secret=SECRET)
    assert (await graphql(guard, "{me{id}}", token=ALICE)).status == 200
    assert (await with_key(guard)).status == 200
    assert (await graphql(guard, "{me{id}}", token=make_token("x" * 40, sub="alice"))).status == 401
    assert guard.metric(REASONS, failure_reason="invalid_signature") == 1
    # A token in the header of keys is none.
    assert (await graphql(guard, "{me{id}}", headers=shown(ALICE))).status == 401


async def test_the_header_has_the_name_that_was_chosen(guarded, keys_file) -> None:
    guard = guarded(api_keys_file=keys_file, api_key_header="X-Our-Key")
    assert (await graphql(guard, "{me{id}}", headers={"x-our-key": KEY})).status == 200
    assert (await with_key(guard)).status == 401


async def test_a_key_in_its_header_is_no_cross_site_request(guard) -> None:
    headers = shown(KEY, **{"sec-fetch-site": "cross-site"})
    query = {"query": "query=%7Bme%7Bid%7D%7D", "content_type": None}
    assert (await request(guard, "GET", headers=headers, **query)).status == 200
    reply = await request(guard, "GET", headers={"sec-fetch-site": "cross-site"}, **query)
    assert (reply.status, reply.code) == (400, "CROSS_SITE_REQUEST")


async def test_no_key_makes_an_operator(guarded, keys_file) -> None:
    keys_file.write_text(json.dumps([entry(scopes=["guard:operate"])]))
    guard = guarded(api_keys_file=keys_file, jwt_secret=SECRET, admin_scope="guard:operate")
    for headers in (shown(KEY), {"authorization": f"Bearer {KEY}"}):
        assert (await request(guard, "GET", "/admin/blocks", headers=headers)).status == 401
    operator = make_token(SECRET, sub="alice", scope="guard:operate")
    assert (await request(guard, "GET", "/admin/blocks", token=operator)).status == 200
    with pytest.raises(SettingsError, match="no API key makes an operator"):
        guarded(api_keys_file=keys_file, admin_scope="guard:operate")


async def test_nothing_shows_a_key(guard, keys_file) -> None:
    unknown = "fgk_" + secrets.token_urlsafe(32)
    odd = "fgk.with.dots-" + secrets.token_urlsafe(16)
    replies = [await with_key(guard, key) for key in (KEY, unknown, odd, unknown + "\x01", "x" * 600)]
    replies += [await graphql(guard, "{me{id}}", token=key) for key in (KEY, unknown, odd)]
    replies.append(await graphql(guard, "{me{id}}", headers=shown(KEY, authorization=f"Bearer {OTHER}")))
    told = json.dumps(guard.lines()) + guard.exposition() + "".join(repr(each.messages) for each in replies)
    told += repr(guard.guard.runtime.verifier.fingerprints()) + repr(guard.guard.runtime.head_cache.reads)
    for key in (KEY, OTHER, unknown, odd):
        assert key not in told
        assert key[:8] not in told.replace(sha256(key.encode()).hexdigest(), "")


async def test_what_a_verified_key_is_asked_with_the_users(guarded, keys_file) -> None:
    asked = []

    async def user_status(identity: Any) -> str:
        asked.append((identity.user_id, identity.key))
        return "disabled"

    guard = guarded(api_keys_file=keys_file, user_status=user_status)
    assert (await with_key(guard)).status == 401
    assert asked == [("partner", "api_key")]
    assert guard.metric(REASONS, failure_reason="user_disabled", user_id="partner") == 1


def test_what_needs_a_key_to_verify_with_is_told(keys_file) -> None:
    with_keys = Settings.load({}, api_keys_file=keys_file, tiers="pro=5/minute", jwt_audience="us")
    (sentence,) = [each for each in warnings_of(with_keys) if "no effect without a key" in each]
    assert "FRAISEQL_GUARD_JWT_AUDIENCE" in sentence
    assert "TIERS" not in sentence


@pytest.mark.parametrize("header", ["authorization", "cookie", "content-type", "sec-fetch-site", "x y", ""])
def test_a_header_with_another_meaning_stops_the_start(header) -> None:
    with pytest.raises(SettingsError, match="FRAISEQL_GUARD_API_KEY_HEADER"):
        Settings.load({}, api_key_header=header)


# --- limits and sanctions, on both stores -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def mount(request: pytest.FixtureRequest, guarded: Any, keys_file: Path) -> AsyncIterator[Callable[..., Guarded]]:
    store: dict[str, Any] = {}
    if request.param == "redis":
        server = request.getfixturevalue("redis")
        server.flush()
        store = {"redis_url": server.url, "store_timeout_ms": 5000}
    made: list[Guarded] = []

    def make(**options: Any) -> Guarded:
        made.append(guarded(api_keys_file=keys_file, rate_limit_burst=0, **store, **options))
        return made[-1]

    yield make
    for each in made:
        await each.guard.aclose()


async def test_each_key_has_limits_of_its_own_by_its_tier(mount) -> None:
    guard = mount(tiers="pro=3/hour", rate_limit_authenticated="2/hour", jwt_secret=SECRET)
    assert [(await with_key(guard)).status for _ in range(4)] == [200] * 3 + [429]
    assert [(await with_key(guard, OTHER)).status for _ in range(3)] == [200] * 2 + [429]
    # A token's user of the same name is someone else, and so is one whose issuer says otherwise.
    token = make_token(SECRET, sub="partner")
    assert [(await graphql(guard, "{me{id}}", token=token)).status for _ in range(3)] == [200] * 2 + [429]
    for _ in range(3):  # whole answers are given again to the same key alone
        assert (await with_key(guard)).status == 429
    assert (await graphql(guard, "{me{id}}", headers=shown("fgk_unknown"))).status == 401


async def test_an_operator_blocks_a_key_by_its_name(mount) -> None:
    guard = mount()
    assert (await with_key(guard)).status == 200
    target = Target(user_id="partner", issuer=API_KEY_ISSUER)
    await guard.guard.operator.block(target, duration_seconds=60, reason="leaked", actor="test")
    assert (await with_key(guard)).code == "BLOCKED"
    assert (await with_key(guard, OTHER)).status == 200


# --- the app knows the keys -------------------------------------------------------------------------------------------


class Keys:
    """An app's table of keys."""

    def __init__(self, *known: str, **fields: Any) -> None:
        self.known = {sha256(key.encode()).hexdigest(): ApiKey(name="partner", **fields) for key in known}
        self.asked: list[str] = []
        self.error: BaseException | None = None
        self.waits: asyncio.Event | None = None

    async def __call__(self, digest: str) -> ApiKey | None:
        self.asked.append(digest)
        if self.waits is not None:
            await self.waits.wait()
        if self.error is not None:
            raise self.error
        return self.known.get(digest)


@pytest.fixture
def keys() -> Keys:
    return Keys(KEY, tier="pro")


@pytest.fixture
def asking(guarded, keys, clock) -> Guarded:
    return guarded(api_keys=keys, clock=clock)


async def test_the_app_is_given_a_digest_and_its_answer_holds_for_a_minute(asking, keys) -> None:
    for _ in range(3):
        assert (await with_key(asking)).status == 200
    assert keys.asked == [sha256(KEY.encode()).hexdigest()]
    keys.known.clear()
    asking.advance(59)
    assert (await with_key(asking)).status == 200
    asking.advance(2)
    assert (await with_key(asking)).status == 401
    assert asking.app.scopes[-1]["user"].identity == "partner"


async def test_a_key_that_ends_earlier_is_remembered_for_less(guarded, clock) -> None:
    keys = Keys(KEY, expires_at=clock() + 5)
    guard = guarded(api_keys=keys, clock=clock)
    assert (await with_key(guard)).status == 200
    guard.advance(5)
    assert (await with_key(guard)).status == 401
    assert guard.metric(REASONS, failure_reason="token_expired") == 1


async def test_the_same_key_at_the_same_time_is_asked_about_once(asking, keys) -> None:
    keys.waits = asyncio.Event()
    waiting = [asyncio.create_task(with_key(asking)) for _ in range(20)]
    await until(lambda: keys.asked)
    waiting[0].cancel()
    keys.waits.set()
    replies = await asyncio.gather(*waiting[1:])
    assert {each.status for each in replies} == {200}
    assert len(keys.asked) == 1


@pytest.mark.parametrize("error", [RuntimeError("no database"), TimeoutError(), asyncio.CancelledError()])
async def test_an_app_that_breaks_brings_503_and_counts_against_no_caller(asking, keys, error) -> None:
    keys.error = error
    for _ in range(20):
        reply = await with_key(asking)
        assert (reply.status, reply.code, reply.header("retry-after")) == (503, "KEYS_UNAVAILABLE", "1")
    assert asking.metric(REASONS) == 0
    assert asking.metric("fraiseql_guard_sanctions_total") == 0
    assert asking.metric("fraiseql_guard_faults_total", part="api_keys") == 20
    keys.error = None
    assert (await with_key(asking)).status == 200


async def test_an_app_that_answers_anything_else_breaks(asking, keys) -> None:
    keys.known[sha256(KEY.encode()).hexdigest()] = True  # type: ignore[assignment]
    assert (await with_key(asking)).code == "KEYS_UNAVAILABLE"
    assert asking.metric("fraiseql_guard_faults_total", part="api_keys") == 1


async def test_an_app_that_hangs_is_waited_for_for_a_bounded_time(asking, keys, monkeypatch) -> None:
    monkeypatch.setattr("fraiseql_guard.identity.api_key_questions.ANSWER_SECONDS", 0.05)
    keys.waits = asyncio.Event()
    began_at = time.monotonic()
    assert (await with_key(asking)).code == "KEYS_UNAVAILABLE"
    assert time.monotonic() - began_at < 10
    assert asking.metric("fraiseql_guard_faults_total", part="api_keys") == 1


async def test_a_flood_of_random_keys_asks_the_app_ten_times_a_second(guarded, keys, clock) -> None:
    guard = guarded(api_keys=keys, clock=clock, brute_force_offences=1000, rate_limit_default="1000/minute")
    flood = [await with_key(guard, f"fgk_guess-{number}") for number in range(60)]
    assert len(keys.asked) == 10
    assert [each.status for each in flood] == [401] * 10 + [429] * 50
    assert flood[-1].header("retry-after") == "1"
    # A key that the app knows waits a moment behind that address, and elsewhere does not.
    assert (await with_key(guard)).status == 429
    assert (await with_key(guard, client=("203.0.113.8", 1))).status == 200
    assert (await with_key(guard)).status == 200  # known by now
    guard.advance(1)
    assert (await with_key(guard, "fgk_guess-0")).status == 401  # remembered: not asked again
    assert len(keys.asked) == 11
    for number in range(30):
        key = f"fgk_good-{number}"
        keys.known[sha256(key.encode()).hexdigest()] = ApiKey(name=key)
        assert (await with_key(guard, key)).status == 200  # however many good ones there are


async def test_an_unknown_key_is_remembered_briefly(asking, keys) -> None:
    for _ in range(3):
        assert (await with_key(asking, OTHER)).status == 401
    assert len(keys.asked) == 1
    keys.known[sha256(OTHER.encode()).hexdigest()] = ApiKey(name="late")
    asking.advance(11)
    assert (await with_key(asking, OTHER)).status == 200


async def test_the_file_comes_first_and_the_app_is_asked_about_the_rest(guarded, keys_file, clock) -> None:
    fresh = "fgk_of-the-app"
    keys = Keys(fresh)
    guard = guarded(api_keys=keys, api_keys_file=keys_file, clock=clock)
    assert (await with_key(guard)).status == 200
    assert keys.asked == []
    assert (await with_key(guard, fresh)).status == 200


async def test_where_nothing_needs_a_key_a_silent_app_leaves_its_caller_anonymous(guarded, keys) -> None:
    keys.error = RuntimeError("no database")
    guard = guarded(EchoApp(), api_keys=keys, auth_required=False)
    assert (await request(guard, "GET", "/page", headers=shown(KEY))).status == 200
    assert not guard.app.scopes[-1]["user"].is_authenticated


async def test_monitoring_refuses_no_caller_and_is_bounded_all_the_same(guarded, keys, clock) -> None:
    guard = guarded(api_keys=keys, clock=clock, mode_auth="monitor", rate_limit_default="1000/minute")
    flood = [await with_key(guard, f"fgk_guess-{number}") for number in range(40)]
    assert {each.status for each in flood} == {200}
    assert len(keys.asked) == 10


# --- WebSockets ------------------------------------------------------------------------------------------------------


async def test_a_socket_opens_with_a_key_in_its_head_or_in_its_first_message(guarded, keys_file) -> None:
    guard = guarded(SocketApp(), api_keys_file=keys_file, jwt_secret=SECRET)
    async with opened(guard, T, headers=shown(KEY)) as socket:
        await socket.init()
        assert await socket.ask("{ me { id } }") == {"data": {"ok": True}}
    async with opened(guard, T) as socket:
        await socket.init({"token": KEY})
        assert await socket.ask("{ me { id } }") == {"data": {"ok": True}}
    async with opened(guard, T) as socket:
        with pytest.raises(ClosedError):
            await socket.init({"token": "fgk_unknown"})
    async with opened(guard, T, headers=shown(KEY)) as socket:
        with pytest.raises(ClosedError):
            await socket.init({"token": ALICE})  # another user's


async def test_a_socket_ends_when_its_key_is_taken_away(guarded, keys_file, clock) -> None:
    guard = guarded(SocketApp(), api_keys_file=keys_file, clock=clock)
    async with opened(guard, T, headers=shown(KEY)) as socket:
        await socket.init()
        keys_file.write_text(json.dumps([entry(OTHER)]))
        guard.advance(6)
        guard.guard.runtime.control.ensure_polling()
        with pytest.raises(ClosedError):
            await socket.receive()


async def test_other_sockets_show_keys_too(guarded, keys_file) -> None:
    guard = guarded(EchoSocketApp(), api_keys_file=keys_file, auth_paths="/live")
    assert (await upgrade(guard, "/live", headers=shown(KEY))).status == 101
    assert (await upgrade(guard, "/live", headers=shown("fgk_unknown"))).status == 401
    assert (await upgrade(guard, "/live", headers=shown(KEY, authorization=f"Bearer {OTHER}"))).status == 400

"""A token in a cookie, which browsers send along by themselves: it counts only where no other site's page can have sent
it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fraiseql_guard import AuthMiddleware, Guard, SettingsError
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.testing import make_token
from tests.conftest import SECRET, Guarded
from tests.support.asgi import Reply, graphql, request
from tests.support.socket_memory import ClosedError, SocketApp, T, opened
from tests.support.upgrades import EchoSocketApp, upgrade

ALICE, BOB = make_token(SECRET, sub="alice"), make_token(SECRET, sub="bob")
EXPIRED = make_token(SECRET, sub="alice", expires_in_seconds=-60)
FORGED = make_token("x" * 40, sub="alice")
NAME = "__Host-token"
OWN, FRIEND, FOE = "https://api.example.org", "https://app.example.org", "https://evil.example"
HOST = {"host": "api.example.org"}
SAME = {"sec-fetch-site": "same-origin"}
QUERY = {"query": "query=%7Bme%7Bid%7D%7D", "content_type": None}


def cookie(token: str = ALICE, **more: str) -> dict[str, str]:
    return {"cookie": f"theme=dark; {NAME}={token}", **HOST, **more}


async def post(guard: Any, headers: Any, **more: Any) -> Reply:
    return await graphql(guard, "{me{id}}", headers=headers, **more)


async def get(guard: Any, headers: Any) -> Reply:
    return await request(guard, "GET", headers=headers, **QUERY)


@pytest.fixture
def guard(guarded) -> Guarded:
    return guarded(jwt_secret=SECRET, token_cookie=NAME, cors_origins=FRIEND)


@pytest.mark.parametrize("middleware", [Guard, AuthMiddleware])
@pytest.mark.parametrize("value", [ALICE, f'"{ALICE}"', f'"Bearer {ALICE}"'])
async def test_a_cookie_gets_in_and_the_app_sees_the_user(guarded, middleware, value) -> None:
    guard = guarded(middleware=middleware, jwt_secret=SECRET, token_cookie=NAME)
    assert (await post(guard, cookie(value, **SAME))).status == 200
    assert guard.app.scopes[-1]["user"].identity == "alice"
    assert guard.metric("fraiseql_auth_success_total") == 1


async def test_where_no_cookie_is_named_none_counts(guarded) -> None:
    assert (await post(guarded(jwt_secret=SECRET), cookie(**SAME))).status == 401


OURS: list[dict[str, str]] = [
    SAME, {"sec-fetch-site": "none"}, {"origin": OWN}, {"origin": FRIEND},
    {"sec-fetch-site": "same-origin", "origin": OWN}, {"sec-fetch-site": "same-site", "origin": FRIEND},
    {"graphql-require-preflight": "1"},
]  # fmt: skip
THEIRS: list[dict[str, str]] = [
    {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"sec-fetch-site": "same-site", "origin": OWN},
    {"sec-fetch-site": "cross-site", "origin": FOE}, {"sec-fetch-site": "odd"}, {"sec-fetch-site": ""},
    {"origin": FOE}, {"origin": "null"}, {"origin": "http://api.example.org.evil.example"},
    {"origin": "https://api.example.org:8443"}, {"origin": f"{FRIEND}, {FOE}"},
    {"origin": FOE, "graphql-require-preflight": "1"},
]  # fmt: skip


@pytest.mark.parametrize("headers", OURS)
async def test_a_page_of_ours_is_the_user(guard, headers) -> None:
    for reply in (await get(guard, cookie(**headers)), await post(guard, cookie(**headers))):
        assert reply.status == 200
        assert guard.app.scopes[-1]["user"].identity == "alice"


async def test_a_cors_origin_of_another_site_sends_what_needs_a_preflight(guard) -> None:
    headers = cookie(**{"sec-fetch-site": "cross-site", "origin": FRIEND})
    assert (await post(guard, headers)).status == 200
    assert (await get(guard, headers)).code == "CROSS_SITE_REQUEST"


@pytest.mark.parametrize("headers", THEIRS)
async def test_a_page_of_another_site_is_anonymous(guard, headers) -> None:
    for reply in (await get(guard, cookie(**headers)), await post(guard, cookie(**headers))):
        assert reply.code in ("UNAUTHENTICATED", "CROSS_SITE_REQUEST")
    assert guard.app.bodies == []
    assert (await get(guard, cookie(**{"sec-fetch-site": "cross-site"}))).code == "CROSS_SITE_REQUEST"
    # Elsewhere such a request passes, anonymously.
    assert (await request(guard, "GET", "/page", headers=cookie(**headers))).status == 200
    assert not guard.app.scopes[-1]["user"].is_authenticated


async def test_two_lines_that_contradict_each_other_prove_nothing(guard) -> None:
    for lines in (
        [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
        [("origin", OWN), ("origin", FOE)],
    ):
        assert (await post(guard, [*cookie().items(), *lines])).status == 401


async def test_without_a_word_of_the_browser_only_what_no_page_can_send_counts(guarded) -> None:
    guard = guarded(jwt_secret=SECRET, token_cookie=NAME, auth_paths="/api", graphql_paths="/graphql")
    assert (await post(guard, cookie())).status == 200
    assert (await get(guard, cookie())).status == 401
    for method, media_type, status in (
        ("PUT", None, 200), ("DELETE", None, 200), ("GET", None, 401), ("HEAD", None, 401), ("POST", None, 401),
        ("POST", "text/plain;charset=utf-8", 401), ("POST", "application/x-www-form-urlencoded", 401),
        ("POST", "Multipart/Form-Data; boundary=x", 401), ("POST", "application/json", 200),
    ):  # fmt: skip
        headers = cookie() | ({"content-type": media_type} if media_type else {})
        assert (await request(guard, method, "/api/x", headers=headers)).status == status, (method, media_type)


async def test_a_star_among_the_origins_lets_no_cookie_in(guarded) -> None:
    guard = guarded(EchoSocketApp(), jwt_secret=SECRET, token_cookie=NAME, cors_origins="*", auth_paths="/live")
    assert (await post(guard, cookie(origin=FOE))).status == 401
    assert (await upgrade(guard, "/live", headers=cookie(origin=FOE))).status == 401


async def test_what_a_proxy_of_ours_says_of_the_host_counts(guarded) -> None:
    guard = guarded(jwt_secret=SECRET, token_cookie=NAME, trusted_proxies="203.0.113.7")
    headers = cookie(origin="https://www.example.org") | {"x-forwarded-host": "www.example.org", "host": "10.0.0.5"}
    assert (await post(guard, headers)).status == 200
    assert (await post(guard, headers, client=("203.0.113.8", 1))).status == 401


# --- several credentials ---------------------------------------------------------------------------------------------


async def test_two_different_tokens_are_ambiguous(guard) -> None:
    assert (await post(guard, cookie(**SAME), token=ALICE)).status == 200
    for headers, token in (
        (cookie(**SAME), BOB),
        (cookie(f"{ALICE}; {NAME}={BOB}", **SAME), None),
        ([*cookie(**SAME).items(), ("cookie", f"{NAME}={BOB}")], None),
    ):
        reply = await post(guard, headers, token=token)
        assert (reply.status, reply.code) == (400, "AMBIGUOUS_TOKEN")
    # A cookie that does not count contradicts nothing.
    assert (await post(guard, cookie(BOB, origin=FOE), token=ALICE)).status == 200
    assert guard.app.scopes[-1]["user"].identity == "alice"


@pytest.mark.parametrize("value", ["", '""', " "])
async def test_an_empty_cookie_is_none(guard, value) -> None:
    reply = await post(guard, cookie(value, **SAME))
    assert reply.status == 401
    assert guard.metric("fraiseql_auth_failures_total", failure_reason="missing_token") == 1
    assert (await post(guard, cookie(value, **SAME, authorization=f"Bearer {ALICE}"))).status == 200
    assert (await post(guard, cookie(**SAME, authorization="Bearer "))).status == 200


async def test_a_bad_cookie_is_a_bad_token_and_still_lets_its_user_log_in(guarded) -> None:
    guard = guarded(jwt_secret=SECRET, token_cookie=NAME, public_operations="login")
    for token, reason in ((FORGED, "invalid_signature"), (EXPIRED, "token_expired"), ("x", "invalid_token")):
        assert (await post(guard, cookie(token, **SAME))).status == 401
        assert guard.metric("fraiseql_auth_failures_total", failure_reason=reason) == 1
        login = await graphql(guard, "mutation{login{id}}", headers=cookie(token, **SAME))
        assert login.status == 200
    assert (await graphql(guard, "mutation{login{id}}", token=FORGED, headers=HOST)).status == 401


async def test_a_long_header_is_read_or_left_in_a_bounded_way(guard) -> None:
    filling = "; ".join(f"c{number}={'v' * 90}" for number in range(110))
    assert (await post(guard, {"cookie": f"{filling}; {NAME}={ALICE}", **HOST, **SAME})).status == 200
    assert (await post(guard, {"cookie": f"{filling * 3}; {NAME}={ALICE}", **HOST, **SAME})).status == 401


# --- what is cached ---------------------------------------------------------------------------------------------------


async def test_no_user_is_taken_for_another_whatever_is_cached(guard) -> None:
    for _ in range(3):
        for token, user in ((ALICE, "alice"), (BOB, "bob")):
            assert (await request(guard, "GET", "/page", headers=cookie(token, **SAME))).status == 200
            assert guard.app.scopes[-1]["user"].identity == user
        for headers in (HOST | SAME, cookie(**{"sec-fetch-site": "cross-site"})):
            assert (await request(guard, "GET", "/page", headers=headers)).status == 200
            assert not guard.app.scopes[-1]["user"].is_authenticated


async def test_a_refusal_from_memory_is_its_own_users(guarded) -> None:
    guard = guarded(jwt_secret=SECRET, token_cookie=NAME, rate_limit_authenticated="2/hour", rate_limit_burst=0)
    for _ in range(8):
        last = await post(guard, cookie(**SAME))
    assert last.status == 429
    assert (await post(guard, cookie(BOB, **SAME))).status == 200
    assert (await post(guard, cookie(**{"sec-fetch-site": "cross-site"}))).status == 401


# --- WebSockets and streams ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "status"),
    [(OWN, 101), (FRIEND, 101), ("https://live.example.org", 101), (FOE, 403), (None, 401), ("null", 403)],
)
async def test_an_upgrade_with_a_cookie_needs_an_allowed_origin(guarded, origin, status) -> None:
    guard = guarded(
        EchoSocketApp(), jwt_secret=SECRET, token_cookie=NAME, cors_origins=FRIEND, auth_paths="/live",
        socket_origins="https://live.example.org",
    )  # fmt: skip
    headers = cookie() | ({"origin": origin} if origin else {})
    assert (await upgrade(guard, "/live", headers=headers)).status == status


async def test_a_graphql_socket_is_its_cookies_user_without_a_token_in_its_first_message(guarded) -> None:
    guard = guarded(SocketApp(), jwt_secret=SECRET, token_cookie=NAME)
    async with opened(guard, T, headers=cookie(origin=OWN)) as socket:
        await socket.init()
        assert await socket.ask("{ me { id } }") == {"data": {"ok": True}}
    (line,) = guard.lines("guard.socket_closed")
    assert line["context"]["user_id"] == "alice"


async def test_a_first_message_may_renew_the_cookies_token_and_not_change_its_user(guarded) -> None:
    guard = guarded(SocketApp(), jwt_secret=SECRET, token_cookie=NAME)
    fresh = make_token(SECRET, sub="alice", expires_in_seconds=7200)
    async with opened(guard, T, headers=cookie(origin=OWN)) as socket:
        await socket.init({"token": fresh})
        assert await socket.ask("{ me { id } }") == {"data": {"ok": True}}
    async with opened(guard, T, headers=cookie(origin=OWN)) as socket:
        with pytest.raises(ClosedError):
            await socket.init({"token": BOB})


async def test_a_cookie_that_did_not_count_at_the_upgrade_never_does(guarded) -> None:
    guard = guarded(SocketApp(), jwt_secret=SECRET, token_cookie=NAME)
    async with opened(guard, T, headers=cookie()) as socket:  # no browser: it names no origin
        with pytest.raises(ClosedError):
            await socket.init()
    assert guard.metric("fraiseql_auth_failures_total", failure_reason="missing_token") == 1
    async with opened(guard, T, headers=cookie()) as socket:
        await socket.init({"token": BOB})
        assert await socket.ask("{ me { id } }") == {"data": {"ok": True}}


# --- the setting -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a;b", "ä", "x" * 65])
def test_a_name_that_no_cookie_has_stops_the_start(name) -> None:
    with pytest.raises(SettingsError, match="FRAISEQL_GUARD_TOKEN_COOKIE"):
        Settings.load({}, token_cookie=name)


async def test_no_cookie_is_written_down(guard) -> None:
    for token in (ALICE, FORGED, "secret-of-a-session"):
        await post(guard, cookie(token, **SAME))
    told = json.dumps(guard.lines()) + guard.exposition()
    for token in (ALICE, FORGED, "secret-of-a-session"):
        assert token not in told

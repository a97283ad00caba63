"""Upgrades to WebSockets on GraphQL paths: who may open one, and how a refusal is answered."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from fraiseql_guard import (
    AuthMiddleware,
    MetricsMiddleware,
    QueryLimitMiddleware,
    QueryTimeoutMiddleware,
    RateLimitMiddleware,
)
from fraiseql_guard.operations.operator.interface import Target
from fraiseql_guard.testing import make_token
from tests.conftest import SECRET
from tests.support.asgi import graphql, request
from tests.support.upgrades import EchoSocketApp, L, T, begin, opened, sockets_open, upgrade

EVIL = {"origin": "http://evil.example", "host": "api.example.org"}
BORROWED = {**EVIL, "cookie": "session=1"}
WRONG = make_token("another-hmac-secret-of-at-least-thirty-two-bytes", sub="ada")
EXPIRED = make_token(SECRET, sub="ada", expires_in_seconds=-60)
TOKEN = make_token(SECRET, sub="ada")
REFUSALS = "fraiseql_guard_refusals_total"
SINGLE = [RateLimitMiddleware, QueryLimitMiddleware, QueryTimeoutMiddleware]


@pytest.fixture
def guarded_app(guarded: Any) -> Any:
    """A guard with a key in front of an app that echoes."""

    def mount(**options: Any) -> Any:
        return guarded(EchoSocketApp(), **{"jwt_secret": SECRET, **options})

    return mount


# --- what passes -----------------------------------------------------------------------------------------------------


async def test_an_upgrade_passes_and_is_accounted_for_once(guarded_app) -> None:
    guard = guarded_app()
    found = await upgrade(guard)
    assert found.accepted
    assert found.messages[0]["subprotocol"] == T
    assert len(found.headers["x-request-id"]) == 32
    assert not [name for name in found.headers if "ratelimit" in name]
    assert guard.metric("fraiseql_http_requests_total", status="101") == 1
    assert [line["context"]["status"] for line in guard.lines("http.request")] == [101]
    assert guard.metric(REFUSALS) == 0


@pytest.mark.parametrize(
    ("settings", "offers", "chosen"),
    [
        ({}, [T], T),
        ({}, [L], L),
        ({}, [L, T], T),
        ({"socket_protocols": f"{L},{T}"}, [T, L], L),
        ({"socket_protocols": L}, [T, L], L),
        ({}, ["chat", L], L),
    ],
)
async def test_the_servers_order_chooses_and_the_app_cannot_choose_another(
    guarded_app, settings, offers, chosen
) -> None:
    guard = guarded_app(**settings)
    found = await upgrade(guard, offers=offers)
    assert found.messages[0]["subprotocol"] == chosen
    assert guard.app.scopes[0]["subprotocols"] == [chosen]
    assert guard.metric("fraiseql_guard_sockets_opened_total", protocol=chosen.replace("-", "_")) == 1


@pytest.mark.parametrize("offers", [[], ["chat"], [T.upper()], [f" {T}"], [""]])
async def test_other_subprotocols_are_not_accepted(guarded_app, offers) -> None:
    guard = guarded_app()
    found = await upgrade(guard, offers=offers)
    assert (found.status, found.code) == (400, "SUBPROTOCOL_NOT_ACCEPTED")
    assert "FRAISEQL_GUARD_SOCKET_PROTOCOLS" in found.json["errors"][0]["extensions"]["detail"]
    assert not guard.app.scopes


@pytest.mark.parametrize("answer", [L, "chat", None])
async def test_an_app_that_speaks_something_else_is_cut_off_and_warned_of(guarded, answer) -> None:
    accepted = {"type": "websocket.accept", "subprotocol": answer}
    said: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(accepted)
        await send({"type": "websocket.send", "text": "secret"})
        said.append(await receive())

    guard = guarded(app)
    found = await upgrade(guard, offers=[T, L])
    assert found.messages[0]["subprotocol"] == T  # else a client would not read why it is closed
    assert found.closed == (4406, "SUBPROTOCOL_NOT_ACCEPTED")
    assert "secret" not in str(found.messages)
    assert said[0]["type"] == "websocket.disconnect"
    assert len([line for line in guard.lines() if f"Have the app accept {T}" in str(line)]) == 1


# --- the token -------------------------------------------------------------------------------------------------------


async def test_a_token_in_the_head_is_verified_and_presented(guarded_app) -> None:
    guard = guarded_app()
    assert (await upgrade(guard, token=TOKEN)).accepted
    assert guard.app.scopes[0]["user"].identity == "ada"
    assert guard.metric("fraiseql_auth_success_total") == 1


async def test_without_one_it_may_come_with_the_first_message(guarded_app) -> None:
    guard = guarded_app()
    assert (await upgrade(guard)).accepted
    assert not guard.app.scopes[0]["user"].is_authenticated
    assert guard.metric("fraiseql_auth_failures_total") == 0


@pytest.mark.parametrize(
    ("token", "reason", "offence"),
    [(WRONG, "invalid_signature", True), ("not.a.token", "invalid_token", True), (EXPIRED, "token_expired", False)],
)
@pytest.mark.parametrize("options", [{}, {"public_operations": "login"}, {"auth_required": False}])
async def test_a_bad_token_in_the_head_is_401(guarded_app, token, reason, offence, options) -> None:
    guard = guarded_app(brute_force_offences=1, **options)
    found = await upgrade(guard, token=token)
    assert (found.status, found.code) == (401, "UNAUTHENTICATED")
    assert found.headers["www-authenticate"].startswith("Bearer error=")
    assert guard.metric("fraiseql_auth_failures_total", failure_reason=reason) == 1
    assert len(guard.lines("security.brute_force_detected")) == offence
    assert not guard.app.scopes


PARAMETER = {"socket_token_parameter": "access_token"}


@pytest.mark.parametrize("path", ["/graphql", "/private", "/chat"])
async def test_a_token_may_come_in_a_parameter_where_one_is_configured(guarded_app, path) -> None:
    guard = guarded_app(**PARAMETER, auth_paths="/private")
    for query in (f"access_token={TOKEN}", f"a=1&access_token=bearer%20{TOKEN}&b", f"%61ccess_token={TOKEN}"):
        assert (await upgrade(guard, path, query=query)).accepted
        assert guard.app.scopes[-1]["user"].identity == "ada"
        assert guard.app.scopes[-1]["query_string"] == query.encode()


async def test_without_a_configured_parameter_none_is_read(guarded_app) -> None:
    guard = guarded_app()
    assert (await upgrade(guard, query=f"access_token={WRONG}&token={WRONG}")).accepted


async def test_over_http_the_parameter_is_no_token(guarded_app) -> None:
    guard = guarded_app(**PARAMETER)
    body = b'{"query": "{me}"}'
    reply = await request(guard, body=body, query=f"access_token={TOKEN}")
    assert reply.code == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    ("token", "query", "status"),
    [
        (TOKEN, f"access_token={WRONG}", 400),
        (None, f"access_token={TOKEN}&access_token={WRONG}", 400),
        (TOKEN, f"access_token={TOKEN}", 101),
        (None, f"access_token={TOKEN}&access_token={TOKEN}", 101),
        (None, "access_token=", 101),
        (None, f"access_token={WRONG}", 401),
        (None, "access_token=%ff%00", 401),
    ],
)
async def test_all_tokens_that_are_given_must_be_one(guarded_app, token, query, status) -> None:
    guard = guarded_app(**PARAMETER, brute_force_offences=1)
    found = await upgrade(guard, token=token, query=query)
    assert found.status == status
    if status == 400:
        assert found.code == "AMBIGUOUS_TOKEN"
        assert not guard.lines("security.brute_force_detected")


# --- order, settlement and form of refusals --------------------------------------------------------------------------


async def test_the_first_refusal_wins(guarded_app) -> None:
    guard = guarded_app(rate_limit_sockets="1/hour", max_sockets_per_caller=1)
    faults: dict[str, Any] = {"headers": BORROWED, "offers": ["chat"], "token": WRONG}
    codes = []
    for fault in ("headers", "offers", "token"):
        codes.append((await upgrade(guard, client=(f"198.51.100.{len(codes)}", 1), **faults)).code)
        del faults[fault]
    assert codes == ["CROSS_SITE_REQUEST", "SUBPROTOCOL_NOT_ACCEPTED", "UNAUTHENTICATED"]
    async with sockets_open(guard, 1):
        assert (await upgrade(guard)).closed == (4503, "TOO_MANY_SOCKETS")
    assert (await upgrade(guard)).closed == (4503, "RATE_LIMITED")
    await guard.guard.block_ip("203.0.113.7", 60, "test")
    await guard.heard()
    assert (await upgrade(guard, headers=BORROWED, offers=["chat"], token=WRONG)).code == "BLOCKED"


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"headers": BORROWED}, 403, "CROSS_SITE_REQUEST"),
        ({"offers": []}, 400, "SUBPROTOCOL_NOT_ACCEPTED"),
        ({"token": WRONG}, 401, "UNAUTHENTICATED"),
        ({"path": "/graphql\n"}, 400, "PATH_INVALID"),
    ],
)
@pytest.mark.parametrize("http", [True, False])
async def test_a_refusal_is_answered_over_http_where_the_server_can_and_recorded(
    guarded_app, options, status, code, http
) -> None:
    guard = guarded_app()
    found = await upgrade(guard, **{"path": "/graphql", "http": http, **options})
    assert not guard.app.scopes
    assert found.messages[0]["type"] == ("websocket.http.response.start" if http else "websocket.close")
    assert found.status == (status if http else 403)
    assert not http or found.code == code
    assert guard.metric(REFUSALS, code=code) == 1
    assert guard.metric("fraiseql_http_requests_total", status=str(found.status)) == 1
    lines = [line for line in guard.lines() if line["event"] in ("guard.request_refused", "security.auth_failure")]
    assert [line["context"]["ip_address"] for line in lines] == ["203.0.113.7"]
    assert [each.code for each in guard.guard.reloader.components.fleet.heartbeat.unwritten(9)] == [code]


async def test_what_passes_by_itself_is_a_close_with_4503_that_clients_come_back_after(guarded_app) -> None:
    guard = guarded_app(rate_limit_sockets="1/hour")
    found = [await upgrade(guard) for _ in range(4)]
    assert [each.closed for each in found] == [None, None, (4503, "RATE_LIMITED"), (4503, "RATE_LIMITED")]
    assert all(each.accepted and each.messages[0]["subprotocol"] == T for each in found)
    assert len(guard.app.scopes) == 2
    assert guard.metric(REFUSALS, code="RATE_LIMITED") == 2
    assert guard.metric("fraiseql_http_requests_total", status="429") == 2
    line = guard.lines("security.rate_limit")[0]
    assert line["context"]["limit"] == 1
    assert line["context"]["request_id"] == found[2].headers["x-request-id"]  # what an operator is asked with
    assert guard.metric("fraiseql_guard_sockets_opened_total") == 2


async def test_a_client_that_leaves_at_once_is_told_nothing(guarded_app) -> None:
    guard = guarded_app(max_sockets=1)
    async with sockets_open(guard, 1):
        socket = begin(guard, gone=True)
        await socket.over()
        assert not socket.messages


async def test_after_three_answers_in_a_second_an_address_gets_none_over_http(guarded_app, clock) -> None:
    guard = guarded_app(clock=clock)
    found = [await upgrade(guard, offers=[]) for _ in range(20)]
    kinds = [each.messages[0]["type"] for each in found]
    assert kinds.count("websocket.http.response.start") == 3
    assert {each.status for each in found} == {400, 403}
    assert guard.metric(REFUSALS, code="SUBPROTOCOL_NOT_ACCEPTED") == 20
    assert (await upgrade(guard, offers=[], client=("198.51.100.1", 1))).status == 400


async def test_all_addresses_of_a_64_are_one_for_these_answers(guarded_app, clock) -> None:
    guard = guarded_app(clock=clock)
    found = [await upgrade(guard, offers=[], client=(f"2001:db8::{number:x}", 1)) for number in range(1, 11)]
    assert [each.messages[0]["type"] for each in found].count("websocket.http.response.start") == 3


# --- rates -----------------------------------------------------------------------------------------------------------


async def test_upgrades_have_a_bucket_of_their_own(guarded_app, clock) -> None:
    guard = guarded_app(clock=clock, auth_required=False, rate_limit_default="5/hour", rate_limit_burst=0)
    found = [await upgrade(guard) for _ in range(121)]
    assert [each.closed for each in found] == [None] * 120 + [(4503, "RATE_LIMITED")]
    replies = [await graphql(guard, "{me{id}}") for _ in range(6)]
    assert [reply.status for reply in replies] == [200] * 5 + [429]
    guard.advance(1.01)  # one comes back in a second, whatever is left of the other bucket
    assert (await upgrade(guard)).closed is None
    assert (await graphql(guard, "{me{id}}")).status == 429


@pytest.mark.parametrize("http_refused", [False, True])
async def test_to_be_refused_for_that_rate_is_no_offence(guarded_app, clock, http_refused) -> None:
    """Libraries reconnect, not people. What they were refused is not told with a refusal of another kind either."""
    guard = guarded_app(
        clock=clock, auth_required=False, rate_limit_sockets="1/hour", rate_limit_default="1/hour",
        rate_limit_burst=0, rate_limit_abuse_offences=5,
    )  # fmt: skip
    for _ in range(40):
        await upgrade(guard)
        guard.advance(1.1)
    statuses = [(await request(guard, "GET", "/page")).status for _ in range(1 + http_refused)]
    assert statuses == [200, 429][: 1 + http_refused]
    assert not guard.lines("security.rate_limit_abuse")
    assert guard.metric(REFUSALS, code="BLOCKED") == 0


async def test_a_user_with_a_token_in_the_head_has_a_bucket_apart(guarded_app) -> None:
    guard = guarded_app(rate_limit_sockets="1/hour")
    assert [(await upgrade(guard)).closed is None for _ in range(3)] == [True, True, False]
    assert [(await upgrade(guard, token=TOKEN)).closed is None for _ in range(3)] == [True, True, False]


async def test_callers_behind_a_proxy_that_is_not_trusted_share_a_larger_one(guarded_app) -> None:
    guard = guarded_app(rate_limit_sockets="1/hour")
    behind = {"client": ("10.0.0.1", 1), "headers": {"x-forwarded-for": "198.51.100.1"}}
    assert [(await upgrade(guard, **behind)).closed is None for _ in range(42)] == [True] * 40 + [False] * 2


async def test_the_allow_listed_are_not_counted(guarded_app) -> None:
    guard = guarded_app(rate_limit_sockets="1/hour", allow_list="203.0.113.7")
    assert all([(await upgrade(guard)).closed is None for _ in range(10)])


async def test_a_limit_of_a_caller_that_an_operator_has_set_is_another(guarded_app) -> None:
    guard = guarded_app(auth_required=False, rate_limit_sockets="1/hour")
    await guard.guard.operator.set_limit(Target(ip_address="203.0.113.7"), "1000/minute")
    assert [(await upgrade(guard)).closed is None for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("options", "refused"),
    [({"headers": BORROWED}, 0), ({"offers": []}, 1), ({"token": WRONG}, 1), ({"token": EXPIRED}, 0)],
)
async def test_what_a_refused_upgrade_costs(guarded_app, options, refused) -> None:
    """One, from the sockets' bucket; nothing for what innocent clients are refused for."""
    guard = guarded_app(auth_required=False, rate_limit_sockets="1/hour", rate_limit_default="1/hour",
                        rate_limit_burst=0)  # fmt: skip
    await upgrade(guard, **options)
    assert [(await upgrade(guard)).closed is None for _ in range(3)] == [True, not refused, False]
    assert (await graphql(guard, "{me{id}}")).status == 200


# --- room ------------------------------------------------------------------------------------------------------------


async def test_the_21st_socket_of_a_caller_is_refused_until_one_is_closed(guarded_app) -> None:
    guard = guarded_app()
    async with sockets_open(guard, 20) as open_sockets:
        assert all(each.closed is None for each in open_sockets)
        refused = await upgrade(guard)
        assert (refused.accepted, refused.closed) == (True, (4503, "TOO_MANY_SOCKETS"))
        assert (await upgrade(guard, client=("198.51.100.1", 1))).closed is None
        assert (await upgrade(guard, token=TOKEN)).closed is None
        await open_sockets[0].leave()
        assert (await upgrade(guard)).closed is None
    guard.guard.runtime.publish()
    assert guard.metric("fraiseql_guard_sockets") == 0


async def test_all_sockets_together_are_bounded_and_strangers_first(guarded_app) -> None:
    guard = guarded_app(max_sockets=8)
    number = iter(range(1, 100))

    async def another(**options: Any) -> Any:
        return await opened(guard, client=(f"198.51.100.{next(number)}", 1), **options)

    strangers = [await another() for _ in range(3)]  # a quarter without their first message
    assert [each.closed for each in strangers] == [None, None, (4503, "SOCKETS_FULL")]
    users = [await another(token=make_token(SECRET, sub=f"user-{each}")) for each in range(7)]
    assert [each.closed for each in users] == [None] * 6 + [(4503, "SOCKETS_FULL")]
    for each in (*strangers[:2], *users[:6]):
        await each.leave()
    assert (await another()).closed is None


async def test_what_is_refused_holds_no_place(guarded_app) -> None:
    guard = guarded_app(max_sockets_per_caller=2, rate_limit_sockets="2/hour")
    for _ in range(4):
        await upgrade(guard)
    assert (await upgrade(guard)).closed == (4503, "RATE_LIMITED")  # and not for want of room
    async with sockets_open(guard, 2, client=("198.51.100.1", 1)) as found:
        assert all(each.closed is None for each in found)


async def test_an_app_that_breaks_gives_its_place_back(guarded) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("broken")

    guard = guarded(broken, max_sockets_per_caller=1)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="broken"):
            await upgrade(guard)
    assert guard.metric("fraiseql_http_requests_total", status="500") == 3


# --- sanctions -------------------------------------------------------------------------------------------------------


async def test_what_others_at_an_address_did_keeps_no_user_out_who_may_show_a_token(guarded_app, clock) -> None:
    guard = guarded_app(clock=clock, rate_limit_default="1/hour", rate_limit_burst=0, rate_limit_abuse_offences=1)
    for _ in range(3):
        await request(guard, "GET", "/page")
        guard.advance(1.1)
    assert (await request(guard, "GET", "/page")).status == 403
    assert (await upgrade(guard)).accepted
    assert (await upgrade(guard, token=TOKEN)).accepted


async def test_where_no_key_is_configured_a_blocked_address_opens_no_socket(guarded, clock) -> None:
    options = {"rate_limit_default": "1/hour", "rate_limit_burst": 0, "rate_limit_abuse_offences": 1}
    guard = guarded(EchoSocketApp(), clock=clock, **options)
    for _ in range(3):
        await request(guard, "GET", "/page")
        guard.advance(1.1)
    assert (await upgrade(guard)).code == "BLOCKED"


async def test_a_blocked_user_opens_none_with_a_token_in_the_head(guarded_app) -> None:
    guard = guarded_app()
    await guard.guard.block_user("ada", 60, "test")
    found = await upgrade(guard, token=TOKEN)
    assert (found.status, found.code) == (403, "BLOCKED")


# --- modes and single middlewares ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"headers": BORROWED}, "CROSS_SITE_REQUEST"),
        ({"offers": []}, "SUBPROTOCOL_NOT_ACCEPTED"),
        ({"token": WRONG}, "UNAUTHENTICATED"),
    ],
)
async def test_in_monitor_mode_it_passes_and_is_counted_as_would_be(guarded_app, options, code) -> None:
    guard = guarded_app(mode="monitor")
    assert (await upgrade(guard, **options)).accepted
    assert guard.metric("fraiseql_guard_would_refuse_total", code=code) == 1
    assert guard.metric(REFUSALS) == 0


@pytest.mark.parametrize("middleware", SINGLE)
async def test_any_protection_leads_sockets_on_graphql_paths(guarded, middleware) -> None:
    guard = guarded(EchoSocketApp(), middleware=middleware)
    assert (await upgrade(guard)).accepted
    assert guard.metric("fraiseql_guard_sockets_opened_total", protocol="graphql_transport_ws") == 1


@pytest.mark.parametrize(
    ("middleware", "protection", "options"),
    [
        (RateLimitMiddleware, "rate_limit", {}),
        (QueryLimitMiddleware, "query_limits", {}),
        (AuthMiddleware, "auth", {"jwt_secret": SECRET}),
    ],
)
async def test_what_could_not_be_read_is_refused_in_the_name_of_what_is_mounted(
    guarded, middleware, protection, options
) -> None:
    guard = guarded(EchoSocketApp(), middleware=middleware, **options)
    assert (await upgrade(guard, offers=["chat"])).status == 400
    assert guard.metric(REFUSALS, code="SUBPROTOCOL_NOT_ACCEPTED", protection=protection) == 1
    assert (await upgrade(guard, headers=BORROWED)).status == 403
    assert guard.metric(REFUSALS, code="CROSS_SITE_REQUEST", protection=protection) == 1


async def test_metrics_alone_refuse_nothing_and_read_nothing(guarded) -> None:
    guard = guarded(EchoSocketApp(), middleware=MetricsMiddleware)
    assert (await upgrade(guard, offers=["chat"], headers=BORROWED)).accepted
    assert guard.app.scopes[0]["subprotocols"] == ["chat"]
    assert guard.metric("fraiseql_guard_sockets_opened_total", protocol="other") == 1


# --- no sockets at all -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("http", [True, False])
@pytest.mark.parametrize("offers", [[], [T], [L]])
async def test_where_sockets_are_refused_none_opens_and_each_is_recorded(guarded_app, http, offers) -> None:
    guard = guarded_app(sockets="refuse")
    found = await upgrade(guard, http=http, offers=offers, token=TOKEN)
    assert found.status == 403
    assert not guard.app.scopes
    assert not http or found.code == "WEBSOCKET_REFUSED"
    assert guard.metric(REFUSALS, code="WEBSOCKET_REFUSED") == 1
    assert guard.metric("fraiseql_http_requests_total", status="403", endpoint="/graphql") == 1
    line = guard.lines("guard.request_refused")[0]["context"]
    assert (line["code"], line["endpoint"], line["ip_address"]) == ("WEBSOCKET_REFUSED", "/graphql", "203.0.113.7")
    assert (await upgrade(guard, "/chat")).accepted


@pytest.mark.parametrize("path", ["/graphql", "/chat"])
async def test_an_open_socket_keeps_no_former_settings_alive(guarded_app, path) -> None:
    """A fleet that changes a limit every minute holds one set of checks, not one for each socket of the day."""
    guard = guarded_app()
    async with sockets_open(guard, 2, path):
        former = weakref.ref(guard.guard.runtime.socket_room)
        await guard.guard.operator.switch("setting", "FRAISEQL_GUARD_MAX_SOCKETS", "7", duration_seconds=60)
        await guard.heard()
        gc.collect()
        assert guard.guard.runtime.socket_room.limit == 7
        assert former() is None


async def test_sockets_can_be_refused_and_accepted_again_while_the_process_runs(guarded_app) -> None:
    guard = guarded_app()
    await guard.guard.operator.switch("setting", "FRAISEQL_GUARD_SOCKETS", "refuse", duration_seconds=60)
    await guard.heard()
    assert (await upgrade(guard)).code == "WEBSOCKET_REFUSED"

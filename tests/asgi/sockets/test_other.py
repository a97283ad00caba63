"""WebSockets that carry something else than GraphQL: who may open them, that they pass untouched, and how they end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fraiseql_guard import AuthMiddleware, logins
from fraiseql_guard.asgi.sockets.registry import BLOCKED_CALLER, SHUT_DOWN, TOKEN_OVER, USER_GONE
from fraiseql_guard.testing import make_token
from tests.conftest import SECRET
from tests.support.upgrades import AnsweringSocketApp, EchoSocketApp, opened, sockets_open, upgrade

ADMIN = "alice=0123456789-0123456789-0123456789"
TOKEN = make_token(SECRET, sub="ada")
WRONG = make_token("another-hmac-secret-of-at-least-thirty-two-bytes", sub="ada")
REFUSALS = "fraiseql_guard_refusals_total"
AUTH = {"jwt_secret": SECRET, "auth_paths": "/private"}


def live(guard: Any) -> list[Any]:
    return list(guard.guard.runtime.live)


# --- upgrades --------------------------------------------------------------------------------------------------------


async def test_a_socket_elsewhere_reaches_the_app_and_is_accounted_for_once(guarded) -> None:
    guard = guarded(EchoSocketApp())
    found = await upgrade(guard, "/chat", offers=["chat", "chat2"])
    assert found.accepted
    assert len(found.headers["x-request-id"]) == 32
    assert not [name for name in found.headers if "ratelimit" in name]
    assert guard.metric("fraiseql_http_requests_total", status="101") == 1
    assert [line["context"]["status"] for line in guard.lines("http.request")] == [101]
    assert guard.app.scopes[0]["subprotocols"] == ["chat", "chat2"]
    assert logins(guard.app.scopes[0]) is not None


@pytest.mark.parametrize("path", ["/private", "/private/ws", "//private/ws", "/x/../private/ws"])
async def test_on_auth_paths_a_token_is_needed(guarded, path: str) -> None:
    guard = guarded(EchoSocketApp(), middleware=AuthMiddleware, **AUTH, socket_token_parameter="t")
    refused = await upgrade(guard, path)
    assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert guard.metric("fraiseql_auth_failures_total", failure_reason="missing_token") == 1
    assert (await upgrade(guard, path, token="not.a.token")).status == 401
    assert (await upgrade(guard, path, query=f"t={WRONG}")).status == 401
    assert not guard.app.scopes
    assert (await upgrade(guard, path, token=TOKEN)).accepted
    assert (await upgrade(guard, path, query=f"t={TOKEN}")).accepted
    assert [scope["user"].identity for scope in guard.app.scopes] == ["ada", "ada"]
    assert (await upgrade(guard, "/chat")).accepted


async def test_rates_hold_for_upgrades_and_are_told_over_http(guarded) -> None:
    guard = guarded(EchoSocketApp(), rate_limit_sockets="5/hour", rate_limit_abuse_offences=1)
    found = [await upgrade(guard, "/chat") for _ in range(13)]
    assert [each.status for each in found] == [101] * 10 + [429] * 3
    assert found[-1].code == "RATE_LIMITED"
    assert found[-1].headers["retry-after"] == "720"
    assert guard.metric("fraiseql_rate_limit_exceeded_total", ip_address="203.0.113.7") == 3
    assert len(guard.lines("security.rate_limit")) == 3
    assert not guard.lines("security.rate_limit_abuse")


async def test_room_is_shared_with_sockets_that_speak_graphql(guarded) -> None:
    guard = guarded(EchoSocketApp(), max_sockets_per_caller=2)
    async with sockets_open(guard, 1, "/chat"), sockets_open(guard, 1, "/graphql"):
        assert (await upgrade(guard, "/chat")).code == "TOO_MANY_SOCKETS"
    assert (await upgrade(guard, "/chat")).accepted


async def test_blocks_by_an_operator_and_automatic_ones_hold(guarded) -> None:
    guard = guarded(EchoSocketApp(), **AUTH, brute_force_offences=3)
    assert (await upgrade(guard, "/chat", client=("203.0.113.9", 1))).accepted
    await guard.guard.block_ip("203.0.113.9", 60, "test")
    await guard.heard()
    assert (await upgrade(guard, "/chat", client=("203.0.113.9", 1))).status == 403
    assert [(await upgrade(guard, "/private", token=WRONG)).status for _ in range(5)] == [401] * 3 + [403] * 2
    assert guard.metric(REFUSALS, code="BLOCKED") == 3
    assert len(guard.lines("security.brute_force_detected")) == 1


async def test_bad_tokens_that_a_foreign_page_has_a_browser_send_are_not_its_visitor_s_offences(guarded) -> None:
    guard = guarded(EchoSocketApp(), **AUTH, socket_token_parameter="t", brute_force_offences=1)
    page = {"origin": "http://evil.example", "host": "api.example.org"}
    for _ in range(3):
        assert (await upgrade(guard, "/private", query=f"t={WRONG}", headers=page)).status in (401, 403)
    assert not guard.lines("security.brute_force_detected")
    own = {"origin": "http://api.example.org", "host": "api.example.org"}
    await upgrade(guard, "/private", query=f"t={WRONG}", headers=own)
    assert len(guard.lines("security.brute_force_detected")) == 1


async def test_origins_are_judged_once_some_are_configured(guarded) -> None:
    page = {"origin": "http://evil.example", "host": "api.example.org"}
    assert (await upgrade(guarded(EchoSocketApp()), "/chat", headers=page)).accepted
    guard = guarded(EchoSocketApp(), socket_origins="https://spa.example.org")
    refused = await upgrade(guard, "/chat", headers=page)
    assert (refused.status, refused.code) == (403, "CROSS_SITE_REQUEST")
    assert refused.json["detail"] == "http://evil.example is not among FRAISEQL_GUARD_SOCKET_ORIGINS"
    assert (await upgrade(guard, "/chat", headers={**page, "origin": "https://spa.example.org"})).accepted


@pytest.mark.parametrize("path", ["/chat\n", "/graphql\n", "/\x00chat"])
async def test_a_control_character_in_the_path_is_400(guarded, path: str) -> None:
    guard = guarded(EchoSocketApp())
    assert (await upgrade(guard, path)).status == 400
    assert not guard.app.scopes
    assert guard.metric(REFUSALS, code="PATH_INVALID") == 1


@pytest.mark.parametrize("sockets", ["guard", "refuse"])
async def test_operators_have_no_sockets(guarded, sockets: str) -> None:
    guard = guarded(EchoSocketApp(), admin_tokens=ADMIN, sockets=sockets)
    assert (await upgrade(guard, "/admin/live", token=ADMIN.partition("=")[2])).status == 403
    assert not guard.app.scopes
    assert guard.metric(REFUSALS, code="WEBSOCKET_REFUSED", protection="admin") == 1


async def test_what_the_app_answers_is_passed_on(guarded) -> None:
    denial = {"type": "websocket.http.response.start", "status": 404, "headers": [(b"x-app", b"1")]}
    guard = guarded(AnsweringSocketApp(denial, {"type": "websocket.http.response.body", "body": b"no"}))
    found = await upgrade(guard, "/chat")
    assert (found.status, found.headers["x-app"], found.messages[1]["body"]) == (404, "1", b"no")
    assert "x-request-id" in found.headers
    guard = guarded(AnsweringSocketApp({"type": "websocket.close", "code": 4000, "reason": "later"}))
    found = await upgrade(guard, "/chat")
    assert found.messages == [{"type": "websocket.close", "code": 4000, "reason": "later"}]
    assert guard.metric("fraiseql_http_requests_total", status="403") == 1
    assert guard.metric("fraiseql_guard_sockets_opened_total") == 0
    assert not live(guard)


async def test_an_app_that_breaks_is_the_servers_affair_and_counted(guarded) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("broken")

    guard = guarded(broken)
    with pytest.raises(RuntimeError, match="broken"):
        await upgrade(guard, "/chat")
    assert guard.metric("fraiseql_http_requests_total", status="500") == 1


async def test_a_scope_that_breaks_asgi_reaches_no_app(guarded) -> None:
    guard = guarded(EchoSocketApp())
    found = await upgrade(guard, "/chat", raw_path=17)
    assert [message["type"] for message in found.messages] == ["websocket.close"]
    assert not guard.app.scopes


# --- messages --------------------------------------------------------------------------------------------------------


async def test_messages_pass_untouched_and_only_their_bytes_are_counted(guarded) -> None:
    guard = guarded(EchoSocketApp())
    socket = await opened(guard, "/chat")
    said: list[str | bytes] = ["{nope", "\u00e4" * 3, b"\x00\xff", "", "x" * 300_000, *map(str, range(1_000))]
    for message in said:
        socket.say(message)
    await socket.until(len(said))
    await socket.leave(4321)
    echoed = [each.get("text", each.get("bytes")) for each in socket.messages[1:]]
    assert echoed == said
    assert guard.metric("fraiseql_guard_socket_messages_total") == 0
    (line,) = guard.lines("guard.socket_closed")
    context = line["context"]
    size = sum(len(each.encode() if isinstance(each, str) else each) for each in said)
    assert (context["received_bytes"], context["sent_bytes"]) == (size, size)
    assert (context["protocol"], context["reason"], context["closing_code"]) == ("other", "client", 4321)
    assert guard.metric("fraiseql_guard_sockets_closed_total", reason="client") == 1


@pytest.mark.parametrize("message", [{"text": "a", "bytes": None}, {"text": None, "bytes": b"a"}, {"bytes": b"a"}])
async def test_servers_that_give_both_keys_are_understood(guarded, message) -> None:
    guard = guarded(AnsweringSocketApp({"type": "websocket.accept"}, {"type": "websocket.send", **message},
                                       {"type": "websocket.close", "code": 4001}))  # fmt: skip
    await upgrade(guard, "/chat")
    (line,) = guard.lines("guard.socket_closed")
    assert (line["context"]["sent_bytes"], line["context"]["closing_code"]) == (1, 4001)
    assert line["context"]["reason"] == "app"


# --- the end ---------------------------------------------------------------------------------------------------------


async def test_an_open_socket_is_known_and_shows_itself(guarded) -> None:
    guard = guarded(EchoSocketApp(), **AUTH)
    socket = await opened(guard, "/private", token=TOKEN)
    (connection,) = live(guard)
    assert connection.credentials == (f"Bearer {TOKEN}",)
    facts = connection.facts()
    assert (facts.protocol, facts.user_id, facts.ip_address) == ("other", "ada", "203.0.113.7")
    assert facts.id == socket.headers["x-request-id"]
    guard.guard.runtime.publish()
    assert guard.metric("fraiseql_guard_sockets", protocol="other") == 1
    await socket.leave()
    assert not live(guard)
    guard.guard.runtime.publish()
    assert guard.metric("fraiseql_guard_sockets", protocol="other") == 0


@pytest.mark.parametrize(("ending", "told"), [(BLOCKED_CALLER, (4403, "BLOCKED")), (SHUT_DOWN, (4503, "SHUTDOWN"))])
async def test_a_live_one_is_closed_and_then_the_app_is_told(guarded, ending, told) -> None:
    guard = guarded(EchoSocketApp())
    socket = await opened(guard, "/chat")
    (connection,) = live(guard)
    connection.end(ending)
    connection.end(BLOCKED_CALLER)
    await socket.over()
    assert socket.closed == told
    assert guard.app.received[-1]["type"] == "websocket.disconnect"
    assert guard.app.received[-1]["code"] == told[0]
    assert not guard.app.cancelled
    assert not live(guard)
    (line,) = guard.lines("guard.socket_closed")
    assert (line["context"]["reason"], line["context"]["closing_code"]) == (ending.reason.value, told[0])


async def test_a_client_that_never_answers_the_close_keeps_no_app(guarded) -> None:
    guard = guarded(EchoSocketApp())
    socket = await opened(guard, "/chat")
    socket.answers_close = False
    live(guard)[0].end(BLOCKED_CALLER)
    await socket.over()
    assert guard.app.received[-1] == {"type": "websocket.disconnect", "code": 4403, "reason": "BLOCKED"}
    assert not guard.app.cancelled


async def test_an_app_that_does_not_listen_is_cancelled(guarded) -> None:
    guard = guarded(EchoSocketApp())
    socket = await opened(guard, "/chat")
    socket.say("stay")
    await asyncio.sleep(0.05)
    live(guard)[0].end(BLOCKED_CALLER)
    await socket.over()
    assert guard.app.cancelled == 1
    assert socket.closed == (4403, "BLOCKED")
    assert not live(guard)


async def test_a_client_that_does_not_read_cannot_keep_its_socket(guarded) -> None:
    """A blocked peer's close goes through on no server."""
    guard = guarded(EchoSocketApp())
    socket = await opened(guard, "/chat")
    socket.reads = False
    live(guard)[0].end(BLOCKED_CALLER)
    await socket.over()
    assert not live(guard)
    assert guard.metric("fraiseql_guard_sockets_closed_total", reason="blocked") == 1


@pytest.mark.parametrize("ending", [TOKEN_OVER, USER_GONE])
async def test_a_token_that_is_over_ends_only_what_needs_one(guarded, ending) -> None:
    guard = guarded(EchoSocketApp(), **AUTH)
    chat, private = await opened(guard, "/chat", token=TOKEN), await opened(guard, "/private", token=TOKEN)
    for connection in live(guard):
        connection.end(ending)
    await private.over()
    assert private.closed == (4403, ending.told)
    chat.say("still here")
    assert (await chat.until(1))["text"] == "still here"
    live(guard)[0].end(BLOCKED_CALLER)
    await chat.over()
    assert chat.closed == (4403, "BLOCKED")


async def test_a_socket_whose_server_is_stopped_is_cancelled_like_any_task(guarded) -> None:
    guard = guarded(EchoSocketApp())
    socket = await opened(guard, "/chat")
    assert socket.task is not None
    socket.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await socket.over()
    assert guard.app.cancelled == 1
    assert not live(guard)


async def test_what_the_app_says_to_an_ended_socket_is_dropped(guarded) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        for _ in range(3):
            await send({"type": "websocket.send", "text": "late"})
        await send({"type": "websocket.close", "code": 1000})

    guard = guarded(app)
    socket = await opened(guard, "/chat")
    live(guard)[0].end(BLOCKED_CALLER)
    await socket.over()
    assert [each["type"] for each in socket.messages] == ["websocket.accept", "websocket.close"]


async def test_a_block_ends_what_its_caller_has_open_and_nothing_else(guarded) -> None:
    guard = guarded(EchoSocketApp(), **AUTH)
    blocked = await opened(guard, "/chat", client=("203.0.113.9", 1))
    user = await opened(guard, "/private", token=TOKEN, client=("198.51.100.1", 1))
    other = await opened(guard, "/chat")
    await guard.guard.block_ip("203.0.113.9", 60, "test")
    await blocked.over()
    await guard.guard.block_user("ada", 60, "test")
    await user.over()
    assert blocked.closed == user.closed == (4403, "BLOCKED")
    assert guard.metric("fraiseql_guard_sockets_closed_total", reason="blocked") == 2
    other.say("still here")
    assert (await other.until(1))["text"] == "still here"
    await other.leave()


async def test_the_end_of_a_token_ends_a_socket_on_a_path_that_needs_one(guarded) -> None:
    guard = guarded(EchoSocketApp(), **AUTH)
    token = make_token(SECRET, sub="ada", expires_in_seconds=2)
    private, chat = await opened(guard, "/private", token=token), await opened(guard, "/chat", token=token)
    await private.over()
    assert private.closed == (4403, "TOKEN_EXPIRED")
    chat.say("still here")
    assert (await chat.until(1))["text"] == "still here"
    await chat.leave()

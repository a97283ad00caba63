"""WebSockets: their upgrades are decided, counted and logged like requests."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fraiseql_guard import AuthMiddleware, MetricsMiddleware, RateLimitMiddleware, logins
from fraiseql_guard.testing import make_token
from tests.conftest import SECRET

PUBLIC = ("203.0.113.7", 40000)
ADMIN = "alice=0123456789-0123456789-0123456789"


class ChatApp:
    """Accepts every socket, or answers as it is told to."""

    def __init__(self, *answers: Any) -> None:
        self.scopes: list[Any] = []
        self._answers = answers or ({"type": "websocket.accept"}, {"type": "websocket.close", "code": 1000})

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        for answer in self._answers:
            await send(dict(answer))


class Socket:
    """What a client of an upgrade gets back."""

    def __init__(self, sent: list[Any]) -> None:
        self.messages = sent
        first = sent[0]
        self.accepted = first["type"] == "websocket.accept"
        self.headers = dict(first.get("headers", ()))
        self.status = 101 if self.accepted else first.get("status", 403)
        self.body = sent[1].get("body", b"") if len(sent) > 1 else b""


async def upgrade(
    app: Any, path: str = "/chat", *, token: str | None = None, http: bool = True, client: Any = PUBLIC, **scope: Any
) -> Socket:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
    found = {
        "type": "websocket",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "ws",
        "query_string": b"",
        "headers": [*headers, *scope.pop("headers", ())],
        "client": client,
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}} if http else {},
        **scope,
    }
    await app(found, receive, send)
    return Socket(sent)


async def test_a_socket_elsewhere_reaches_the_app_and_is_accounted_for_once(guarded) -> None:
    guard = guarded(ChatApp())
    found = await upgrade(guard)
    assert found.accepted
    assert len(found.headers[b"x-request-id"]) == 32
    assert found.headers[b"x-ratelimit-remaining"] == b"100"
    assert guard.metric("fraiseql_http_requests_total", status="101") == 1
    assert [line["context"]["status"] for line in guard.lines("http.request")] == [101]
    assert logins(guard.app.scopes[0]) is not None


@pytest.mark.parametrize("http", [True, False])
async def test_a_socket_on_a_graphql_path_is_refused_and_recorded(guarded, http: bool) -> None:
    guard = guarded(ChatApp())
    found = await upgrade(guard, "/graphql", http=http)
    assert not guard.app.scopes
    assert found.messages[0]["type"] == ("websocket.http.response.start" if http else "websocket.close")
    assert found.status == 403
    if http:
        assert b"WEBSOCKET_REFUSED" in found.body
    assert guard.metric("fraiseql_guard_refusals_total", code="WEBSOCKET_REFUSED") == 1
    assert guard.metric("fraiseql_http_requests_total", status="403", endpoint="/graphql") == 1
    line = guard.lines("guard.request_refused")[0]["context"]
    assert (line["code"], line["endpoint"], line["ip_address"]) == ("WEBSOCKET_REFUSED", "/graphql", PUBLIC[0])


async def test_in_monitor_mode_it_passes_and_is_counted_as_would_be(guarded) -> None:
    guard = guarded(ChatApp(), mode="monitor")
    assert (await upgrade(guard, "/graphql")).accepted
    assert guard.metric("fraiseql_guard_would_refuse_total", code="WEBSOCKET_REFUSED") == 1
    assert guard.metric("fraiseql_guard_refusals_total", code="WEBSOCKET_REFUSED") == 0
    assert guard.lines("guard.request_refused")[0]["context"]["enforced"] is False


@pytest.mark.parametrize(
    ("modes", "protection"),
    [
        ({"mode_query_limits": "monitor"}, "rate_limit"),
        ({"mode_query_limits": "monitor", "jwt_secret": SECRET}, "auth"),
        ({"mode_query_limits": "monitor", "mode_auth": "monitor", "jwt_secret": SECRET}, "rate_limit"),
        ({}, "query_limits"),
    ],
)
async def test_any_enforcing_protection_refuses_it_in_its_own_name(guarded, modes: dict, protection: str) -> None:
    guard = guarded(ChatApp(), **modes)
    assert (await upgrade(guard, "/graphql")).status == 403
    assert guard.metric("fraiseql_guard_refusals_total", code="WEBSOCKET_REFUSED", protection=protection) == 1


async def test_metrics_alone_refuse_nothing(guarded) -> None:
    assert (await upgrade(guarded(ChatApp(), middleware=MetricsMiddleware), "/graphql")).accepted


async def test_rates_hold_for_upgrades(guarded) -> None:
    guard = guarded(ChatApp(), middleware=RateLimitMiddleware, rate_limit_default="5/hour", rate_limit_burst=0)
    found = [await upgrade(guard) for _ in range(8)]
    assert [each.status for each in found] == [101] * 5 + [429] * 3
    assert found[-1].headers[b"retry-after"] == b"720"
    assert guard.metric("fraiseql_rate_limit_exceeded_total", ip_address=PUBLIC[0]) == 3
    assert len(guard.lines("security.rate_limit")) == 3


@pytest.mark.parametrize("path", ["/private", "/private/ws", "//private/ws", "/x/../private/ws"])
async def test_on_auth_paths_a_token_is_needed(guarded, path: str) -> None:
    guard = guarded(ChatApp(), middleware=AuthMiddleware, jwt_secret=SECRET, auth_paths="/private")
    refused = await upgrade(guard, path)
    assert (refused.status, refused.headers[b"www-authenticate"]) == (401, b"Bearer")
    assert guard.metric("fraiseql_auth_failures_total", failure_reason="missing_token") == 1
    assert (await upgrade(guard, path, token="not.a.token")).status == 401
    assert not guard.app.scopes
    assert (await upgrade(guard, path, token=make_token(SECRET, sub="alice"))).accepted
    assert guard.app.scopes[0]["user"].identity == "alice"
    assert (await upgrade(guard, "/chat")).accepted


async def test_blocks_by_an_operator_and_automatic_ones_hold(guarded) -> None:
    guard = guarded(ChatApp(), jwt_secret=SECRET, auth_paths="/private", brute_force_offences=3)
    assert (await upgrade(guard, client=("203.0.113.9", 1))).accepted
    await guard.guard.block_ip("203.0.113.9", 60, "test")
    await asyncio.sleep(0.7)  # felt within a second
    assert (await upgrade(guard, client=("203.0.113.9", 1))).status == 403
    wrong = make_token("another-hmac-secret-of-at-least-thirty-two-bytes", sub="alice")
    assert [(await upgrade(guard, "/private", token=wrong)).status for _ in range(5)] == [401] * 3 + [403] * 2
    assert guard.metric("fraiseql_guard_refusals_total", code="BLOCKED") == 3
    assert len(guard.lines("security.brute_force_detected")) == 1


@pytest.mark.parametrize("path", ["/chat\n", "/graphql\n", "/\x00chat"])
async def test_a_control_character_in_the_path_is_400(guarded, path: str) -> None:
    guard = guarded(ChatApp())
    assert (await upgrade(guard, path)).status == 400
    assert not guard.app.scopes
    assert guard.metric("fraiseql_guard_refusals_total", code="PATH_INVALID") == 1


async def test_operators_have_no_sockets(guarded) -> None:
    guard = guarded(ChatApp(), admin_tokens=ADMIN)
    assert (await upgrade(guard, "/admin/live", token=ADMIN.partition("=")[2])).status == 403
    assert not guard.app.scopes
    assert guard.metric("fraiseql_guard_refusals_total", code="WEBSOCKET_REFUSED", protection="admin") == 1


async def test_what_the_app_answers_is_passed_on(guarded) -> None:
    denial = {"type": "websocket.http.response.start", "status": 404, "headers": [(b"x-app", b"1")]}
    guard = guarded(ChatApp(denial, {"type": "websocket.http.response.body", "body": b"no"}))
    found = await upgrade(guard)
    assert (found.status, found.headers[b"x-app"], found.body) == (404, b"1", b"no")
    assert b"x-request-id" in found.headers
    guard = guarded(ChatApp({"type": "websocket.close", "code": 4000, "reason": "later"}))
    assert (await upgrade(guard)).messages == [{"type": "websocket.close", "code": 4000, "reason": "later"}]
    assert guard.metric("fraiseql_http_requests_total", status="403") == 1


async def test_an_app_that_breaks_is_the_servers_affair_and_counted(guarded) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("broken")

    guard = guarded(broken)
    with pytest.raises(RuntimeError, match="broken"):
        await upgrade(guard)
    assert guard.metric("fraiseql_http_requests_total", status="500") == 1


async def test_a_scope_that_breaks_asgi_reaches_no_app(guarded) -> None:
    guard = guarded(ChatApp())
    found = await upgrade(guard, raw_path=17)
    assert [message["type"] for message in found.messages] == ["websocket.close"]
    assert not guard.app.scopes

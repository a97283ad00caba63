"""A body that nothing has announced is a body: of a page it is refused, and anywhere else it is bounded."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from fraiseql_guard import AuthMiddleware, Guard, MetricsMiddleware, QueryLimitMiddleware, RateLimitMiddleware
from fraiseql_guard.testing import make_token
from tests.support.asgi import Connection, EchoApp, Reply, http_scope, request

PAGE = {"accept": "text/html,*/*"}
PREFLIGHT = {"origin": "https://app.example", "access-control-request-method": "POST"}
FORMS = [("GET", PAGE), ("HEAD", PAGE), ("OPTIONS", PREFLIGHT)]
MUTATION = b'{"query":"mutation{deleteEverything}"}'
LATE = [b"", b"", MUTATION]
BODIES = {"whole": [MUTATION], "late": LATE, "a byte": [b" "], "long": [b"", b"x" * 3_000_000]}
METHODS = ("GET", "HEAD", "OPTIONS", "DELETE", "PATCH", "QUERY", "POST")


@pytest.mark.parametrize(
    "chunks", [[MUTATION], LATE, [b" "], [b"", b"x" * 3_000_000]], ids=["whole", "late", "1", "3 MB"]
)
@pytest.mark.parametrize(("method", "headers"), FORMS, ids=["page", "head", "preflight"])
@pytest.mark.parametrize("version", ["1.1", "2", "3"])
async def test_a_page_or_preflight_with_a_body_reaches_no_app(guarded, method, headers, chunks, version) -> None:
    guard = guarded()
    connection = Connection(chunks)
    scope = {**http_scope(method, headers=headers), "http_version": version}
    await guard(scope, connection.receive, connection.send)
    assert connection.reply.status == 400
    assert guard.app.scopes == []
    assert guard.metric("fraiseql_guard_refusals_total", code="BAD_REQUEST") == 1
    assert guard.guard.runtime.budget.used == 0


@pytest.mark.parametrize(("method", "headers"), FORMS, ids=["page", "head", "preflight"])
async def test_without_one_they_pass(guarded, secret, method, headers) -> None:
    guard = guarded(jwt_secret=secret)
    assert (await request(guard, method, headers=headers, chunks=[b"", b""], content_type=None)).status == 200
    assert guard.app.bodies == [b""]


@pytest.mark.parametrize("middleware", [Guard, AuthMiddleware, QueryLimitMiddleware, RateLimitMiddleware])
async def test_each_protection_refuses_for_itself(guarded, secret, middleware) -> None:
    options = {"jwt_secret": secret} if middleware in (Guard, AuthMiddleware) else {}
    guard = guarded(middleware=middleware, **options)
    reply = await request(guard, "GET", headers=PAGE, chunks=[MUTATION], content_type=None)
    assert (reply.status, reply.code, guard.app.scopes) == (400, "BAD_REQUEST", [])


async def test_a_body_that_a_page_only_promises_is_not_waited_for_longer_than_any(guarded) -> None:
    class Promising(Connection):
        async def receive(self) -> Any:
            if len(self.messages) > 1:
                return self.messages.pop(0)
            return await asyncio.Event().wait()

    guard = guarded(body_timeout_seconds=0.05)
    reply = await request(guard, "GET", headers=PAGE, connection=Promising([b"", b""]))
    assert (reply.status, reply.code, guard.app.scopes) == (408, "BODY_TIMEOUT", [])


async def test_in_monitor_mode_it_is_only_noted(guarded) -> None:
    guard = guarded(mode="monitor")
    reply = await request(guard, "GET", headers=PAGE, chunks=LATE, content_type=None)
    assert (reply.status, guard.app.bodies) == (200, [MUTATION])
    assert guard.metric("fraiseql_guard_would_refuse_total", code="BAD_REQUEST") == 1


async def test_metrics_alone_mind_no_bodies(guarded) -> None:
    guard = guarded(middleware=MetricsMiddleware)
    assert (await request(guard, "GET", headers=PAGE, chunks=[MUTATION], content_type=None)).status == 200
    assert guard.app.bodies == [MUTATION]


# --- elsewhere --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [False, True], ids=["first", "known"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("options", [{}, {"request_timeout": 30}], ids=["untimed", "timed"])
async def test_elsewhere_a_body_of_any_method_is_bounded(guarded, method, options, known) -> None:
    guard = guarded(max_request_bytes=10, rate_limit_default="1000/minute", **options)
    for _ in range(5 if known else 0):
        assert (await request(guard, method, "/page")).status == 200
    guard.app.bodies.clear()
    reply = await request(guard, method, "/page", chunks=[b"x" * 8, b"x" * 8], content_type=None)
    assert (reply.status, reply.complete, guard.app.bodies) == (413, True, [])
    assert guard.metric("fraiseql_guard_refusals_total", code="BODY_TOO_LARGE") == 1
    reply = await request(guard, method, "/page", chunks=[b"x" * 5, b"x" * 5], content_type=None)
    assert (reply.status, guard.app.bodies) == (200, [b"x" * 10])


@pytest.mark.parametrize("method", METHODS)
async def test_elsewhere_a_body_of_any_method_may_not_fall_silent(guarded, method) -> None:
    class Silent(Connection):
        async def receive(self) -> Any:
            if len(self.messages) > 1:
                return await super().receive()
            return await asyncio.Event().wait()

    guard = guarded(body_idle_seconds=0.05)
    reply = await request(guard, method, "/page", connection=Silent([b"x", b"x"]))
    assert (reply.status, guard.app.bodies) == (408, [])
    assert guard.metric("fraiseql_guard_refusals_total", code="BODY_TIMEOUT") == 1
    assert asyncio.current_task().cancelling() == 0


@pytest.mark.parametrize("mode", ["monitor", None])
async def test_elsewhere_a_body_streams_through_where_nothing_bounds_it(guarded, mode) -> None:
    guard = guarded(mode=mode, max_request_bytes=10) if mode else guarded(middleware=RateLimitMiddleware)
    reply = await request(guard, "GET", "/page", chunks=[b"x" * 8, b"x" * 8], content_type=None)
    assert (reply.status, guard.app.bodies) == (200, [b"x" * 16])


async def read(receive: Any) -> list[str]:
    kinds = []
    while True:
        message = await receive()
        kinds.append(message["type"])
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return kinds


async def test_an_answer_that_has_begun_is_cut(guarded) -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        seen.extend(await read(receive))
        seen.extend(await read(receive))
        await send({"type": "http.response.body", "body": b"second"})
        raise RuntimeError("as apps do whose client has left")

    guard = guarded(app, max_request_bytes=10)
    reply = await request(guard, "GET", "/page", chunks=[b"x" * 8, b"x" * 8], content_type=None)
    assert (reply.status, reply.body, reply.complete) == (200, b"first", False)
    assert seen == ["http.request", "http.disconnect", "http.disconnect"]
    assert guard.metric("fraiseql_guard_refusals_total", code="BODY_TOO_LARGE") == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_answer_that_is_complete_stays(guarded, method) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"all of it"})
        assert await read(receive) == ["http.request", "http.disconnect"]
        assert await read(receive) == ["http.disconnect"]
        raise RuntimeError("the app's own")

    guard, connection = guarded(app, max_request_bytes=10), Connection([b"x" * 8, b"x" * 8])
    with pytest.raises(RuntimeError, match="the app's own"):
        await request(guard, method, "/page", connection=connection)
    assert (connection.reply.status, connection.reply.complete) == (200, True)
    assert guard.metric("fraiseql_guard_refusals_total") == 0


async def test_what_an_app_raises_after_its_refusal_stays_inside(guarded) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if await read(receive) != ["http.request"]:
            raise RuntimeError("the client is gone")

    guard = guarded(app, max_request_bytes=10)
    reply = await request(guard, "GET", "/page", chunks=[b"x" * 11], content_type=None)
    assert (reply.status, reply.complete) == (413, True)


async def test_the_bytes_of_an_unannounced_body_are_told(guarded) -> None:
    guard = guarded()
    await request(guard, "GET", "/page", chunks=[b"x" * 8, b"x" * 8], content_type=None)
    assert guard.metric("fraiseql_http_request_size_bytes_sum") == 16


# --- messages that are none -------------------------------------------------------------------------------------------

MALFORMED: dict[str, Any] = {
    "an unknown type": {"type": "http.early_hint", "body": MUTATION},
    "no type": {"body": MUTATION, "more_body": False},
    "no mapping": ["http.request", MUTATION],
    "nothing": None,
    "a body of text": {"type": "http.request", "body": MUTATION.decode(), "more_body": False},
    "a body of None": {"type": "http.request", "body": None},
    "a body of numbers": {"type": "http.request", "body": 5},
}
QUERY = json.dumps({"query": "{me{id}}"}).encode()
PLACES = [("POST", "/graphql", {}), ("GET", "/graphql", PAGE), ("GET", "/page", {}), ("POST", "/page", {})]


class Says(Connection):
    """A server that sends these messages and then, if the app waits on, that the client has left."""

    def __init__(self, messages: list[Any]) -> None:
        super().__init__([])
        self.messages = [*messages, {"type": "http.disconnect"}]


async def told(
    guard: Any, messages: list[Any], method: str = "POST", path: str = "/graphql", headers: Any = ()
) -> Reply:
    kind = [("content-type", "application/json")] if method == "POST" else []
    lines = [*kind, *dict(headers).items()]
    connection = Says(messages)
    await guard(http_scope(method, path, headers=lines), connection.receive, connection.send)
    return connection.reply


@pytest.mark.parametrize("before", [[], [{"type": "http.request", "body": b"", "more_body": True}]], ids=["0", "1"])
@pytest.mark.parametrize("message", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize(("method", "path", "headers"), PLACES, ids=["operation", "page", "GET", "POST"])
async def test_a_message_that_is_no_part_of_a_body_refuses(guarded, method, path, headers, message, before) -> None:
    guard = guarded()
    reply = await told(guard, [*before, message], method, path, headers)
    assert (reply.status, reply.code, reply.complete) == (503, "GUARD_FAULT", True)
    assert guard.app.bodies == []


@pytest.mark.parametrize("middleware", [QueryLimitMiddleware, RateLimitMiddleware, AuthMiddleware])
@pytest.mark.parametrize(
    "broken", [MALFORMED["an unknown type"], ConnectionResetError("the server's")], ids=["type", "error"]
)
async def test_each_protection_that_reads_bodies_refuses_for_itself(guarded, secret, middleware, broken) -> None:
    needs = {"jwt_secret": secret, "public_operations": "login"} if middleware is AuthMiddleware else {}
    guard = guarded(middleware=middleware, **needs)

    async def receive() -> Any:
        if isinstance(broken, Exception):
            raise broken
        return broken

    connection = Connection([])
    connection.receive = receive
    reply = await request(guard, headers={"content-type": "application/json"}, connection=connection)
    assert (reply.status, reply.code, guard.app.scopes) == (503, "GUARD_FAULT", [])


async def test_in_monitor_mode_the_app_gets_what_came(guarded) -> None:
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        got.extend([await receive(), await receive()])
        await EchoApp()(scope, receive, send)

    guard = guarded(app, mode="monitor")
    strange, rest = MALFORMED["an unknown type"], {"type": "http.request", "body": QUERY}
    connection = Says([strange, rest])
    connection.messages.insert(2, {"type": "http.request", "body": b""})
    await guard(http_scope(headers={"content-type": "application/json"}), connection.receive, connection.send)
    assert (connection.reply.status, got) == (200, [strange, rest])
    assert guard.metric("fraiseql_guard_would_refuse_total", code="GUARD_FAULT") == 1


@pytest.mark.parametrize("message", [
    {"type": "http.request", "body": QUERY}, {"type": "http.request", "body": bytearray(QUERY)},
    {"type": "http.request", "body": memoryview(QUERY), "more_body": False},
])  # fmt: skip
async def test_fields_that_are_optional_may_be_missing_and_buffers_are_bytes(guarded, message) -> None:
    guard = guarded()
    assert (await told(guard, [{"type": "http.request", "more_body": True}, message])).status == 200
    assert guard.app.bodies == [QUERY]


async def test_a_buffer_that_changes_later_was_measured_as_it_arrives(guarded) -> None:
    buffer = bytearray(QUERY)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        buffer[:] = MUTATION
        await echo(scope, receive, send)

    echo = EchoApp()
    guard = guarded(app)
    await told(guard, [{"type": "http.request", "body": buffer}])
    assert echo.bodies == [QUERY]


# --- what could not be measured ---------------------------------------------------------------------------------------

BATCH = [{"query": "mutation{login}"}, {"query": "mutation{deleteEverything"}]


@pytest.mark.parametrize("batch", [BATCH, BATCH[::-1], [BATCH[1]]], ids=["last", "first", "alone"])
@pytest.mark.parametrize("middleware", [AuthMiddleware, Guard])
async def test_a_batch_with_an_unreadable_element_is_no_public_operation(guarded, secret, middleware, batch) -> None:
    monitored = {"mode_query_limits": "monitor"} if middleware is Guard else {}
    guard = guarded(middleware=middleware, jwt_secret=secret, public_operations="login", batching=True, **monitored)
    body = json.dumps(batch).encode()
    reply = await request(guard, body=body)
    assert (reply.status, reply.code, guard.app.scopes) == (401, "UNAUTHENTICATED", [])
    assert (await request(guard, body=body, token=make_token(secret, sub="alice"))).status == 200
    assert (await request(guard, body=json.dumps(batch and BATCH[:1]).encode())).status == 200


UNREADABLE = b'{"query":"mutation{a"}'
PADDED = json.dumps({"query": "{me{id}}", "pad": "x" * 200}).encode()


@pytest.mark.parametrize("body", [UNREADABLE, json.dumps(BATCH).encode(), PADDED], ids=["alone", "batch", "too long"])
async def test_what_has_no_price_costs_the_dearest_that_is_allowed(guarded, body) -> None:
    options = {"batching": True, "max_body_bytes": 150, "cost_budgets": "default=1500"}
    guard = guarded(middleware=RateLimitMiddleware, **options)
    assert (await request(guard, body=body)).status == 200
    reply = await request(guard, body=body)
    assert (reply.status, reply.code) == (429, "COST_BUDGET_EXCEEDED")
    assert (await request(guard, body=QUERY)).status == 200


@pytest.mark.parametrize("body", [UNREADABLE, json.dumps(BATCH).encode()], ids=["alone", "batch"])
async def test_what_cannot_be_measured_pays_like_a_mutation(guarded, body) -> None:
    limits = {"rate_limit_graphql_mutation": "2/hour", "rate_limit_burst": 0}
    guard = guarded(middleware=RateLimitMiddleware, batching=True, **limits)
    statuses = [(await request(guard, body=body)).status for _ in range(3)]
    assert statuses == ([200, 200, 429] if body is UNREADABLE else [200, 429, 429])
    assert (await request(guard, "GET", "/graphql", headers=PAGE)).status == 200


async def test_a_body_that_is_too_long_to_read_still_takes_a_slot(guarded) -> None:
    app = EchoApp(seconds=0.2)
    guard = guarded(app, RateLimitMiddleware, max_body_bytes=150, max_in_flight=1)
    replies = await asyncio.gather(*(request(guard, body=PADDED) for _ in range(2)))
    assert sorted(reply.status for reply in replies) == [200, 429]

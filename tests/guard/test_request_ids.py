"""One id for a request: in its answer, in the guard's lines, in the app, and for middlewares that have their own."""

from __future__ import annotations

import re
from typing import Any

import pytest
from asgi_correlation_id import CorrelationIdMiddleware, correlation_id
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Mount, Route

from fraiseql_guard import Guard, guard_request_id
from tests.support.asgi import Connection, EchoApp, Reply, graphql, http_scope, request

OURS = re.compile(r"[0-9a-f]{32}")
THEIRS = "aaaaaaaabbbb4cccbdddeeeeeeeeeeee"
PROXY = ("10.0.0.1", 1)


# --- a trusted proxy's id ---------------------------------------------------------------------------------------------


async def test_the_id_of_a_trusted_proxy_is_logged_beside_ours(guarded) -> None:
    guard = guarded(trusted_proxies="10.0.0.1")
    forwarded = {"x-forwarded-for": "203.0.113.9", "x-request-id": THEIRS}
    for _ in range(2):  # a known head too
        reply = await request(guard, "GET", "/page", client=PROXY, headers=forwarded)
        assert OURS.fullmatch(reply.header("x-request-id"))
        assert reply.header("x-request-id") != THEIRS
    lines = guard.lines("http.request")
    assert [line["context"]["client_request_id"] for line in lines] == [THEIRS, THEIRS]
    assert lines[-1]["context"]["request_id"] == reply.header("x-request-id")


async def test_refusals_of_a_trusted_proxy_s_requests_carry_it_too(guarded) -> None:
    guard = guarded(trusted_proxies="10.0.0.1", max_query_depth=1)
    await graphql(guard, "{a{b{c}}}", client=PROXY, headers={"x-forwarded-for": "203.0.113.9", "x-request-id": THEIRS})
    (line,) = guard.lines("graphql.expensive_query")
    assert line["context"]["client_request_id"] == THEIRS


async def test_an_id_of_anybody_else_is_not_logged(guarded) -> None:
    guard = guarded(trusted_proxies="10.0.0.1")
    await request(guard, "GET", "/page", headers={"x-request-id": THEIRS})
    await request(guard, "GET", "/page", client=PROXY)
    assert all("client_request_id" not in line["context"] for line in guard.lines("http.request"))


async def test_an_id_of_a_proxy_is_bounded_and_printable(guarded) -> None:
    guard = guarded(trusted_proxies="10.0.0.1")
    await request(guard, "GET", "/page", client=PROXY, headers={"x-request-id": "\x1b[31m" + "x" * 5000})
    (line,) = guard.lines("http.request")
    shown = line["context"]["client_request_id"]
    assert len(shown) <= 256
    assert shown.isprintable()


# --- what the app is told ---------------------------------------------------------------------------------------------


async def test_the_app_gets_the_guard_s_id(guarded) -> None:
    app = EchoApp()
    guard = guarded(app)
    reply = await graphql(guard, "{ok}", headers={"x-request-id": THEIRS})
    assert guard_request_id(app.scopes[0]) == reply.header("x-request-id")
    assert guard_request_id({"type": "http"}) is None


# --- asgi-correlation-id ----------------------------------------------------------------------------------------------


class Logs:
    """An app that notes the correlation id that its own log lines would carry."""

    def __init__(self) -> None:
        self.seen: list[str | None] = []
        self.ids: list[str | None] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(correlation_id.get())
        self.ids.append(guard_request_id(scope))
        await EchoApp()(scope, receive, send)


def _outside(logs: Logs, **options: Any) -> Any:
    return CorrelationIdMiddleware(Guard(logs, max_query_depth=1), **options)


def _inside(logs: Logs, **options: Any) -> Any:
    return Guard(CorrelationIdMiddleware(logs, **options), max_query_depth=1)


def _declared_outside(logs: Logs, **options: Any) -> Any:
    app = Starlette(routes=[Mount("/", logs)])
    app.add_middleware(Guard, max_query_depth=1)
    app.add_middleware(CorrelationIdMiddleware, **options)
    return app


def _declared_inside(logs: Logs, **options: Any) -> Any:
    app = Starlette(routes=[Mount("/", logs)], middleware=[Middleware(CorrelationIdMiddleware, **options)])
    return Guard(app, max_query_depth=1)


@pytest.mark.parametrize("header", ["X-Request-ID", "X-Correlation-ID"])
@pytest.mark.parametrize("given", [None, THEIRS, "not an id at all"])
@pytest.mark.parametrize("mounted", [_outside, _inside, _declared_outside, _declared_inside])
async def test_there_is_one_id_with_asgi_correlation_id_on_either_side(mounted, given, header) -> None:
    logs = Logs()
    app = mounted(logs, header_name=header)
    sent = {} if given is None else {header.lower(): given}
    for _ in range(2):
        reply = await request(app, "GET", "/page", headers=sent)
        shown = reply.header("x-request-id")
        assert shown is not None
        assert shown != given
        assert OURS.fullmatch(shown)
        assert reply.header(header.lower()) == shown
        assert logs.seen[-1] == logs.ids[-1] == shown


@pytest.mark.parametrize("mounted", [_outside, _declared_outside])
async def test_refusals_have_that_one_id_as_well(mounted) -> None:
    app = mounted(Logs())
    for _ in range(3):
        reply = await graphql(app, "{a{b{c}}}", headers={"x-request-id": THEIRS})
        assert reply.code == "QUERY_TOO_DEEP"
        assert reply.header("x-request-id") == reply.extensions["requestId"]


# --- unhandled errors under add_middleware ---------------------------------------------------------------------------


async def _breaks(request: Request) -> None:
    raise ZeroDivisionError("an app's bug")


async def _async_handler(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"own": True}, status_code=500)


def _sync_handler(request: Request, error: Exception) -> PlainTextResponse:
    return PlainTextResponse("own", status_code=500)


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
@pytest.mark.parametrize("handler", [None, _async_handler, _sync_handler])
@pytest.mark.parametrize("debug", [False, True])
async def test_an_unhandled_error_is_answered_with_the_request_s_id(framework, handler, debug, tmp_path) -> None:
    app = framework(debug=debug, routes=[Route("/broken", _breaks)])
    if handler is not None:
        app.add_exception_handler(Exception, handler)
    path = tmp_path / "guard.log"
    app.add_middleware(Guard, log_file=path)
    ids = set()
    for _ in range(2):
        reply = await answered(app)
        assert reply.status == 500
        assert OURS.fullmatch(reply.header("x-request-id"))
        assert (b"own" in reply.body) == (handler is not None and not debug)
        ids.add(reply.header("x-request-id"))
    assert len(ids) == 2


async def answered(app: Any) -> Reply:
    """What the client gets; the server gets the exception as well, for its log."""
    connection = Connection([b""])
    with pytest.raises(ZeroDivisionError):
        await app(http_scope("GET", "/broken"), connection.receive, connection.send)
    return connection.reply


async def test_an_error_in_a_mounted_app_has_the_id_of_its_request() -> None:
    inner = Starlette(routes=[Route("/broken", _breaks)])
    app = Starlette(routes=[Mount("/sub", inner)])
    app.add_middleware(Guard)
    connection = Connection([b""])
    with pytest.raises(ZeroDivisionError):
        await app(http_scope("GET", "/sub/broken"), connection.receive, connection.send)
    assert OURS.fullmatch(connection.reply.header("x-request-id"))

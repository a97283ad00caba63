"""A guard inside a guarded app: each decides what it is configured for, and never is less refused than either would."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import cycle, product
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware as Declared
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from fraiseql_guard import (
    AuthMiddleware,
    Guard,
    MetricsMiddleware,
    QueryLimitMiddleware,
    QueryTimeoutMiddleware,
    RateLimitMiddleware,
)
from fraiseql_guard.testing import make_token
from tests.conftest import SECRET
from tests.support.asgi import LOOPBACK, Connection, EchoApp, graphql, http_scope, request
from tests.support.nesting import Between, hidden

DEEP = "{a" + "{a" * 30 + "}" * 31
NO_LIMIT = {"rate_limit_default": "1000/minute"}
OTHER_SECRET = "another-hmac-secret-of-thirty-two-bytes-or-more"


def mounted(inner: Any, host: type = Starlette, **outer: Any) -> Any:
    """``inner`` below /api of a main app that has a guard of its own by add_middleware."""
    main = host()
    main.mount("/api", inner)
    main.add_middleware(Guard, **{**NO_LIMIT, **outer})
    return main


async def echo(request: Request) -> JSONResponse:
    return JSONResponse({"user": request.user.display_name if "user" in request.scope else None})


# --- sub-mounts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", [Starlette, FastAPI])
@pytest.mark.parametrize("outer", [{}, {"mode": "monitor"}, {"graphql_paths": "/elsewhere"}, {"auth_required": False}])
async def test_a_mounted_app_keeps_its_protection(host, outer, secret) -> None:
    app = mounted(Guard(EchoApp(), jwt_secret=secret, **NO_LIMIT), host, **outer)
    token = make_token(secret, sub="ada")
    assert (await graphql(app, "{me}", path="/api/graphql", token=token)).status == 200
    assert (await graphql(app, "{me}", path="/api/graphql")).code == "UNAUTHENTICATED"
    assert (await graphql(app, DEEP, path="/api/graphql", token=token)).code == "QUERY_TOO_DEEP"


@pytest.mark.parametrize("host", [Starlette, FastAPI])
async def test_the_outer_one_keeps_its_own(host, secret) -> None:
    inner = Guard(EchoApp(), max_query_depth=100, max_query_complexity=10**6, **NO_LIMIT)
    app = mounted(inner, host, jwt_secret=secret, graphql_paths="/graphql,/api/graphql")
    token = make_token(secret, sub="ada")
    assert (await graphql(app, "{me}", path="/api/graphql")).code == "UNAUTHENTICATED"
    assert (await graphql(app, DEEP, path="/api/graphql", token=token)).code == "QUERY_TOO_DEEP"
    assert (await graphql(app, "{me}", path="/api/graphql", token=token)).status == 200


async def test_below_a_guard_that_monitors_the_inner_one_enforces_and_the_other_way_round(secret) -> None:
    def both(outer: str, inner: str) -> Any:
        guard = Guard(EchoApp(), jwt_secret=secret, mode=inner, **NO_LIMIT)
        return mounted(guard, jwt_secret=secret, mode=outer, graphql_paths="/api/graphql")

    statuses = {
        modes: (await graphql(both(*modes), "{me}", path="/api/graphql")).status
        for modes in product(("enforce", "monitor"), repeat=2)
    }
    monitored = ("monitor", "monitor")
    assert statuses == {modes: 200 if modes == monitored else 401 for modes in statuses}


@pytest.mark.parametrize("host", [Starlette, FastAPI])
async def test_a_route_s_own_limit_holds_below_an_outer_guard(host) -> None:
    app = host(
        routes=[
            Route("/open", echo),
            Route("/tight", echo, middleware=[Declared(RateLimitMiddleware, rate_limit_default="5/hour", **BURST)]),
        ]
    )
    app.add_middleware(Guard, rate_limit_default="100/minute", **BURST)
    assert [(await request(app, "GET", "/tight")).status for _ in range(50)] == [200] * 5 + [429] * 45
    assert [(await request(app, "GET", "/open")).status for _ in range(60)] == [200] * 50 + [429] * 10


BURST = {"rate_limit_burst": 0}


async def test_groups_of_routes_and_mounts_inside_mounts_have_limits_of_their_own() -> None:
    def limited(limit: str, *routes: Any) -> Mount:
        own = Declared(RateLimitMiddleware, rate_limit_default=limit, **BURST)
        return Mount("/in", routes=routes, middleware=[own])

    page = Route("/x", echo)
    app = Starlette(routes=[limited("6/hour", limited("4/hour", limited("2/hour", page), page))])
    app.add_middleware(Guard, rate_limit_default="8/hour", **BURST)
    deepest = [(await request(app, "GET", "/in/in/in/x")).status for _ in range(3)]
    middle = [(await request(app, "GET", "/in/in/x")).status for _ in range(3)]
    assert (deepest, middle) == ([200, 200, 429], [200, 429, 429])  # the refused one counts where it was let pass


# --- middleware around middleware ------------------------------------------------------------------------------------

PAIRS: list[Callable[[Any], Any]] = [
    lambda app: Guard(Between(RateLimitMiddleware(app))),
    lambda app: RateLimitMiddleware(Between(Guard(app))),
    lambda app: Guard(hidden(Guard(app))),
    lambda app: RateLimitMiddleware(hidden(Guard(app))),
    lambda app: QueryLimitMiddleware(hidden(AuthMiddleware(Between(RateLimitMiddleware(app))))),
    lambda app: RateLimitMiddleware(AuthMiddleware(hidden(QueryTimeoutMiddleware(QueryLimitMiddleware(app))))),
    lambda app: MetricsMiddleware(
        GZipMiddleware(AuthMiddleware(Between(QueryLimitMiddleware(RateLimitMiddleware(app)))))
    ),
]


@pytest.fixture
def variables(monkeypatch, secret) -> None:
    monkeypatch.setenv("FRAISEQL_JWT_SECRET", secret)
    monkeypatch.setenv("FRAISEQL_RATE_LIMIT_DEFAULT", "5/minute")
    monkeypatch.setenv("FRAISEQL_RATE_LIMIT_BURST", "0")


@pytest.mark.parametrize("build", PAIRS)
async def test_whatever_lies_between_them_all_that_is_mounted_decides(variables, secret, build) -> None:
    app, token = build(EchoApp()), make_token(secret, sub="ada")
    assert (await graphql(app, "{me{id}}", token=token)).status == 200
    assert (await graphql(app, "{me{id}}")).code == "UNAUTHENTICATED"
    assert (await graphql(app, DEEP, token=token)).code == "QUERY_TOO_DEEP"
    pages = [(await request(app, "GET", "/page", client=("198.51.100.9", 1))).status for _ in range(6)]
    assert pages == [200] * 5 + [429]


async def test_by_add_middleware_with_another_in_between(variables, secret) -> None:
    pairs = [(Guard, RateLimitMiddleware), (RateLimitMiddleware, Guard), (QueryLimitMiddleware, AuthMiddleware)]
    for inner, outer in pairs:
        app = Starlette(routes=[Route("/graphql", echo, methods=["POST"])])
        app.add_middleware(inner)
        app.add_middleware(CORSMiddleware, allow_origins=["*"])
        app.add_middleware(outer)
        token = make_token(secret, sub="ada")
        deep = await graphql(app, DEEP, token=token)
        assert deep.code == "QUERY_TOO_DEEP"
        assert (await graphql(app, "{me}", token=token)).json == {"user": "ada"}
        assert (await graphql(app, "{me}")).code == "UNAUTHENTICATED"


SETTINGS: list[dict[str, Any]] = [
    {},
    {"jwt_secret": SECRET},
    {"jwt_secret": OTHER_SECRET, "auth_required": False, "max_query_depth": 2},
    {"rate_limit_default": "1/minute", "rate_limit_burst": 0},
    {"graphql_paths": "/elsewhere", "auth_paths": "/page", "jwt_secret": SECRET},
    {"mode": "monitor", "jwt_secret": SECRET},
]


async def refusals(app: Any) -> list[bool]:
    return [(await ask(app)).status >= 400 for ask in REQUESTS]


async def test_never_is_less_refused_than_either_alone_would_refuse() -> None:
    """Every pair of settings, every request: what one alone refuses, and no more than that."""
    alone = [await refusals(Guard(EchoApp(), **options)) for options in SETTINGS]
    for (outer, inner), wrapped in zip(product(range(len(SETTINGS)), repeat=2), cycle((Between, hidden)), strict=False):
        both = Guard(wrapped(Guard(EchoApp(), **SETTINGS[inner])), **SETTINGS[outer])
        expected = [one or other for one, other in zip(alone[outer], alone[inner], strict=True)]
        assert await refusals(both) == expected, (SETTINGS[outer], SETTINGS[inner])


REQUESTS: list[Callable[[Any], Any]] = [
    lambda app: graphql(app, "{me}"),
    lambda app: graphql(app, "{me{a{b{c}}}}", token=make_token(SECRET, sub="ada"), client=("198.51.100.6", 1)),
    lambda app: graphql(app, "{me}", token="no.token.atall", client=("198.51.100.7", 1)),
    lambda app: request(app, "GET", "/page", client=("198.51.100.8", 1)),
    lambda app: request(app, "GET", "/page", client=("198.51.100.8", 1)),
    lambda app: request(app, "PUT", "/graphql", body=b"{}", client=("198.51.100.9", 1)),
]


# --- what an app does with what it is given --------------------------------------------------------------------------


async def test_what_an_app_asks_itself_is_decided(secret) -> None:
    """An endpoint that hands requests on to the guarded app itself, with the scope that it was given."""
    inner = EchoApp()

    async def batch(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != "/batch":
            await inner(scope, receive, send)
            return
        connection = Connection([b'{"query":"{me}"}'])
        await guard({**scope, "path": "/graphql", "raw_path": b"/graphql"}, connection.receive, connection.send)
        body = json.dumps([connection.reply.status]).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    guard = Guard(batch, jwt_secret=secret)
    assert (await request(guard, "POST", "/batch", body=b"")).json == [401]
    assert (await request(guard, "POST", "/batch", body=b"", token=make_token(secret, sub="ada"))).json == [200]


async def test_a_scope_that_comes_again_is_decided_again(secret) -> None:
    """A middleware around the guard that tries twice."""
    guard = Guard(EchoApp(status=500), jwt_secret=secret)
    scope = http_scope(headers={"content-type": "application/json"})
    for _ in range(2):
        connection = Connection([b'{"query":"{me}"}'])
        await guard(scope, connection.receive, connection.send)
        assert connection.reply.status == 401
        assert connection.reply.header("x-request-id")


# --- sockets ---------------------------------------------------------------------------------------------------------


async def test_a_socket_that_the_inner_one_refuses_is_refused() -> None:
    app, sent = EchoApp(), []

    async def send(message: Any) -> None:
        sent.append(message["type"])

    guard = Guard(hidden(Guard(app, graphql_paths="/graphql,/live")))
    socket = {**http_scope(path="/live"), "type": "websocket", "extensions": {}}
    await guard(socket, None, send)
    assert (sent, app.scopes) == (["websocket.close"], [])
    other = {**http_scope(path="/chat"), "type": "websocket", "extensions": {}}
    await guard(other, None, send)
    assert [scope["path"] for scope in app.scopes] == ["/chat"]


# --- operators -------------------------------------------------------------------------------------------------------

ADMIN = "console=" + "a" * 32
INNER_ADMIN = "console=" + "b" * 32


async def test_each_serves_its_own_operators(secret) -> None:
    app = mounted(Guard(EchoApp(), admin_tokens=INNER_ADMIN, **NO_LIMIT), admin_tokens=ADMIN)

    async def status(path: str, token: str) -> int:
        return (await request(app, "GET", path, token=token, client=LOOPBACK)).status

    assert await status("/admin/status", "a" * 32) == 200
    assert await status("/admin/status", "b" * 32) == 401
    assert await status("/api/admin/status", "b" * 32) == 200
    assert await status("/api/admin/status", "a" * 32) == 401


async def test_at_one_path_the_outermost_that_has_operators_serves_them() -> None:
    both = Guard(Between(Guard(EchoApp(), admin_tokens=INNER_ADMIN)), admin_tokens=ADMIN)
    assert (await request(both, "GET", "/admin/status", token="a" * 32, client=LOOPBACK)).status == 200
    assert (await request(both, "GET", "/admin/status", token="b" * 32, client=LOOPBACK)).status == 401
    inner = RateLimitMiddleware(Between(Guard(EchoApp(), admin_tokens=INNER_ADMIN)))
    assert (await request(inner, "GET", "/admin/status", token="b" * 32, client=LOOPBACK)).status == 200

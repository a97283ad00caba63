"""What stands between a guard and an app that is a GraphQL endpoint and nothing else, and when the guard takes paths
away from it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from graphql import build_schema
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from fraiseql_guard import AuthMiddleware, Guard, MetricsMiddleware, QueryLimitMiddleware, RateLimitMiddleware
from tests.hosts.serving import lifespan
from tests.support.asgi import graphql, request
from tests.support.upgrades import T, upgrade

SCHEMA = build_schema("type Query { name: String }")
OPEN = {"data": {"name": None}}


def endpoint() -> Any:
    return pytest.importorskip("ariadne.asgi").GraphQL(SCHEMA)


class WithPaths:
    """A middleware that answers a path of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = PlainTextResponse("healthy") if scope.get("path") == "/healthz" else self.app
        await app(scope, receive, send)


class Fixed(WithPaths):
    """One whose app cannot be exchanged."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    @property
    def app(self) -> ASGIApp:  # type: ignore[override]
        return self._app


async def healthy(asked: Request, call_next: Callable[..., Any]) -> Response:
    return PlainTextResponse("healthy") if asked.url.path == "/healthz" else await call_next(asked)


AROUND = {
    "nothing": lambda app: app,
    "a method": lambda app: app.__call__,
    "a partial": partial,
    "a mount": lambda app: Mount("", app),
    "middlewares": lambda app: SessionMiddleware(GZipMiddleware(CORSMiddleware(app)), "a key"),
    "a middleware's method": lambda app: GZipMiddleware(app).__call__,
    "own paths": WithPaths,
    "own paths between": lambda app: GZipMiddleware(WithPaths(GZipMiddleware(app))),
    "own paths of a function": lambda app: BaseHTTPMiddleware(app, dispatch=healthy),
    "a fixed app": Fixed,
}


def told(guard: Any, beginning: str) -> list[str]:
    lines = [line["context"]["detail"] for line in guard.lines("guard.configuration")]
    return [line for line in lines if line.startswith(beginning)]


@pytest.mark.parametrize("name", AROUND)
async def test_an_endpoint_is_served_on_guarded_paths_alone_whatever_is_around_it(name: str, guarded: Any) -> None:
    guard = guarded(AROUND[name](endpoint()), schema=SCHEMA)
    for _ in range(3):  # heads that have passed are cached
        assert (await graphql(guard, "{ name }")).json == OPEN
        assert (await graphql(guard, "{ __schema { description } }")).code == "INTROSPECTION_DENIED"
        assert (await graphql(guard, "{ name }", path="/")).status == 404
    assert (await upgrade(guard, "/", http=True, offers=[T])).status == 404
    assert (await upgrade(guard, "/graphql", http=True, offers=[T])).status == 101
    own = await request(guard, "GET", "/healthz")
    assert (own.status, own.body) == (200, b"healthy") if name.startswith("own") else own.status == 404


@pytest.mark.parametrize(
    ("middleware", "options", "takes_away"),
    [
        (Guard, {}, True),
        (Guard, {"mode": "monitor"}, False),
        (Guard, {"mode": "monitor", "mode_query_limits": "enforce"}, True),
        (Guard, {"mode": "off"}, False),
        (MetricsMiddleware, {}, False),
        (AuthMiddleware, {"jwt_secret": "an-hmac-secret-of-at-least-thirty-two-bytes"}, True),
        (RateLimitMiddleware, {}, True),
        (QueryLimitMiddleware, {}, True),
    ],
)
async def test_a_guard_that_enforces_nothing_takes_no_path_away_and_says_where_it_looks(
    middleware: Any, options: dict[str, Any], takes_away: bool, guarded: Any
) -> None:
    guard = guarded(endpoint(), middleware=middleware, **options)
    async with lifespan(guard.guard):
        assert (await graphql(guard, "{ name }", path="/")).status == (404 if takes_away else 200)
    everywhere = told(guard, "GraphQL is served on every path, and looked at on /graphql alone: ")
    assert len(everywhere) == (not takes_away)
    assert bool(told(guard, "/ serves GraphQL and is not guarded: ")) is not takes_away


async def test_an_endpoint_on_every_path_is_not_told_of_others(guarded: Any) -> None:
    guard = guarded(endpoint(), mode="monitor", graphql_paths="/")
    assert (await graphql(guard, "{ name }", path="/any")).json == OPEN
    assert told(guard, "GraphQL is served on every path") == []


def copying(app: Any) -> Any:
    """Middleware that hands a scope of its own on, as tracing does."""

    async def copies(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope}, receive, send)

    copies.app = app  # type: ignore[attr-defined]
    return copies


@pytest.mark.parametrize(
    "between", [lambda app: app, CORSMiddleware, copying], ids=["directly", "with something between", "with a copy"]
)
@pytest.mark.parametrize("path", ["/query", "/graphql"])
async def test_a_guard_further_inside_says_itself_on_which_paths_it_is_served(
    between: Any, path: str, guarded: Any
) -> None:
    inner = Guard(endpoint(), graphql_paths="/query")
    guard = guarded(between(inner), schema=SCHEMA)
    asked = await graphql(guard, "{ name }", path=path)
    assert asked.status == (200 if path == "/query" else 404)
    denied = await graphql(guard, "{ __schema { description } }", path="/query")
    assert denied.code == "INTROSPECTION_DENIED"
    assert (await upgrade(guard, "/query", http=True, offers=[T])).status == 101
    assert told(guard, "/query serves GraphQL") == []


@pytest.mark.parametrize(
    "inner", [MetricsMiddleware, lambda app: Guard(app, mode="monitor")], ids=["metrics", "monitor"]
)
async def test_of_several_guards_the_innermost_decides_that_enforces_anything(inner: Any, guarded: Any) -> None:
    guard = guarded(CORSMiddleware(inner(endpoint())))
    assert (await graphql(guard, "{ name }", path="/")).status == 404
    assert (await upgrade(guard, "/", http=True, offers=[T])).status == 404
    assert (await graphql(guard, "{ name }")).json == OPEN


async def test_an_endpoint_that_another_app_serves_without_a_guard_stays_as_it_is(guarded: Any) -> None:
    shared = GZipMiddleware(endpoint())
    guard = guarded(shared)
    assert (await graphql(guard, "{ name }", path="/")).status == 404
    assert (await request(shared, path="/", body=b'{"query": "{ name }"}')).json == OPEN

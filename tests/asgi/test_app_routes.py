"""Which routes of an app speak GraphQL and are not guarded, on the frameworks that show their routes."""

from __future__ import annotations

from pathlib import Path

import pytest
from graphql import build_schema
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, Router

from fraiseql_guard import Guard
from fraiseql_guard.asgi.app_routes import routes_of, unguarded_graphql
from fraiseql_guard.asgi.middleware import Middleware
from fraiseql_guard.asgi.paths import PathTable
from fraiseql_guard.core.settings import Settings
from tests.asgi.routers import ROUTERS
from tests.support.asgi import request


def table(**options: object) -> PathTable:
    return PathTable(Settings.load(environ={}, **options))


def page(_: object) -> PlainTextResponse:
    return PlainTextResponse("x")


@pytest.mark.parametrize("name", ["starlette", "fastapi", "litestar", "quart"])
def test_the_routes_of_each_framework_are_found(name: str, tmp_path: Path) -> None:
    app = ROUTERS[name](tmp_path)
    found = {route.path: route.graphql for route in routes_of(app)}
    assert found["/graphql"] is True
    assert found["/private/data"] is False
    assert unguarded_graphql(app, table()) == ()
    assert unguarded_graphql(app, table(graphql_paths="/query")) == ("/graphql",)


def test_an_app_without_routes_shows_none() -> None:
    assert routes_of(None) == routes_of(lambda scope: None) == routes_of(Starlette()) == ()


def test_mounts_hosts_and_middleware_are_looked_into() -> None:
    inner = Starlette(routes=[Route("/graphql", page), Route("/page", page)])
    deep = Router([Mount("/v2", inner), Route("/gql/{tenant}", page)])
    app = GZipMiddleware(Starlette(routes=[Mount("/api", deep), Host("x.example", Router([Route("/graphql", page)]))]))
    assert [route.path for route in routes_of(app)] == [
        "/api/v2/graphql",
        "/api/v2/page",
        "/api/gql/{tenant}",
        "/graphql",
    ]
    assert unguarded_graphql(app, table()) == ("/api/v2/graphql", "/api/gql/{tenant}")
    assert unguarded_graphql(app, table(graphql_paths="/graphql,/api")) == ()


def test_endpoints_of_graphql_libraries_are_known_whatever_their_path() -> None:
    class Endpoint:
        async def __call__(self, scope, receive, send) -> None: ...

        async def serve(self, request) -> None: ...

    Endpoint.__module__ = "ariadne.asgi"
    app = Starlette(routes=[Mount("/query", Endpoint()), Route("/other", Endpoint()), Route("/page", page)])
    assert unguarded_graphql(app, table()) == ("/query", "/other")


def test_fastapi_routers_inside_of_routers_are_found() -> None:
    from fastapi import APIRouter, FastAPI

    app, outer, inner = FastAPI(), APIRouter(prefix="/outer"), APIRouter()
    inner.post("/graphql")(page)
    outer.include_router(inner, prefix="/inner")
    app.include_router(outer, prefix="/pre")
    assert unguarded_graphql(app, table()) == ("/pre/outer/inner/graphql",)


def test_routes_that_a_guard_further_inside_covers_are_not_named() -> None:
    built = Starlette(routes=[Route("/graphql", page)])
    declared = Starlette(routes=[Route("/graphql", page)])
    declared.add_middleware(Guard, graphql_paths="/graphql")
    app = Starlette(routes=[Mount("/a", Guard(built)), Mount("/b", declared), Mount("/c", built)])
    assert unguarded_graphql(app, table(), Middleware) == ("/c/graphql",)
    around = [[(type(each.guard).__name__, each.mount) for each in route.guards] for route in routes_of(app, Middleware)]
    assert around == [[("Guard", "/a")], [("Middleware", "/b")], []]


async def test_the_start_names_them(guarded) -> None:
    guard = guarded(Starlette(routes=[Route("/api/graphql", page), Route("/graphql", page)]))
    await request(guard, "GET", "/")
    said = [line["context"]["detail"] for line in guard.lines("guard.configuration")]
    (sentence,) = [each for each in said if "GraphQL is served on" in each]
    assert sentence.startswith("GraphQL is served on /api/graphql and not guarded there")
    assert "FRAISEQL_GUARD_GRAPHQL_PATHS" in sentence


@pytest.mark.parametrize(("mount", "status"), [("/graphql", 200), ("/api", 404)])
async def test_a_guard_around_a_librarys_app_knows_its_mount(mount: str, status: int, guarded) -> None:
    from ariadne.asgi import GraphQL

    guard = guarded(GraphQL(build_schema("type Query { name: String }")))
    host = Starlette(routes=[Mount(mount, guard)])
    assert (await request(host, path=f"{mount}/", body=b'{"query": "{ name }"}')).status == status
    assert (await request(host, path=f"{mount}/graphql", body=b'{"query": "{ name }"}')).status == 200
    said = [line["context"]["detail"] for line in guard.lines("guard.configuration")]
    assert not any("not guarded there" in each for each in said)

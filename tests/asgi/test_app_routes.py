"""Which routes of an app speak GraphQL and are not guarded, on the frameworks that show their routes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from graphql import build_schema
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, Router

from fraiseql_guard import AuthMiddleware, Guard, MetricsMiddleware, QueryLimitMiddleware, RateLimitMiddleware
from fraiseql_guard.asgi.app_routes import routes_of, unguarded_graphql
from fraiseql_guard.asgi.middleware import Middleware
from fraiseql_guard.asgi.paths import PathTable
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.variables import SettingsError
from tests.asgi.routers import ROUTERS
from tests.conftest import SECRET
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
    around = [
        [(type(each.guard).__name__, each.mount) for each in route.guards] for route in routes_of(app, Middleware)
    ]
    assert around == [[("Guard", "/a")], [("Middleware", "/b")], []]


def of_ariadne() -> Any:
    return pytest.importorskip("ariadne.asgi").GraphQL(build_schema("type Query { name: String }"))


def with_default(app: Starlette) -> Starlette:
    app.router.default = of_ariadne()
    return app


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: Router([Route("/page", page)], default=of_ariadne()), "/"),
        (lambda: Router([], default=GZipMiddleware(of_ariadne())), "/"),
        (lambda: with_default(Starlette()), "/"),
        (lambda: Starlette(routes=[Mount("/below", Router([], default=of_ariadne()))]), "/below"),
        (lambda: Starlette(routes=[Route("/query", GZipMiddleware(of_ariadne()))]), "/query"),
    ],
    ids=["default", "default alone", "default of an app", "default in a mount", "wrapped route"],
)
async def test_what_no_list_of_routes_shows_is_found_too(make: Any, expected: str, guarded: Any) -> None:
    app = make()
    assert unguarded_graphql(app, table()) == (expected,)
    guard = guarded(app)
    await request(guard, "GET", "/")
    assert len(_unguarded(guard)) == 1


def in_hypercorn() -> Any:
    from hypercorn.middleware import DispatcherMiddleware

    return DispatcherMiddleware({"/graphql": of_ariadne(), "/": Starlette(routes=[Route("/page", page)])})


def in_litestar() -> Any:
    from litestar import Litestar, asgi

    app = of_ariadne()

    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    mounted.__annotations__ = dict.fromkeys(("scope", "receive", "send"), Any) | {"return": None}
    return Litestar([asgi("/graphql", is_mount=True, copy_scope=True)(mounted)], openapi_config=None)


@pytest.mark.parametrize("make", [in_hypercorn, in_litestar])
async def test_a_mount_that_takes_all_paths_that_begin_alike_is_named(make: Any, guarded: Any) -> None:
    guard = guarded(make())
    reply = await request(guard, path="/graphqlx", body=b'{"query": "{ __schema { description } }"}')
    assert reply.json["data"] == {"__schema": {"description": None}}
    (sentence,) = _unguarded(guard)
    assert sentence.startswith(
        "GraphQL is served on /graphql* and not guarded there: a mount takes all paths that begin"
    )
    assert unguarded_graphql(make(), table(graphql_paths="/other")) == ("/graphql", "/graphql*")
    assert unguarded_graphql(make(), table(graphql_paths="/")) == ()


def test_an_app_that_only_comes_from_a_graphql_library_is_no_endpoint() -> None:
    """Strawberry's router for Channels leads to Django, but for a pattern of its own."""
    router = type("GraphQLProtocolTypeRouter", (), {"application_mapping": {}, "__module__": "strawberry.channels"})()
    assert routes_of(router) == ()


PARTLY = pytest.mark.parametrize(
    ("inner", "guards"),
    [
        (Guard, True),
        (lambda app: Guard(GZipMiddleware(MetricsMiddleware(app))), True),
        (lambda app: AuthMiddleware(QueryLimitMiddleware(app), jwt_secret=SECRET), True),
        (lambda app: AuthMiddleware(GZipMiddleware(QueryLimitMiddleware(app)), jwt_secret=SECRET), True),
        (lambda app: AuthMiddleware(app, jwt_secret=SECRET), False),
        (QueryLimitMiddleware, False),
        (RateLimitMiddleware, False),
        (MetricsMiddleware, False),
    ],
    ids=["all", "metrics below all", "both", "both apart", "tokens", "limits", "rates", "metrics"],
)


@PARTLY
async def test_a_guard_further_inside_counts_as_one_if_it_asks_for_tokens_and_measures(
    inner: Any, guards: bool, guarded: Any
) -> None:
    guard = guarded(Starlette(routes=[Mount("/x", inner(of_ariadne()))]), jwt_secret=SECRET, auth_required=False)
    await request(guard, "GET", "/")
    assert len(_unguarded(guard)) == (not guards)


@pytest.mark.parametrize(
    ("inner", "warned"), [(Guard, False), (QueryLimitMiddleware, False), (RateLimitMiddleware, True)]
)
@pytest.mark.parametrize("query", ["{ name }", "{ __schema { description } }"], ids=["answered", "refused"])
@pytest.mark.parametrize("scopes", [lambda scope: scope, dict], ids=["of one scope", "of a scope of its own"])
async def test_the_first_request_warns_where_a_guard_that_the_app_hides_does_not_measure(
    inner: Any, warned: bool, query: str, scopes: Any, guarded: Any
) -> None:
    mounted = inner(of_ariadne())

    async def hides(scope: Any, receive: Any, send: Any) -> None:
        await mounted(scopes(scope), receive, send)

    guard = guarded(Starlette(routes=[Mount("/x", hides)]))
    await request(guard, path="/x/graphql", body=json.dumps({"query": query}).encode())
    said = [line["context"]["detail"] for line in guard.lines("guard.configuration")]
    # By its route, or as it was asked for, where tracing hands a scope of its own to the app.
    named = ("/x serves GraphQL and is not guarded", "/x/graphql serves GraphQL and is not guarded")
    assert any(each.startswith(named) for each in said) is warned


async def test_a_path_is_named_as_it_was_asked_for_where_the_app_changes_it(guarded: Any) -> None:
    mounted = of_ariadne()

    async def cuts(scope: Any, receive: Any, send: Any) -> None:
        scope["path"] = "/"  # as Litestar does in a mount
        await mounted(scope, receive, send)

    guard = guarded(cuts)
    await request(guard, path="/query", body=b'{"query": "{ name }"}')
    said = [line["context"]["detail"] for line in guard.lines("guard.configuration")]
    assert any(each.startswith("/query serves GraphQL and is not guarded") for each in said)


async def test_of_a_path_with_a_parameter_the_beginning_is_to_be_named(guarded: Any) -> None:
    guard = guarded(Starlette(routes=[Route("/of/{tenant}/graphql", page)]))
    await request(guard, "GET", "/")
    (sentence,) = _unguarded(guard)
    assert sentence.endswith("beside the other paths, of a path with a parameter its fixed beginning")


@pytest.mark.parametrize("option", ["graphql_paths", "auth_paths", "exempt_paths"])
@pytest.mark.parametrize("path", ["/{tenant}/graphql", "/<tenant>/graphql", "/api/*", "/graphql?a=b", "/graphql#a"])
def test_a_path_that_no_request_can_have_is_not_taken(option: str, path: str) -> None:
    with pytest.raises(SettingsError, match="give its fixed beginning"):
        table(**{option: path})


def _unguarded(guard: Any) -> list[str]:
    said = [line["context"]["detail"] for line in guard.lines("guard.configuration")]
    return [each for each in said if each.startswith("GraphQL is served on")]


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

"""What the start of each host says to a newcomer, and what a host's own start and end meet behind the guard."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.middleware.gzip import GZipMiddleware

from fraiseql_guard import Guard
from tests.conftest import SECRET
from tests.hosts.serving import client_of, lifespan
from tests.hosts.table import IN_PROCESS, Host, loaded, parameters
from tests.support.asgi import graphql, request
from tests.support.upgrades import upgrade
from tests.support.waiting import until

NO_STORE = "FRAISEQL_REDIS_URL is not set: "
NO_KEY = "FRAISEQL_JWT_SECRET is not set, nor any other key: "
CONFIGURED = {"FRAISEQL_JWT_SECRET": SECRET}
DEVELOPMENT = {"FRAISEQL_ENVIRONMENT": "development"}


def sentences(log: Path) -> list[str]:
    """What the log says that deserves a look."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [line["context"]["detail"] for line in lines if line["event"] == "guard.configuration"]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, [NO_STORE, NO_KEY]),
        (CONFIGURED, [NO_STORE]),
        (DEVELOPMENT, [NO_KEY]),
        ({**DEVELOPMENT, **CONFIGURED}, []),
    ],
    ids=["unconfigured", "configured", "in development", "in development with a key"],
)
@pytest.mark.parametrize("host", parameters(IN_PROCESS))
async def test_a_start_says_what_a_newcomer_can_set_and_no_more(
    host: Host, environment: dict[str, str], expected: list[str], tmp_path: Path
) -> None:
    log = tmp_path / "guard.log"
    with loaded(host, {**environment, "FRAISEQL_GUARD_LOG_FILE": str(log)}) as app:
        async with lifespan(app), client_of(app) as client:
            status = (await client.post("/graphql", json={"query": "{ whoami }"})).status_code
    assert status == (401 if environment.keys() >= CONFIGURED.keys() else 200)
    said = sentences(log)
    assert len(said) == len(expected), said
    assert all(sentence.startswith(beginning) for sentence, beginning in zip(said, expected, strict=True))
    assert all("Set it " in sentence for sentence in said)


@pytest.mark.parametrize("host", parameters(IN_PROCESS))
async def test_nothing_of_the_guard_is_left_at_the_end(host: Host) -> None:
    with loaded(host, {}) as app:
        async with lifespan(app), client_of(app) as client:
            assert (await client.post("/graphql", json={"query": "{ whoami }"})).status_code == 200
    assert asyncio.all_tasks() == {asyncio.current_task()}


def of_starlette(events: list[str]) -> Any:
    from starlette.applications import Starlette
    from starlette.middleware import Middleware

    return Starlette(lifespan=_noting(events), middleware=[Middleware(Guard)])


def of_fastapi(events: list[str]) -> Any:
    from fastapi import FastAPI

    app = FastAPI(lifespan=_noting(events))
    app.add_middleware(Guard)
    return app


def of_litestar(events: list[str]) -> Any:
    from litestar import Litestar

    return Guard(Litestar([], on_startup=[lambda: events.append("up")], on_shutdown=[lambda: events.append("down")]))


def of_quart(events: list[str]) -> Any:
    from quart import Quart

    app = Quart("lifespans")

    @app.before_serving
    async def up() -> None:
        events.append("up")

    @app.after_serving
    async def down() -> None:
        events.append("down")

    app.asgi_app = Guard(app.asgi_app)  # type: ignore[method-assign]
    return app


def _noting(events: list[str]) -> Callable[[Any], Any]:
    @asynccontextmanager
    async def noted(_app: Any) -> AsyncIterator[None]:
        events.append("up")
        yield
        events.append("down")

    return noted


@pytest.mark.parametrize("make", [of_starlette, of_fastapi, of_litestar, of_quart])
async def test_the_hosts_own_start_and_end_run_behind_the_guard(make: Callable[[list[str]], Any]) -> None:
    events: list[str] = []
    async with lifespan(make(events)):
        assert events == ["up"]
    assert events == ["up", "down"]


class Refusing:
    """An app that knows no lifespan: it raises, or returns, at once; or only once it was told of the start."""

    def __init__(self, *, raises: bool, after: str = "") -> None:
        self._raises = raises
        self._after = after

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._after:
            await receive()
        if self._after == "complete":
            await send({"type": "lifespan.startup.complete"})
        if self._raises:
            raise ValueError("it knows HTTP alone")


@pytest.mark.parametrize("raises", [True, False])
async def test_for_an_app_that_knows_no_lifespan_the_guard_answers(raises: bool, guarded: Any) -> None:
    guard = guarded(Refusing(raises=raises))
    async with lifespan(guard.guard):
        pass
    assert not [line for line in guard.lines("guard.configuration") if "has raised" in line["context"]["detail"]]
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("after", ["startup", "complete"])
async def test_a_start_that_fails_is_no_unknown_lifespan(after: str) -> None:
    async def live() -> None:
        async with lifespan(Guard(Refusing(raises=True, after=after))):
            assert after == "complete"

    with pytest.raises(ValueError, match="HTTP alone"):
        await live()


async def test_a_middleware_that_keeps_the_start_from_the_app_is_named(guarded: Any) -> None:
    """It looks for a path, which a lifespan has not."""

    async def careless(scope: Any, receive: Any, send: Any) -> None:
        scope["path"].startswith("/")

    guard = guarded(careless)
    async with lifespan(guard.guard):
        pass
    said = [line["context"]["detail"] for line in guard.lines("guard.configuration")]
    assert [sentence for sentence in said if "has raised KeyError: " in sentence]


def bare_strawberry() -> Any:
    import strawberry
    from strawberry.asgi import GraphQL

    @strawberry.type
    class Query:
        @strawberry.field
        def name(self) -> str:
            return "Ada"

    return GraphQL(strawberry.Schema(Query))


def bare_ariadne() -> Any:
    from ariadne import QueryType, make_executable_schema
    from ariadne.asgi import GraphQL

    query = QueryType()
    query.set_field("name", lambda *_: "Ada")
    return GraphQL(make_executable_schema("type Query { name: String }", query))


ENDPOINTS = pytest.mark.parametrize("endpoint", [bare_strawberry, bare_ariadne])
QUERY = b"query=%7Bname%7D"
PAGES = ("/health", "/metrics", "/health/detailed")


def derived(app: Any) -> Any:
    """The app as an object of an own class, as they are made to give resolvers a context."""
    app.__class__ = type("WithContext", (type(app),), {})
    return app


@ENDPOINTS
@pytest.mark.parametrize("around", [lambda app: app, derived, GZipMiddleware], ids=["itself", "derived", "wrapped"])
@pytest.mark.parametrize("path", ["/", "/anywhere", "/graphqlx", "/GRAPHQL", "/a/graphql"])
async def test_an_app_that_is_an_endpoint_answers_on_guarded_paths_alone(
    endpoint: Callable[[], Any], around: Callable[[Any], Any], path: str, guarded: Any
) -> None:
    app = endpoint()
    guard = guarded(around(app), schema=app)
    for answer in (
        await graphql(guard, "{ name }", path=path),
        await request(guard, "GET", path, query=QUERY),
        await request(guard, "GET", path, headers={"accept": "text/html"}),
    ):
        assert answer.status == 404
        assert answer.header("content-type") == "application/problem+json"
        assert answer.json["detail"] == "GraphQL is served on /graphql alone (FRAISEQL_GUARD_GRAPHQL_PATHS)."
    assert (await request(guard, "HEAD", path)).body == b""
    for there in ("/graphql", "/graphql/", "/graphql/deeper"):
        assert (await graphql(guard, "{ name }", path=there)).json == {"data": {"name": "Ada"}}
        assert (await graphql(guard, "{ __schema { description } }", path=there)).code == "INTROSPECTION_DENIED"
    assert (await graphql(guard, "{ nmae }")).code == "GRAPHQL_INVALID"


@ENDPOINTS
async def test_around_an_endpoint_the_guards_own_pages_are_there_and_nothing_is_said(
    endpoint: Callable[[], Any], guarded: Any
) -> None:
    guard = guarded(endpoint(), schema="type Query { name: String }")
    async with lifespan(guard.guard):
        pages = [await request(guard, "GET", path, client=("127.0.0.1", 1)) for path in PAGES]
    assert [page.status for page in pages] == [200, 200, 200]
    assert pages[0].json == {"status": "ok"}
    assert b"fraiseql_guard" in pages[1].body
    said = [line["context"]["detail"] for line in guard.lines("guard.configuration")]
    assert not any("GraphQL is served on" in sentence or "PATH" in sentence for sentence in said)


@ENDPOINTS
async def test_an_endpoint_can_be_guarded_on_every_path(endpoint: Callable[[], Any], guarded: Any) -> None:
    everywhere = guarded(endpoint(), schema="type Query { name: String }", graphql_paths="/")
    assert (await graphql(everywhere, "{ name }", path="/anywhere")).json == {"data": {"name": "Ada"}}
    denied = await graphql(everywhere, "{ __schema { description } }", path="/anywhere")
    assert denied.code == "INTROSPECTION_DENIED"
    said = [line["context"]["detail"] for line in everywhere.lines("guard.configuration")]
    assert not any("not guarded there" in sentence for sentence in said)
    (pages,) = [sentence for sentence in said if "METRICS_PATH" in sentence]
    assert pages.endswith("one of the two is never served. Put the app into a route, such as /graphql")


@ENDPOINTS
async def test_no_socket_of_an_endpoint_is_opened_elsewhere(endpoint: Callable[[], Any], guarded: Any) -> None:
    guard = guarded(endpoint(), schema="type Query { name: String }")
    found = [
        await upgrade(guard, path, http=http, offers=["graphql-ws"])
        for path in ("/", "/anywhere", "/graphql")
        for http in (True, False)
    ]
    assert [(each.status, each.closed) for each in found] == [
        *[(404, None), (403, (1008, "Not Found"))] * 2,
        *[(101, None)] * 2,
    ]


async def test_a_guard_among_litestars_middlewares_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from litestar import Litestar, get
    from litestar.middleware import DefineMiddleware

    async def page() -> str:
        return "a page"

    log = tmp_path / "guard.log"
    monkeypatch.setenv("FRAISEQL_GUARD_LOG_FILE", str(log))
    routes = [get(path, media_type="text/plain")(page) for path in ("/one", "/two")]
    app = Litestar(routes, middleware=[DefineMiddleware(Guard, rate_limit_default="1/hour", rate_limit_burst=0)])
    assert [(await request(app, "GET", path)).status for path in ("/one", "/two", "/one", "/two")] == [
        200,
        200,
        429,
        429,
    ]
    await until(lambda: any("Guard(Litestar(...))" in sentence for sentence in sentences(log)))

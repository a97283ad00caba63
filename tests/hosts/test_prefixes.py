"""Prefixes as each host makes them, several GraphQL paths, root paths, and what is said of a path that is forgotten."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from fraiseql_guard import Guard
from tests.hosts.serving import client_of, lifespan, refusal
from tests.hosts.table import DEEP, DEPTH, IN_PROCESS, Host, loaded, parameters
from tests.hosts.test_starts import sentences
from tests.support.in_loop import uvicorn_serves

SHALLOW = {"FRAISEQL_MAX_QUERY_DEPTH": str(DEPTH)}
NAMED = {"graphql_paths": "/api/graphql"}
DATA = {"data": {"whoami": "Ada"}}


async def answer(request: Request) -> JSONResponse:
    """A GraphQL endpoint, as far as the guard can see."""
    await request.json()
    return JSONResponse(DATA)


def route(path: str = "/graphql") -> Route:
    return Route(path, answer, methods=["POST"])


def starlette_mount(**options: Any) -> Any:
    return Guard(Starlette(routes=[Mount("/api", Starlette(routes=[route()]))]), **options)


def fastapi_sub_application(**options: Any) -> Any:
    app, inner = FastAPI(), FastAPI()
    inner.add_route("/graphql", answer, methods=["POST"])
    app.mount("/api", inner)
    app.add_middleware(Guard, **options)
    return app


def fastapi_router(**options: Any) -> Any:
    app, router = FastAPI(), APIRouter()
    router.add_route("/graphql", answer, methods=["POST"])
    app.include_router(router, prefix="/api")
    app.add_middleware(Guard, **options)
    return app


def litestar_path(**options: Any) -> Any:
    from litestar import Litestar, post
    from litestar import Request as LitestarRequest

    async def endpoint(request: Any) -> dict[str, Any]:
        await request.json()
        return DATA

    endpoint.__annotations__["request"] = LitestarRequest  # it reads them

    return Guard(Litestar([post("/graphql", status_code=200)(endpoint)], path="/api"), **options)


def quart_blueprint(**options: Any) -> Any:
    from quart import Blueprint, Quart

    app, blueprint = Quart("prefixes"), Blueprint("graphql", "prefixes", url_prefix="/api")

    @blueprint.post("/graphql")
    async def endpoint() -> dict[str, Any]:
        return DATA

    app.register_blueprint(blueprint)
    app.asgi_app = Guard(app.asgi_app, **options)  # type: ignore[method-assign]
    return app


PREFIXED = (starlette_mount, fastapi_sub_application, fastapi_router, litestar_path, quart_blueprint)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FRAISEQL_GUARD_LOG_FILE", str(tmp_path / "guard.log"))
    return tmp_path / "guard.log"


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with lifespan(app), client_of(app) as client:
        yield client


async def code(client: httpx.AsyncClient, path: str = "/api/graphql", query: str = DEEP) -> str | None:
    """The code of a refusal of a document that is too deep; None if the app has answered it."""
    found = await client.post(path, json={"query": query})
    return None if found.status_code == 200 else refusal(found)["code"]


@pytest.mark.parametrize("make", PREFIXED)
async def test_a_path_with_its_prefix_is_guarded_if_it_is_named(make: Callable[..., Any], log: Path) -> None:
    async with served(make(max_query_depth=DEPTH, **NAMED)) as client:
        assert await code(client) == "QUERY_TOO_DEEP"
        assert (await client.post("/api/graphql", json={"query": "{ whoami }"})).json() == DATA
    assert not [sentence for sentence in sentences(log) if "not guarded" in sentence]


@pytest.mark.parametrize("make", PREFIXED)
async def test_a_path_that_is_forgotten_is_named_at_the_start(make: Callable[..., Any], log: Path) -> None:
    async with served(make(max_query_depth=DEPTH)) as client:
        assert await code(client) is None
    (sentence, *_) = [sentence for sentence in sentences(log) if "not guarded" in sentence]
    assert sentence.startswith("GraphQL is served on /api/graphql and not guarded there")


@pytest.mark.parametrize("make", PREFIXED)
async def test_a_path_that_is_forgotten_is_named_at_its_first_request(make: Callable[..., Any], log: Path) -> None:
    async with served(make(max_query_depth=DEPTH)) as client:
        assert await code(client) is None
    assert any(sentence.startswith("/api/graphql serves GraphQL and is not guarded") for sentence in sentences(log))


async def test_several_paths_are_guarded_alike() -> None:
    app = Starlette(routes=[route(), route("/public/graphql"), route("/other")])
    async with served(Guard(app, max_query_depth=DEPTH, graphql_paths="/graphql,/public/graphql")) as client:
        assert [await code(client, path) for path in ("/graphql", "/public/graphql")] == ["QUERY_TOO_DEEP"] * 2
        assert await code(client, "/other") is None


@pytest.mark.parametrize("host", parameters(tuple(host for host in IN_PROCESS if host.name == "django_app")))
async def test_djangos_script_name_is_a_prefix_to_be_named(host: Host, log: Path) -> None:
    from django.test.utils import override_settings

    for paths, expected in (("/graphql", None), ("/api/graphql", "QUERY_TOO_DEEP")):
        environment = {**SHALLOW, "FRAISEQL_GUARD_GRAPHQL_PATHS": paths}
        with loaded(host, environment) as app, override_settings(FORCE_SCRIPT_NAME="/api"):
            async with served(app) as client:
                assert await code(client) == expected
                known = (await client.post("/api/graphql", json={"query": "{ whoami }"})).json()
                assert known == {"data": {"whoami": "anonymous"}}
    assert any(sentence.startswith("/api/graphql serves GraphQL and is not guarded") for sentence in sentences(log))


@pytest.mark.parametrize("host", parameters(IN_PROCESS))
async def test_a_root_path_on_a_real_server(host: Host) -> None:
    """``uvicorn --root-path /api``, whose proxy has cut the prefix off: the settings stay as they are."""
    with loaded(host, SHALLOW) as app:
        async with (
            uvicorn_serves(app, lifespan="on", root_path="/api", proxy_headers=False) as port,
            httpx.AsyncClient(base_url=f"http://localhost:{port}", trust_env=False) as client,
        ):
            answered = await client.post("/graphql", json={"query": "{ whoami }"})
            assert (answered.status_code, answered.json()) == (200, {"data": {"whoami": "anonymous"}})
            assert await code(client, "/graphql") == "QUERY_TOO_DEEP"
            assert (await client.get("/metrics")).status_code == 200


@pytest.mark.parametrize("host", parameters(IN_PROCESS))
async def test_a_root_path_that_the_path_does_not_have(host: Host) -> None:
    """As servers pass it that follow older readings of ASGI. Quart then finds no route, with and without the guard."""
    with loaded(host, SHALLOW) as app:
        transport = httpx.ASGITransport(app=app, root_path="/api", client=("203.0.113.7", 40000))
        async with lifespan(app), httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            assert await code(client, "/graphql") == "QUERY_TOO_DEEP"
            answered = await client.post("/graphql", json={"query": "{ whoami }"})
            assert answered.status_code == (404 if host.name == "quart_app" else 200)

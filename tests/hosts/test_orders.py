"""CORS, compression and sessions around the guard, and what is wrong the other way round."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware

from fraiseql_guard import Guard
from fraiseql_guard.testing import make_token
from tests.conftest import SECRET
from tests.hosts.places import ORIGIN
from tests.hosts.serving import client_of, lifespan
from tests.hosts.test_starts import sentences
from tests.support.asgi import EchoApp, request

CORS = {"allow_origins": [ORIGIN], "allow_methods": ["POST"], "allow_headers": ["authorization"]}
SESSIONS = {"secret_key": "a key of the sessions"}
BROWSER = {"origin": ORIGIN, "accept-encoding": "gzip"}
PREFLIGHT = {**BROWSER, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}


def guarded_fastapi(order: str) -> Any:
    """FastAPI with the guard, CORS, GZip and sessions: what is added last is the outermost."""
    app = FastAPI()

    @app.post("/graphql")
    async def answer(request: Request) -> dict[str, Any]:
        request.session["visits"] = request.session.get("visits", 0) + 1
        return {"errors": [{"message": "x" * 1000}], "data": {"visits": request.session["visits"]}}

    def add_guard() -> None:
        app.add_middleware(Guard, jwt_secret=SECRET)

    def add_outer() -> None:
        app.add_middleware(GZipMiddleware)
        app.add_middleware(CORSMiddleware, **CORS)

    app.add_middleware(SessionMiddleware, **SESSIONS)
    for add in (add_guard, add_outer) if order == "right" else (add_outer, add_guard):
        add()
    return app


def guarded_litestar(order: str) -> Any:
    from litestar import Litestar, post
    from litestar.config.compression import CompressionConfig
    from litestar.config.cors import CORSConfig

    async def answer() -> dict[str, Any]:
        return {"errors": [{"message": "x" * 1000}], "data": {"visits": 1}}

    routes = [post("/graphql", status_code=200)(answer)]
    if order == "right":
        guard = Guard(Litestar(routes), jwt_secret=SECRET)
        return CORSMiddleware(GZipMiddleware(guard), **CORS)
    cors = CORSConfig(**CORS)
    inside = Litestar(routes, cors_config=cors, compression_config=CompressionConfig(backend="gzip"))
    return Guard(inside, jwt_secret=SECRET)


async def ask(client: httpx.AsyncClient, **headers: str) -> httpx.Response:
    return await client.post("/graphql", json={"query": "{ visits }"}, headers={**BROWSER, **headers})


def as_ada() -> dict[str, str]:
    return {"authorization": f"Bearer {make_token(SECRET, sub='ada')}"}


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FRAISEQL_GUARD_LOG_FILE", str(tmp_path / "guard.log"))
    return tmp_path / "guard.log"


async def errors_seen(client: httpx.AsyncClient) -> bool:
    """Whether the guard has counted the errors in the app's answers."""
    text = (await client.get("/metrics")).text
    return "fraiseql_graphql_queries_errors 1.0" in text


@pytest.mark.parametrize("make", [guarded_fastapi, guarded_litestar])
async def test_outside_the_guard_cors_and_compression_do_their_work(make: Callable[[str], Any], log: Path) -> None:
    app = make("right")
    async with lifespan(app), client_of(app) as client:
        refused = await ask(client)
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, ORIGIN)
        preflight = await client.options("/graphql", headers=PREFLIGHT)
        assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, ORIGIN)
        answer = await ask(client, **as_ada())
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.json()["data"] == {"visits": 1}
        assert await errors_seen(client)
    assert not [sentence for sentence in sentences(log) if "inside the guard" in sentence]


@pytest.mark.parametrize("make", [guarded_fastapi, guarded_litestar])
async def test_inside_they_hide_refusals_from_pages_and_answers_from_the_guard(
    make: Callable[[str], Any], log: Path
) -> None:
    app = make("wrong")
    async with lifespan(app), client_of(app) as client:
        refused = await ask(client)
        assert refused.status_code == 401
        assert "access-control-allow-origin" not in refused.headers
        answer = await ask(client, **as_ada())
        assert answer.headers["content-encoding"] == "gzip"
        assert not await errors_seen(client)
    said = [sentence for sentence in sentences(log) if "inside the guard" in sentence]
    names = {sentence.partition(" ")[0] for sentence in said}
    assert names in ({"GZipMiddleware", "CORSMiddleware"}, {"CompressionMiddleware", "CORSMiddleware"})
    assert all("outside" in sentence for sentence in said)


async def test_sessions_inside_are_none_of_a_refused_request() -> None:
    app = guarded_fastapi("right")
    async with lifespan(app), client_of(app) as client:
        assert "set-cookie" not in (await ask(client)).headers
        visits = [(await ask(client, **as_ada())).json()["data"]["visits"] for _ in range(3)]
    assert visits == [1, 2, 3]


async def test_djangos_own_middleware_is_named(guarded: Any, tmp_path: Path) -> None:
    from django.test.utils import override_settings

    from tests.asgi.routers import configure_django, django_app

    configure_django()
    with override_settings(MIDDLEWARE=["django.middleware.gzip.GZipMiddleware"]):
        guard = guarded(django_app(tmp_path))
        await request(guard, "GET", "/nowhere")
    said = [line["context"]["detail"] for line in guard.lines("guard.configuration")]
    assert any(sentence.startswith("GZipMiddleware is mounted inside the guard") for sentence in said)


async def test_the_guard_can_write_cors_headers_itself(guarded: Any) -> None:
    guard = guarded(EchoApp(), cors_origins=ORIGIN, jwt_secret=SECRET)
    refused = await request(guard, body=b'{"query": "{ a }"}', headers={"origin": ORIGIN})
    assert (refused.status, refused.header("access-control-allow-origin")) == (401, ORIGIN)

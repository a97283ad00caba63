"""Where subscriptions can be mounted, and what a schema that the app replaces changes. Real servers: tests/live."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.support.asgi import EchoApp
from tests.support.processes import needs_fraiseql

pytestmark = needs_fraiseql

SDL = "type Query { a: Int } type Subscription { %s: Int! }"


def host(field: str = "n", *, sdl: str = SDL) -> Any:
    """A FastAPI app with FraiseQL's own route, and nothing else of FraiseQL's."""
    from fastapi import FastAPI
    from fraiseql.fastapi.dependencies import build_graphql_context

    app = FastAPI()
    app.dependency_overrides[build_graphql_context] = no_context
    serve(app, field, sdl)
    return app


def no_context() -> dict[str, Any]:
    return {}


def serve(app: Any, field: str, sdl: str = SDL) -> None:
    """Give the app a schema with this subscription, and the route for it."""
    from fraiseql.fastapi import FraiseQLConfig
    from fraiseql.fastapi.routers import create_graphql_router
    from graphql import build_schema

    async def numbers(_root: Any, _info: Any):
        yield {field: 1}
        yield {field: 2}

    schema = build_schema(sdl % field if "%s" in sdl else sdl)
    if schema.subscription_type is not None:
        schema.subscription_type.fields[field].subscribe = numbers
    app.state.graphql_schema = schema
    app.include_router(create_graphql_router(schema, FraiseQLConfig(database_url="postgresql://app@127.0.0.1:1/none")))


async def events(app: Any, document: str, path: str = "/graphql") -> list[Any]:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.post(path, json={"query": document}, headers={"accept": "text/event-stream"})
    assert answer.status_code == 200, answer.text
    *found, last = answer.text.removesuffix("\n\n").split("\n\n")
    assert last == "event: complete\ndata:"
    return [json.loads(each.removeprefix("event: next\ndata: ")) for each in found]


def test_what_is_no_fraiseql_app_is_refused() -> None:
    from fastapi import FastAPI

    from fraiseql_guard.fraiseql import subscriptions

    for app in (EchoApp(), FastAPI()):
        with pytest.raises(TypeError, match="takes the app that create_fraiseql_app returns"):
            subscriptions(app)
    without_route = FastAPI()
    without_route.state.graphql_schema = host().state.graphql_schema
    with pytest.raises(TypeError, match="no route for POST /graphql"):
        subscriptions(without_route)


def test_a_schema_without_subscriptions_is_refused() -> None:
    from fraiseql_guard.fraiseql import subscriptions

    with pytest.raises(ValueError, match=r"has no subscriptions.*@fraiseql\.subscription"):
        subscriptions(host(sdl="type Query { a: Int }"))


def test_a_path_has_them_once() -> None:
    from fraiseql_guard.fraiseql import protect, subscriptions

    app = host()
    assert subscriptions(app) is app
    with pytest.raises(ValueError, match="are on /graphql already"):
        subscriptions(protect(app))
    assert subscriptions(app, "/live") is app
    with pytest.raises(ValueError, match="must begin with a slash"):
        subscriptions(app, "live2")


async def test_another_path_and_a_mounted_app() -> None:
    from fastapi import FastAPI

    from fraiseql_guard.fraiseql import subscriptions

    app = subscriptions(host(), "/live")
    outer = FastAPI()
    outer.mount("/v1", app)
    for served, path in ((app, "/live"), (outer, "/v1/live")):
        assert await events(served, "subscription { n }", path) == [{"data": {"n": 1}}, {"data": {"n": 2}}]
        (found,) = await events(served, "{ a }", path)
        assert found["data"] == {"a": None}


async def test_another_site_starts_no_mutation() -> None:
    """What a page may send to another site without asking: any GET, and a POST that does not say that it is JSON."""
    from fraiseql_guard.fraiseql import subscriptions

    stored: list[int] = []

    def store(*_arguments: Any) -> int:
        stored.append(1)
        return 1

    app = subscriptions(host(sdl=SDL % "n" + " type Mutation { store: Int }"))
    app.state.graphql_schema.mutation_type.fields["store"].resolve = store
    document = {"query": "mutation { store }"}
    headers = {"accept": "text/event-stream"}
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
            answer = await client.post("/graphql", content=json.dumps(document), headers={"content-type": kind})
            assert answer.status_code == 422  # FraiseQL's own answer
        assert stored == []
        # FraiseQL decides about GET: in development it executes anything.
        assert (await client.get("/graphql", params=document)).headers["content-type"] == "application/json"
        answer = await client.post("/graphql", json=document)
        assert answer.headers["content-type"].startswith("text/event-stream")
        stored.clear()
        app.state.graphql_schema.query_type.fields["a"].resolve = store
        assert "store" not in (await client.get("/graphql", params={"query": "{ a }"})).text
        assert stored == [1]


async def test_a_schema_that_the_app_replaces_is_the_one_that_counts() -> None:
    from fraiseql_guard.fraiseql import subscriptions

    app = subscriptions(host("n"))
    assert await events(app, "subscription { n }") == [{"data": {"n": 1}}, {"data": {"n": 2}}]
    # As FraiseQL does it when its schema is refreshed: routes of its path go, and new ones come.
    app.routes[:] = [route for route in app.routes if getattr(route, "path", None) != "/graphql"]
    serve(app, "m")
    assert await events(app, "subscription { m }") == [{"data": {"m": 1}}, {"data": {"m": 2}}]
    (refused,) = await events(app, "subscription { n }")
    assert "n" in refused["errors"][0]["message"]
    serve(app, "m", "type Query { a: Int }")  # there are none any more
    (refused,) = await events(app, "subscription { m }")
    assert refused["errors"]

"""The endpoint label: a known path or a route's template, with the prefix of the mounts that it is in."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from fraiseql_guard import Guard
from fraiseql_guard.asgi.mounts import MountPrefixes
from tests.support.asgi import EchoApp, graphql, request


async def answer(_: Any) -> PlainTextResponse:
    return PlainTextResponse("ok")


def pages() -> list[Route]:
    return [Route("/items/{id:int}", answer), Route("/", answer)]


def sub_app() -> FastAPI:
    app = FastAPI()

    @app.get("/items/{item}")
    async def item(item: str) -> str:
        return item

    return app


def mounting(inner: Any) -> Any:
    return Starlette(
        routes=[
            Route("/plain/{id}", answer),
            Mount("/static", EchoApp()),
            Mount("/v1", inner),
            Mount("/outer", routes=[Mount("/inner", inner), Mount("/files", EchoApp())]),
            Mount("/of/{tenant}", inner),
            Mount("/same/{id}", routes=[Route("/x/{name}", answer)]),
        ]
    )


LABELS = {
    "/plain/7": "/plain/{id}",
    "/static/a/b.css": "/static",
    "/v1/items/7": "/v1/items/{item}",
    "/outer/inner/items/7": "/outer/inner/items/{item}",
    "/outer/files/x": "/outer/files",
    "/of/acme/items/7": "/of/{tenant}/items/{item}",
    "/of/items/items/7": "/of/{tenant}/items/{item}",
    "/same/5/x/y": "/same/{id}/x/{name}",
}


def labels(guard: Any) -> set[str]:
    return {line["context"]["endpoint"] for line in guard.lines("http.request")}


@pytest.mark.parametrize(("path", "label"), LABELS.items())
async def test_a_route_s_template_has_its_mounts_in_front(guarded, path, label) -> None:
    guard = guarded(mounting(sub_app()))
    for _ in range(2):
        assert (await request(guard, "GET", path)).status == 200
    assert labels(guard) == {label}
    assert guard.metric("fraiseql_http_requests_total", endpoint=label) == 2


async def test_where_ids_are_handed_down_labels_are_the_same(guarded) -> None:
    import asgi_correlation_id  # noqa: F401 - with it in the process, the app gets a scope of its own

    guard = guarded(mounting(sub_app()))
    assert (await request(guard, "GET", "/outer/inner/items/7")).status == 200
    assert labels(guard) == {"/outer/inner/items/{item}"}


async def test_behind_a_proxy_s_prefix_the_label_has_none_of_it(guarded) -> None:
    guard = guarded(mounting(sub_app()))

    async def under(scope: Any, receive: Any, send: Any) -> None:
        await guard({**scope, "root_path": "/svc"}, receive, send)

    await request(under, "GET", "/svc/v1/items/7")
    assert labels(guard) == {"/v1/items/{item}"}


async def test_a_guard_inside_of_a_mount_keeps_the_prefix_too(tmp_path) -> None:
    """Two versions of an API, each with a guard of its own, are told apart."""
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry()

    def version() -> Starlette:
        guard = Middleware(Guard, registry=registry, log_file=tmp_path / "guard.log", metrics_networks="203.0.113.0/24")
        return Starlette(routes=[*pages(), Route("/graphql", answer, methods=["POST"])], middleware=[guard])

    app = Starlette(routes=[Mount("/v1", version()), Mount("/v2", version())])
    for prefix in ("/v1", "/v2"):
        assert (await graphql(app, "{ok}", path=f"{prefix}/graphql")).status == 200
        assert (await request(app, "GET", f"{prefix}/items/3")).status == 200
    text = (await request(app, "GET", "/v1/metrics")).body.decode()
    for label in ("/v1/graphql", "/v2/graphql", "/v1/items/{id:int}", "/v2/items/{id:int}"):
        assert f'fraiseql_http_requests_total{{endpoint="{label}",status="200",user_id="anonymous"}} 1.0' in text


async def test_a_path_that_is_configured_with_its_mount_has_it_once(tmp_path) -> None:
    guard = Middleware(Guard, log_file=tmp_path / "guard.log", graphql_paths="/v1/graphql")
    app = Starlette(
        routes=[Mount("/v1", Starlette(routes=[Route("/graphql", answer, methods=["POST"])], middleware=[guard]))],
    )
    assert (await graphql(app, "{ok}", path="/v1/graphql")).status == 200
    inner = app.routes[0].app.middleware_stack
    while not isinstance(inner, Guard):
        inner = inner.app
    text = inner.recorder.metrics.render().decode()
    assert 'endpoint="/v1/graphql"' in text
    assert "/v1/v1" not in text


@given(st.lists(st.text(alphabet="ab0", min_size=1, max_size=3), min_size=300, max_size=300))
def test_callers_cannot_make_up_more_labels_than_there_is_room_for(values) -> None:
    """Whatever a mount's parameter is like, also one that its route hides or that is written in another way."""
    mounts = MountPrefixes()
    found = set()
    for number, value in enumerate(values):
        unique = f"{value}{number}"
        found.add(mounts.of({"app_root_path": "", "root_path": f"/of/{unique}", "path_params": {"tenant": unique}}))
        found.add(mounts.of({"app_root_path": "", "root_path": f"/of/0{unique}", "path_params": {"tenant": unique}}))
        hidden = {"app_root_path": "", "root_path": f"/of/{unique}", "path_params": {"id": "another"}}
        found.add(mounts.of(hidden, "/x/{id}"))
    assert "/of/{tenant}" in found
    assert len(found) <= 101


def test_a_server_s_root_path_is_no_mount() -> None:
    assert MountPrefixes().of({"root_path": "/svc", "path_params": {}}) == ""
    assert MountPrefixes().of({"root_path": "/svc", "app_root_path": "/svc", "path_params": {}}) == ""

"""Paths over HTTP: what is refused everywhere, and what is found under mounts and root paths."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from fraiseql_guard import AuthMiddleware, Guard, MetricsMiddleware, QueryTimeoutMiddleware, RateLimitMiddleware
from tests.conftest import SECRET
from tests.support.asgi import LOOPBACK, graphql, request


@pytest.mark.parametrize("path", ["/graphql\n", "/page\n", "/metrics\n", "/a\x7fb", "/\x85"])
@pytest.mark.parametrize("middleware", [Guard, RateLimitMiddleware, QueryTimeoutMiddleware])
async def test_a_control_character_is_400_everywhere_and_reaches_no_app(guarded, path: str, middleware) -> None:
    guard = guarded(middleware=middleware)
    reply = await request(guard, "GET", path)
    assert (reply.status, reply.code) == (400, "PATH_INVALID")
    assert "control character" in reply.body.decode()
    assert not guard.app.scopes
    assert guard.metric("fraiseql_guard_refusals_total", code="PATH_INVALID") == 1
    assert guard.lines("guard.request_refused")[0]["context"]["code"] == "PATH_INVALID"


async def test_it_costs_a_token_and_a_block_comes_first(guarded) -> None:
    guard = guarded(middleware=RateLimitMiddleware, rate_limit_default="3/hour", rate_limit_burst=0)
    assert [(await request(guard, "GET", "/x\n")).status for _ in range(5)] == [400, 400, 400, 429, 429]


async def test_it_is_refused_in_the_name_of_whatever_enforces(guarded) -> None:
    watched = {f"mode_{each}": "monitor" for each in ("rate_limit", "query_limits", "timeout")}
    guard = guarded(jwt_secret=SECRET, **watched)
    assert (await request(guard, "GET", "/x\n")).status == 400
    assert guard.metric("fraiseql_guard_refusals_total", code="PATH_INVALID", protection="auth") == 1


async def test_in_monitor_mode_it_passes_and_is_noted(guarded) -> None:
    guard = guarded(mode="monitor")
    assert (await request(guard, "GET", "/x\n")).status == 200
    assert guard.metric("fraiseql_guard_would_refuse_total", code="PATH_INVALID") == 1


async def test_in_monitor_mode_no_spelling_opens_the_metrics(guarded) -> None:
    guard = guarded(mode="monitor")
    for path in ("/metrics", "/metrics\n", "//metrics", "/x/../metrics", "/metrics/"):
        assert (await request(guard, "GET", path)).status == 403
    assert not guard.app.scopes


async def test_a_path_without_a_bound_is_refused(guarded) -> None:
    guard = guarded()
    reply = await request(guard, "GET", "/" + "a" * 8_000)
    assert (reply.status, reply.code) == (400, "PATH_INVALID")
    assert (await request(guard, "GET", "/" + "a" * 7_999)).status == 200


@pytest.mark.parametrize("root", ["/svc", "/svc/", ""])
async def test_under_a_root_path_probes_are_free_and_our_pages_are_served(guarded, root: str) -> None:
    async def missing(scope, receive, send) -> None:
        await PlainTextResponse("no such page", 404)(scope, receive, send)

    guard = guarded(missing, rate_limit_default="2/hour", rate_limit_burst=0)
    under = root.rstrip("/")

    async def get(path: str):
        scope_paths = {"path": under + path, "raw_path": (under + path).encode(), "root_path": root}

        async def with_root(scope, receive, send) -> None:
            await guard({**scope, **scope_paths}, receive, send)

        return await request(with_root, "GET", "/", client=LOOPBACK)

    for _ in range(4):
        assert (await get("/health")).json == {"status": "ok"}
        assert b"fraiseql_http_requests_total" in (await get("/metrics")).body
        assert "memory" in (await get("/health/detailed")).json
    assert [(await get("/page")).status for _ in range(1)] == [404]


async def test_a_guard_in_a_mount_serves_its_pages_there(guarded) -> None:
    inner = guarded(metrics_path="/metrics")
    outer = Starlette(routes=[Mount("/api", inner.guard)])
    assert (
        b"# TYPE fraiseql_response_time_seconds" in (await request(outer, "GET", "/api/metrics", client=LOOPBACK)).body
    )
    assert (await graphql(outer, "{__schema{types{name}}}", path="/api/graphql")).code == "INTROSPECTION_DENIED"


async def test_the_metrics_of_the_app_itself_are_not_reached_by_any_spelling(guarded) -> None:
    app = Starlette(routes=[Route("/metrics", lambda _: PlainTextResponse("the app's own"))])
    guard = guarded(app, middleware=MetricsMiddleware)
    for path in ("/metrics", "//metrics", "/metrics\n", "/./metrics", "http://host/metrics"):
        reply = await request(guard, "GET", path)
        assert b"the app's own" not in reply.body


@pytest.mark.parametrize("path", ["//private", "/./private/x", "/a/../private", "/private;x", "http://h/private"])
async def test_auth_paths_are_found_under_every_spelling(guarded, path: str) -> None:
    guard = guarded(middleware=AuthMiddleware, jwt_secret=SECRET, auth_paths="/private")
    assert (await request(guard, "GET", path)).status == 401
    assert not guard.app.scopes

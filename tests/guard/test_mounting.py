"""Alone, stacked in any order, in a Starlette app: the guard is mounted once, or says why it cannot be."""

import itertools

import pytest
from graphql import build_schema
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from fraiseql_guard import (
    AuthMiddleware,
    Guard,
    MetricsMiddleware,
    QueryLimitMiddleware,
    QueryTimeoutMiddleware,
    RateLimitMiddleware,
    Settings,
    SettingsError,
)
from fraiseql_guard.testing import make_token
from tests.support.asgi import LOOPBACK, Connection, EchoApp, graphql, http_scope, request

SINGLES = [AuthMiddleware, MetricsMiddleware, QueryLimitMiddleware, QueryTimeoutMiddleware, RateLimitMiddleware]
DEEP = "{a" + "{a" * 30 + "}" * 31


@pytest.fixture
def variables(monkeypatch, tmp_path, secret) -> None:
    monkeypatch.setenv("FRAISEQL_JWT_SECRET", secret)
    monkeypatch.setenv("FRAISEQL_RATE_LIMIT_DEFAULT", "5/minute")
    monkeypatch.setenv("FRAISEQL_RATE_LIMIT_BURST", "0")
    monkeypatch.setenv("FRAISEQL_GUARD_LOG_FILE", str(tmp_path / "guard.log"))


async def statuses(app, secret) -> list[int]:
    token = make_token(secret, sub="alice")
    return [
        (await graphql(app, "{me{id}}", token=token)).status,
        (await graphql(app, "{me{id}}")).status,
        (await graphql(app, DEEP, token=token)).status,
        *[(await request(app, "GET", "/page", client=("198.51.100.9", 1))).status for _ in range(6)],
    ]


@pytest.mark.parametrize("order", list(itertools.permutations(SINGLES))[::17])
async def test_singles_stacked_in_any_order_are_one_guard(variables, secret, order) -> None:
    app = EchoApp()
    for middleware in order:
        app = middleware(app)
    assert await statuses(app, secret) == [200, 401, 400, 200, 200, 200, 200, 200, 429]
    metrics = await request(app, "GET", "/metrics", client=LOOPBACK)
    assert b'fraiseql_http_requests_total{endpoint="/graphql",status="200",user_id="alice"} 1.0' in metrics.body


async def test_the_whole_guard_does_the_same(variables, secret) -> None:
    assert await statuses(Guard(EchoApp()), secret) == [200, 401, 400, 200, 200, 200, 200, 200, 429]


@pytest.mark.parametrize(
    ("middleware", "expected"),
    [
        (RateLimitMiddleware, [200, 200, 200, 200, 200, 200, 200, 200, 429]),
        (AuthMiddleware, [200, 401, 200] + [200] * 6),
        (QueryLimitMiddleware, [200, 200, 400] + [200] * 6),
        (QueryTimeoutMiddleware, [200] * 9),
        (MetricsMiddleware, [200] * 9),
    ],
)
async def test_each_alone_does_its_own_and_nothing_else(variables, secret, middleware, expected) -> None:
    assert await statuses(middleware(EchoApp()), secret) == expected


async def test_a_single_one_leaves_other_bodies_alone(variables) -> None:
    app = EchoApp()
    for middleware in (RateLimitMiddleware, QueryTimeoutMiddleware, MetricsMiddleware):
        reply = await request(middleware(app), body=b"not json", content_type="text/plain")
        assert (reply.status, app.bodies[-1]) == (200, b"not json")


def test_settings_of_stacked_middlewares_are_joined() -> None:
    guard = QueryLimitMiddleware(RateLimitMiddleware(EchoApp(), rate_limit_default="7/minute"), max_query_depth=3)
    assert (str(guard.settings.rate_limit_default), guard.settings.max_query_depth) == ("7/minute", 3)


def test_settings_that_contradict_each_other_stop_the_start() -> None:
    with pytest.raises(SettingsError, match=r"QueryLimitMiddleware and RateLimitMiddleware.*rate_limit_burst"):
        QueryLimitMiddleware(RateLimitMiddleware(EchoApp(), rate_limit_burst=1), rate_limit_burst=2)
    with pytest.raises(SettingsError, match="registry"):
        QueryLimitMiddleware(RateLimitMiddleware(EchoApp(), registry=CollectorRegistry()), registry=CollectorRegistry())


async def test_an_injected_registry_is_used_and_left_clean_when_taken_over() -> None:
    registry = CollectorRegistry()
    guard = Guard(RateLimitMiddleware(EchoApp(), registry=registry))
    assert guard.registry is registry
    await graphql(guard, "{me{id}}")


async def starlette_app(**options) -> Starlette:
    async def endpoint(request: Request) -> JSONResponse:
        return JSONResponse({"data": {"user": request.user.display_name}})

    async def user(request: Request) -> JSONResponse:
        return JSONResponse({"id": request.path_params["id"]})

    app = Starlette(routes=[Route("/graphql", endpoint, methods=["GET", "POST"]), Route("/users/{id}", user)])
    app.add_middleware(Guard, **options)
    return app


async def test_in_a_starlette_app_by_add_middleware(variables, secret) -> None:
    app = await starlette_app()
    reply = await graphql(app, "{me{id}}", token=make_token(secret, sub="alice"))
    assert reply.json == {"data": {"user": "alice"}}
    assert (await graphql(app, "{me{id}}")).status == 401


async def test_endpoint_labels_are_templates_never_paths(variables) -> None:
    app = await starlette_app()
    await request(app, "GET", "/users/17", client=LOOPBACK)
    await request(app, "GET", "/secret/path", client=LOOPBACK)
    body = (await request(app, "GET", "/metrics", client=LOOPBACK)).body.decode()
    assert 'endpoint="/users/{id}"' in body
    assert 'endpoint="unknown",status="404"' in body
    assert "/users/17" not in body
    assert "secret/path" not in body


async def test_lifespan_passes_and_its_end_closes_the_guard(variables) -> None:
    events: list[str] = []

    async def lifespan(app):
        events.append("up")
        yield
        events.append("down")

    from contextlib import asynccontextmanager

    guard = Guard(Starlette(lifespan=asynccontextmanager(lifespan)))
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[str] = []

    async def receive():
        return messages.pop(0)

    async def send(message) -> None:
        sent.append(message["type"])

    await guard({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    assert (events, sent) == (["up", "down"], ["lifespan.startup.complete", "lifespan.shutdown.complete"])


async def test_cors_inside_is_warned_about(guarded) -> None:
    app = Starlette()
    app.add_middleware(CORSMiddleware)
    guard = guarded(app)
    await graphql(guard, "{me{id}}")
    assert any("CORSMiddleware" in line["context"]["detail"] for line in guard.lines("guard.configuration"))


async def test_lists_whose_size_nobody_knows_are_named_at_the_start(guarded) -> None:
    sdl = "type Query { users(limit: Int): [User] people: [User] me: User } type User { posts: [User] tags: [String] }"
    guard = guarded(schema=sdl)
    await graphql(guard, "{me{tags}}")
    (detail,) = [
        line["context"]["detail"]
        for line in guard.lines("guard.configuration")
        if "slicing" in line["context"]["detail"]
    ]
    assert "Query.people, User.posts" in detail
    assert "users" not in detail
    assert "tags" not in detail


async def test_the_start_is_logged_with_what_deserves_a_look(guarded, monkeypatch) -> None:
    monkeypatch.setenv("FRAISEQL_RATE_LIMIT_DEFUALT", "1/minute")
    guard = guarded()
    await graphql(guard, "{me{id}}")
    (started,) = guard.lines("guard.started")
    assert started["context"]["store"] == "memory"
    details = " ".join(line["context"]["detail"] for line in guard.lines("guard.configuration"))
    assert "FRAISEQL_REDIS_URL is not set" in details
    assert "did you mean FRAISEQL_RATE_LIMIT_DEFAULT" in details


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rate_limit_default": "often"}, ["rate_limit_default='often'", "Accepted", "100/minute"]),
        ({"jwt_secret": "short"}, ["jwt_secret=(secret)", "32 bytes"]),
        ({"max_query_dept": 3}, ["max_query_dept", "did you mean max_query_depth"]),
        ({"unsliced_lists": "refuse"}, ["FRAISEQL_GUARD_UNSLICED_LISTS", "schema"]),
        ({"trusted_proxies": "0.0.0.0/0"}, ["trusted_proxies", "twice"]),
    ],
)
def test_a_bad_option_stops_the_start_with_one_message(options, words) -> None:
    with pytest.raises(SettingsError) as caught:
        Guard(EchoApp(), **options)
    for word in words:
        assert word in str(caught.value)
    assert "short" not in str(caught.value) or "shorter" in str(caught.value)


def test_auth_alone_without_a_key_stops_the_start() -> None:
    with pytest.raises(SettingsError, match="FRAISEQL_JWT_SECRET"):
        AuthMiddleware(EchoApp())


def test_settings_can_be_given_as_a_value_and_options_win() -> None:
    settings = Settings.load({}, max_query_depth=4, rate_limit_burst=3)
    guard = Guard(EchoApp(), settings=settings, max_query_depth=5)
    assert (guard.settings.max_query_depth, str(guard.settings.rate_limit_burst)) == (5, "3")


async def test_unread_scope_keys_do_not_disturb(guarded) -> None:
    guard = guarded()
    scope = http_scope() | {"state": {}, "extensions": None}
    connection = Connection([b'{"query":"{me{id}}"}'])
    scope["headers"] = ((b"content-type", b"application/json"),)
    await guard(scope, connection.receive, connection.send)
    assert connection.reply.status == 200


SDL = "type Query { people: [Person!]! } type Person { id: ID status: Status } type Status { name: String }"


@pytest.mark.parametrize("mounted", ["around", "by add_middleware"])
async def test_the_schema_of_a_fraiseql_app_is_found_by_itself(mounted) -> None:
    app = await starlette_app(max_query_complexity=19) if mounted != "around" else Starlette()
    app.state.graphql_schema = build_schema(SDL)
    guard = Guard(app, max_query_complexity=19) if mounted == "around" else app
    refused = await graphql(guard, "{people{status{name}}}")
    assert (refused.code, refused.extensions["actual"]) == ("QUERY_TOO_COMPLEX", 20)  # without it: people is no plural

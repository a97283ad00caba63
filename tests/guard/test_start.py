"""What a guard says when it starts, and what it is when it cannot."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import trio
from graphql import build_schema
from prometheus_client import CollectorRegistry, Counter
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import JSONResponse
from starlette.routing import Route
from typer.testing import CliRunner

from fraiseql_guard import AuthMiddleware, Guard, MetricsMiddleware, QueryLimitMiddleware, RateLimitMiddleware
from fraiseql_guard.cli import app as command
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import Protection
from fraiseql_guard.core.surroundings import warnings_of
from fraiseql_guard.core.variables import SettingsError
from tests.support.asgi import EchoApp, graphql, request

SDL = "type Query { people(limit: Int): [Person!]! } type Person { id: ID }"


class Opaque:
    """A middleware that hides what it wraps."""

    def __init__(self, app: Any) -> None:
        self._inside = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._inside(scope, receive, send)


def host(middleware: Any = Guard, *, between: tuple[Any, ...] = (), **options: Any) -> tuple[Starlette, list[str]]:
    """A Starlette app that adds a guard, and what has reached it."""
    reached: list[str] = []

    async def page(asked: Any) -> JSONResponse:
        reached.append(asked.url.path)
        return JSONResponse({"data": {}})

    app = Starlette(routes=[Route("/graphql", page, methods=["GET", "POST"]), Route("/page", page)])
    for each in between:
        app.add_middleware(each)
    app.add_middleware(middleware, **options)
    return app, reached


async def start(app: Any) -> dict[str, Any]:
    """What a lifespan is answered first."""
    sent: list[dict[str, Any]] = []
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    return sent[0]


UNUSABLE = [
    ({"rate_limit_default": "often"}, "rate_limit_default='often'"),
    ({"max_query_dept": 3}, "did you mean max_query_depth"),
    ({"redis_url": "redis://:hunter2@h:port"}, "redis_url=(secret) has a port"),
    ({"schema": "nowhere.graphql"}, "schema=nowhere.graphql cannot be read"),
    ({"schema": 5}, "schema=int is no GraphQLSchema"),
    ({"schema": lambda: 1 / 0}, "ZeroDivisionError: division by zero"),
    ({"allow_list_file": "/nowhere/list.yml"}, "FRAISEQL_GUARD_ALLOW_LIST_FILE='/nowhere/list.yml'"),
    ({"jwks_file": "/nowhere/jwks.json"}, "FRAISEQL_GUARD_JWKS_FILE='/nowhere/jwks.json'"),
    ({"trusted_documents": "require"}, "FRAISEQL_GUARD_TRUSTED_DOCUMENTS"),
    ({"trusted_documents": "allow", "trusted_documents_file": "/nowhere.json"}, "'/nowhere.json' cannot be used"),
    ({"log_file": "/nowhere/guard.log"}, "FRAISEQL_GUARD_LOG_FILE='/nowhere/guard.log' cannot be opened"),
    ({"admin_scope": "operate"}, "FRAISEQL_GUARD_ADMIN_SCOPE='operate' needs a key"),
    ({"auth_paths": "/private"}, "FRAISEQL_GUARD_AUTH_PATHS='/private' needs a key"),
    ({"unsliced_lists": "refuse"}, "FRAISEQL_GUARD_UNSLICED_LISTS='refuse' needs a schema"),
]


@pytest.mark.parametrize(("options", "words"), UNUSABLE)
@pytest.mark.parametrize("between", [(), (Opaque,)])
async def test_what_cannot_be_built_by_add_middleware_stops_the_start(capfd, options, words, between) -> None:
    app, reached = host(between=between, **options)
    answer = await start(app)
    assert answer["type"] == "lifespan.startup.failed"
    assert answer["message"].startswith("fraiseql-guard: ")
    assert words in answer["message"]
    assert "hunter2" not in answer["message"]
    assert reached == []


@pytest.mark.parametrize(("options", "words"), UNUSABLE)
def test_the_same_by_hand_stops_the_import(options, words) -> None:
    with pytest.raises((SettingsError, ZeroDivisionError), match=r"division|[Aa]ccepted|Set|option|opened"):
        Guard(EchoApp(), **options)


async def test_without_a_lifespan_every_request_is_refused_and_the_reason_logged_once(tmp_path: Path) -> None:
    log = tmp_path / "guard.log"
    app, reached = host(rate_limit_default="often", log_file=log)
    for method, path in [("POST", "/graphql"), ("GET", "/page"), ("GET", "/metrics"), ("GET", "/health")] * 2:
        reply = await request(app, method, path)
        assert (reply.status, reply.code) == (503, "GUARD_MISCONFIGURED")
        assert b"often" not in reply.body
    assert reached == []
    (line,) = [json.loads(line) for line in log.read_text().splitlines()]
    assert (line["level"], line["event"]) == ("CRITICAL", "guard.start_failed")
    assert line["context"]["detail"].startswith("rate_limit_default='often' is not a rate limit")


@pytest.mark.parametrize("extension", [True, False])
async def test_no_socket_is_opened(extension) -> None:
    app, _ = host(rate_limit_default="often")
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/ws", "headers": [], "extensions": {}}
    if extension:
        scope["extensions"] = {"websocket.http.response": {}}
    await app(scope, None, send)
    assert sent[0]["type"] == ("websocket.http.response.start" if extension else "websocket.close")
    assert sent[0].get("status") == (503 if extension else None)


async def test_the_app_s_own_logger_hears_the_reason(caplog) -> None:
    app, _ = host(rate_limit_default="often", logger=logging.getLogger("mine"))
    await request(app, "GET", "/page")
    (record,) = [each for each in caplog.records if each.name == "mine"]
    assert record.levelname == "CRITICAL"
    assert "often" in record.context["detail"]


@pytest.mark.parametrize("bad_one", [RateLimitMiddleware, QueryLimitMiddleware])
async def test_one_of_several_that_cannot_be_built_stops_them_all(bad_one) -> None:
    app = Starlette()
    for each in (RateLimitMiddleware, QueryLimitMiddleware, MetricsMiddleware):
        app.add_middleware(each, **({"rate_limit_burst": "some"} if each is bad_one else {}))
    assert "rate_limit_burst='some'" in (await start(app))["message"]
    assert (await request(app, "GET", "/page")).code == "GUARD_MISCONFIGURED"


async def test_the_key_of_authentication_alone_is_missed_in_time() -> None:
    app, _ = host(AuthMiddleware)
    assert "FRAISEQL_JWT_SECRET" in (await start(app))["message"]


async def test_a_registry_that_holds_our_names_already() -> None:
    registry = CollectorRegistry()
    Counter("fraiseql_http_requests", "The app's own.", registry=registry)
    app, _ = host(registry=registry)
    assert (await start(app))["message"].startswith("fraiseql-guard: the given registry already holds")


async def test_a_schema_that_comes_with_the_app_is_waited_for() -> None:
    """By add_middleware it is met with the first scope: what needs one is decided then."""
    app, _ = host(unsliced_lists="refuse")
    app.state.graphql_schema = build_schema(SDL)
    assert (await start(app))["type"] == "lifespan.startup.complete"
    assert (await graphql(app, "{people{id}}")).code == "LIST_UNSLICED"
    assert (await graphql(app, "{people(limit:1){id}}")).status == 200


async def test_a_schema_that_never_came_is_missed_by_an_override_as_well(tmp_path: Path) -> None:
    overrides, log = tmp_path / "overrides.yml", tmp_path / "guard.log"
    overrides.write_text("settings: [{variable: FRAISEQL_GUARD_UNSLICED_LISTS, value: refuse}]")
    app, _ = host(overrides_file=overrides, log_file=log)
    assert (await graphql(app, "{people{id}}")).status == 200
    for _ in range(200):
        if log.exists() and "an override is ignored" in log.read_text():
            break
        await asyncio.sleep(0.05)
    assert "FRAISEQL_GUARD_UNSLICED_LISTS='refuse' needs a schema" in log.read_text()
    assert (await graphql(app, "{people{id}}")).status == 200


async def test_a_mounted_app_refuses_its_own_paths() -> None:
    """It is given no lifespan, so that it cannot stop the start."""
    inner, reached = host(rate_limit_default="often")
    outer, also = host(MetricsMiddleware)
    outer.mount("/api", inner)
    assert (await start(outer))["type"] == "lifespan.startup.complete"
    assert (await request(outer, "GET", "/api/page")).code == "GUARD_MISCONFIGURED"
    assert (await request(outer, "GET", "/page")).status == 200
    assert (reached, also) == ([], ["/page"])


def test_trio_is_no_place_for_the_guard(tmp_path: Path) -> None:
    log = tmp_path / "guard.log"
    for guard in (Guard(EchoApp(), log_file=log), host(log_file=log)[0]):
        assert trio.run(request, guard, "GET", "/page").code == "GUARD_MISCONFIGURED"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["guard.start_failed"] * 2
    assert "asyncio" in lines[0]["context"]["detail"]


async def test_a_good_start_is_none_of_this() -> None:
    app, reached = host()
    assert (await start(app))["type"] == "lifespan.startup.complete"
    assert (await request(app, "GET", "/page")).status == 200
    assert reached == ["/page"]


# --- sentences -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "environ", "words"),
    [
        ({}, {"FORWARDED_ALLOW_IPS": "*"}, ["FORWARDED_ALLOW_IPS=*", "FRAISEQL_GUARD_TRUSTED_PROXIES"]),
        ({}, {"FORWARDED_ALLOW_IPS": "10.0.0.1, 0.0.0.0/0"}, ["FORWARDED_ALLOW_IPS=0.0.0.0/0"]),
        ({"workers": 4}, {}, ["FRAISEQL_GUARD_WORKERS=4", "PROMETHEUS_MULTIPROC_DIR"]),
        ({"slow_query_seconds": 40}, {}, ["FRAISEQL_GUARD_SLOW_QUERY_SECONDS=40", "30 s", "FRAISEQL_QUERY_TIMEOUT"]),
        ({"memory_high_percent": 95}, {}, ["FRAISEQL_GUARD_MEMORY_CRITICAL_PERCENT=90"]),
        ({"max_body_bytes": 10**9}, {}, ["FRAISEQL_GUARD_MAX_BUFFERED_BYTES"]),
        ({"max_query_chars": 10**7}, {}, ["FRAISEQL_GUARD_MAX_BODY_BYTES"]),
        ({"list_multiplier": 2000}, {}, ["FRAISEQL_MAX_QUERY_COMPLEXITY"]),
        ({"metrics_path": "/graphql/metrics"}, {}, ["FRAISEQL_GUARD_METRICS_PATH=/graphql/metrics", "Move"]),
        ({"health_path": "/metrics"}, {}, ["FRAISEQL_GUARD_HEALTH_PATH", "Move"]),
        ({"admin_path": "/graphql", "admin_tokens": "a=" + "x" * 32}, {}, ["FRAISEQL_GUARD_ADMIN_PATH=/graphql"]),
        ({"tiers": "pro=9/minute", "jwt_issuer": "me"}, {}, ["FRAISEQL_GUARD_TIERS, FRAISEQL_GUARD_JWT_ISSUER"]),
        ({"introspection": "authenticated"}, {}, ["FRAISEQL_GUARD_INTROSPECTION", "FRAISEQL_JWT_SECRET"]),
        ({"overrides_file": "/nowhere/over.yml"}, {}, ["FRAISEQL_GUARD_OVERRIDES_FILE='/nowhere/over.yml'"]),
        ({"trusted_documents_file": "/some.json"}, {}, ["FRAISEQL_GUARD_TRUSTED_DOCUMENTS to allow or require"]),
    ],
)
def test_each_contradiction_is_one_sentence_with_its_remedy(options, environ, words) -> None:
    (sentence,) = warnings_of(Settings.load({}, **options), environ=environ)
    for word in words:
        assert word in sentence


@pytest.mark.parametrize(
    ("options", "environ"),
    [
        ({}, {}),
        ({}, {"FORWARDED_ALLOW_IPS": "10.0.0.1,127.0.0.1"}),
        ({"workers": 4}, {"PROMETHEUS_MULTIPROC_DIR": "/run/metrics"}),
        ({"workers": 16, "redis_url": "redis://127.0.0.1"}, {}),  # of all hosts: this one may have a single one
        ({"slow_query_seconds": 40, "mutation_timeout": 60}, {}),
        ({"slow_query_seconds": 30}, {}),
        ({"tiers": "pro=9/minute", "jwt_secret": "x" * 32}, {}),
    ],
)
def test_what_is_in_order_is_not_warned_about(options, environ) -> None:
    assert warnings_of(Settings.load({}, **options), environ=environ) == []


def test_workers_of_uvicorn_and_gunicorn_count_as_well(monkeypatch) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    (sentence,) = warnings_of(Settings.load({}))
    assert sentence.startswith("WEB_CONCURRENCY=3 ")
    assert warnings_of(Settings.load({}), frozenset({Protection.RATE_LIMIT})) == []  # no metrics, nothing lost
    fleet = Settings.load({}, workers=16, redis_url="redis://127.0.0.1")
    (sentence,) = warnings_of(fleet)
    assert sentence.startswith("WEB_CONCURRENCY=3 ")
    assert (fleet.worker_count, fleet.host_worker_count) == (16, 3)


def details(guard: Any) -> str:
    return " ".join(line["context"]["detail"] for line in guard.lines("guard.configuration"))


class BrotliMiddleware(Opaque):
    """Named like the package's."""

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.app = app


@pytest.mark.parametrize(
    ("options", "said"), [({}, True), ({"schema": SDL}, False), ({"list_fields": "people"}, False)], ids=str
)
async def test_a_schema_that_is_forgotten_is_missed_at_the_start(options, said, guarded) -> None:
    guard = guarded(EchoApp(), **options)
    await graphql(guard, "{ people { id } }")
    details = [line["context"]["detail"] for line in guard.lines("guard.configuration")]
    assert any(each.startswith("no schema is given: ") for each in details) is said


async def test_compression_inside_is_warned_about_and_outside_is_not(guarded) -> None:
    inside, _ = host(GZipMiddleware)
    guard = guarded(BrotliMiddleware(inside))
    await request(guard, "GET", "/page")
    assert "GZipMiddleware is mounted inside the guard" in details(guard)
    assert "BrotliMiddleware is mounted inside the guard" in details(guard)
    guard = guarded()
    await request(GZipMiddleware(guard), "GET", "/page")
    assert "GZipMiddleware" not in details(guard)


def test_the_command_says_the_same_and_refuses_what_cannot_be_used(monkeypatch) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    monkeypatch.setenv("FRAISEQL_GUARD_SLOW_QUERY_SECONDS", "40")
    done = CliRunner().invoke(command, ["config"])
    assert done.exit_code == 0
    assert "warning: FORWARDED_ALLOW_IPS=*" in done.stderr
    assert "warning: FRAISEQL_GUARD_SLOW_QUERY_SECONDS=40" in done.stderr
    monkeypatch.setenv("FRAISEQL_REDIS_URL", "rediss://:hunter2@h?ssl_ca_certs=/nowhere/ca.pem")
    refused = CliRunner().invoke(command, ["config"])
    assert refused.exit_code == 2
    assert refused.stderr.startswith("FRAISEQL_REDIS_URL=(secret) names ssl_ca_certs that cannot be used: No such file")
    assert "hunter2" not in refused.output

"""Guards around guards: one request, one answer, and what the app between and inside of them finds."""

from __future__ import annotations

import asyncio
import json
from hashlib import sha256
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from fraiseql_guard import AuthMiddleware, Guard, QueryTimeoutMiddleware, RateLimitMiddleware, guard_deadline, logins
from fraiseql_guard.core.request import current
from fraiseql_guard.testing import make_token
from tests.support.asgi import Connection, EchoApp, Reply, graphql, http_scope, request
from tests.support.nesting import Between, hidden

OTHER_SECRET = "another-hmac-secret-of-thirty-two-bytes-or-more"
RATE_HEADERS = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit", "ratelimit-policy")


def told_once(reply: Reply) -> dict[str, str | None]:
    """Our headers; an assertion fails if one of them is there twice."""
    return {name: reply.header(name) for name in ("x-request-id", "retry-after", *RATE_HEADERS)}


# --- identity --------------------------------------------------------------------------------------------------------


class Shows:
    """Answers with the user that it finds, and hands the request on if it wraps an app."""

    def __init__(self, app: Any = None) -> None:
        self.app = app
        self.seen: list[tuple[str, str]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        def user() -> str:
            return scope["user"].display_name if "user" in scope else "nobody"

        before = user()
        if self.app is not None:
            await self.app(scope, receive, send)
        else:
            await EchoApp(answer={"user": before})(scope, receive, send)
        self.seen.append((before, user()))


async def test_the_app_sees_the_innermost_guard_s_user(secret) -> None:
    """Two keys: the outer guard takes the token of the one for no token at all."""
    inner = Shows()
    between = Shows(Guard(inner, jwt_secret=OTHER_SECRET))
    outer = Guard(between, jwt_secret=secret, graphql_paths="/elsewhere")
    assert (await graphql(outer, "{me}", token=make_token(OTHER_SECRET, sub="bob"))).json == {"user": "bob"}
    assert (await graphql(outer, "{me}", token=make_token(secret, sub="ada"))).status == 401


@pytest.mark.parametrize("inner", [RateLimitMiddleware, QueryTimeoutMiddleware])
async def test_a_guard_that_does_not_authenticate_leaves_the_user_as_it_is(inner, secret) -> None:
    app = Guard(Between(inner(Shows())), jwt_secret=secret)
    assert (await graphql(app, "{me}", token=make_token(secret, sub="ada"))).json == {"user": "ada"}


# --- one answer ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrapped", [Between, hidden])
async def test_headers_are_told_once_and_those_of_the_scarcest_bucket(wrapped) -> None:
    inner = RateLimitMiddleware(EchoApp(), rate_limit_default="1000/minute", rate_limit_burst=0)
    app = Guard(wrapped(inner), rate_limit_default="10/minute", rate_limit_burst=0)
    scarce_outside = told_once(await graphql(app, "{me}"))
    assert (scarce_outside["x-ratelimit-limit"], scarce_outside["x-ratelimit-remaining"]) == ("10", "9")
    inner = RateLimitMiddleware(EchoApp(), rate_limit_default="10/minute", rate_limit_burst=0)
    app = Guard(wrapped(inner), rate_limit_default="1000/minute", rate_limit_burst=0)
    scarce_inside = told_once(await graphql(app, "{me}"))
    assert (scarce_inside["x-ratelimit-limit"], scarce_inside["x-ratelimit-remaining"]) == ("10", "9")


async def test_a_refusal_has_one_id_and_the_numbers_of_what_has_refused(secret) -> None:
    inner = Guard(EchoApp(), rate_limit_default="1/hour", rate_limit_burst=0, jwt_secret=secret)
    app = Guard(Between(inner), rate_limit_default="3/minute", rate_limit_burst=0)
    missing = await graphql(app, "{me}")
    assert missing.extensions["requestId"] == told_once(missing)["x-request-id"]
    short = await graphql(app, "{me}")
    headers = told_once(short)
    assert (short.code, short.extensions["requestId"]) == ("RATE_LIMITED", headers["x-request-id"])
    assert (headers["x-ratelimit-limit"], headers["x-ratelimit-remaining"]) == ("1", "0")
    assert 3590 <= int(headers["retry-after"] or 0) <= 3600


async def test_lines_of_both_name_the_request_by_one_id(guarded, secret) -> None:
    inner = guarded(jwt_secret=secret)
    outer = guarded(Between(inner.guard), mode="monitor", max_query_depth=1)
    reply = await graphql(outer, "{me{id{a}}}")
    (refused,), (would,) = inner.lines("security.auth_failure"), outer.lines("graphql.expensive_query")
    ids = {line["context"]["request_id"] for line in (refused, would)}
    assert ids == {reply.header("x-request-id")}
    assert refused["trace_id"] == would["trace_id"]


# --- bodies ----------------------------------------------------------------------------------------------------------


async def test_the_body_reaches_the_app_byte_for_byte() -> None:
    app = EchoApp()
    guard = Guard(Between(Guard(hidden(RateLimitMiddleware(app)))))
    body = b'{"query": "{me}",   "variables": {"x": "' + b"y" * 5000 + b'"}}'
    assert (await request(guard, chunks=[body[:7], b"", body[7:900], body[900:]])).status == 200
    assert (
        await request(guard, "POST", "/upload", chunks=[b"a" * 100_000] * 3, content_type="text/plain")
    ).status == 200
    assert app.bodies == [body, b"a" * 300_000]


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_document_by_name_is_put_in_once_and_measured_twice(method) -> None:
    app, text = EchoApp(), "{ me { id } }"
    guard = Guard(Between(Guard(app, apq=True)), apq=True)
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": sha256(text.encode()).hexdigest()}}
    assert (await request(guard, body=json.dumps({"query": text, "extensions": extensions}).encode())).status == 200
    if method == "POST":
        asked = await request(guard, body=json.dumps({"extensions": extensions}).encode())
        assert json.loads(app.bodies[-1])["query"] == text
    else:
        asked = await request(guard, "GET", query=f"extensions={json.dumps(extensions)}", body=None)
        assert b"query=" in app.scopes[-1]["query_string"]
    assert asked.status == 200


async def test_a_body_that_is_too_long_for_either_is_refused() -> None:
    for outer, inner in ((100, 10_000), (10_000, 100)):
        guard = Guard(Between(Guard(EchoApp(), max_body_bytes=inner)), max_body_bytes=outer)
        assert (await graphql(guard, "{me}" + " " * 200)).status == 413
        streamed = Guard(Between(Guard(EchoApp(), max_request_bytes=inner)), max_request_bytes=outer)
        reply = await request(streamed, path="/upload", chunks=[b"x" * 60] * 4, content_type="text/plain")
        assert reply.status == 413


# --- time ------------------------------------------------------------------------------------------------------------

LONG = 30.0


@pytest.mark.parametrize(("outer", "inner"), [(0.1, LONG), (LONG, 0.1), (0.1, 0.1)])
@pytest.mark.parametrize("wrapped", [Between, hidden])
async def test_the_tighter_deadline_wins(outer, inner, wrapped) -> None:
    app = EchoApp(seconds=LONG)
    guard = Guard(wrapped(Guard(app, query_timeout=inner)), query_timeout=outer)
    reply = await graphql(guard, "{me}")
    assert (reply.status, reply.code, app.stopped) == (504, "QUERY_TIMEOUT", 1)
    assert reply.extensions["limit"] == 0.1
    assert asyncio.current_task().cancelling() == 0


@pytest.mark.parametrize(("outer", "inner"), [(5.0, LONG), (LONG, 5.0), (None, 5.0), (5.0, None)])
async def test_the_app_is_told_of_the_tighter_deadline(outer, inner) -> None:
    found: list[float | None] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.append(guard_deadline(scope))
        await EchoApp()(scope, receive, send)

    def bound(app: Any, seconds: float | None) -> Any:
        return RateLimitMiddleware(app) if seconds is None else QueryTimeoutMiddleware(app, query_timeout=seconds)

    assert (await graphql(bound(Between(bound(app, inner)), outer), "{me}")).status == 200
    assert found[0] is not None
    assert 0 < found[0] <= 5.0


async def test_a_client_that_leaves_stops_the_work_once() -> None:
    app, connection = EchoApp(seconds=LONG), Connection([b'{"query":"{me}"}'])
    guard = Guard(Between(Guard(app)))
    running = asyncio.create_task(graphql(guard, "{me}", connection=connection))
    for _ in range(1000):
        await asyncio.sleep(0.01)
        if app.bodies:
            break
    connection.leave()
    await asyncio.wait_for(running, LONG)
    assert (app.stopped, running.cancelled()) == (1, False)


# --- what the app is told while it works -----------------------------------------------------------------------------


async def test_the_app_around_a_guard_finds_its_own_request_again(secret) -> None:
    """Before and after the inner one, whatever became of it, and whether it was reached by this scope or a new one."""
    seen: list[tuple[Any, Any]] = []

    async def around(scope: Any, receive: Any, send: Any) -> None:
        before = (current(), logins(scope), guard_deadline(scope) is None)
        if scope["path"] == "/new":
            await graphql(inner, "{me}", token=make_token(secret, sub="ada"))
            await EchoApp()(scope, receive, send)
        else:
            await inner(scope, receive, send)
        seen.append((before, (current(), logins(scope), guard_deadline(scope) is None)))

    inner = Guard(EchoApp(), jwt_secret=secret)
    outer = Guard(around, graphql_paths="/elsewhere")
    for path, token in (("/graphql", None), ("/graphql", make_token(secret, sub="ada")), ("/new", None)):
        await graphql(outer, "{me}", path=path, token=token)
        before, after = seen.pop()
        assert before == after
        assert before[0] is not None
    assert current() is None


async def test_logins_are_reported_to_the_innermost_guard() -> None:
    async def login(request: Any) -> JSONResponse:
        await logins(request).failed("ada")
        return JSONResponse({"locked": await logins(request).locked("ada") is not None})

    main = Starlette(routes=[Mount("/api", Guard(Starlette(routes=[Route("/login", login)]), lockout_offences=2))])
    outer = Guard(main, lockout_offences=50)
    assert [(await request(outer, "GET", "/api/login")).json["locked"] for _ in range(3)] == [False, True, True]


# --- the start and the end -------------------------------------------------------------------------------------------


async def live(app: Any) -> list[str]:
    """One lifespan, in which something may be asked."""
    messages, sent = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}], []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])
        if message["type"] == "lifespan.startup.complete":
            await graphql(app, "{me}", path="/api/graphql")

    await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    return sent


def said(guard: Any) -> list[str]:
    details = [line["context"]["detail"] for line in guard.lines("guard.configuration")]
    return [detail.split(" guard the same app")[0] for detail in details if "guard the same app" in detail]


async def test_both_start_and_end_with_the_lifespan_and_one_line_names_them(guarded) -> None:
    inner = guarded(Starlette(), RateLimitMiddleware)
    outer = guarded(Between(inner.guard))
    assert await live(outer) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert [len(each.lines("guard.started")) for each in (outer, inner)] == [1, 1]
    assert said(outer) == ["Guard and RateLimitMiddleware"]
    assert said(inner) == []
    assert len(inner.lines("http.request")) == 0  # it counts no plain metrics
    assert len(outer.lines("http.request")) == 1


@pytest.mark.parametrize("shown", [True, False])
async def test_a_guard_that_is_told_of_no_lifespan_ends_with_the_one_around_it(guarded, shown) -> None:
    """Starlette tells what it mounts of none."""
    inner = guarded()
    outer = guarded(Starlette(routes=[Mount("/api", inner.guard if shown else hidden(inner.guard))]))
    before = asyncio.all_tasks()
    await live(outer)
    assert [line["context"]["endpoint"] for line in inner.lines("http.request")] == ["/api/graphql"]
    assert said(outer) == ["Guard and Guard"]
    assert asyncio.all_tasks() <= before


async def test_what_is_declared_is_named_before_anything_is_asked(guarded) -> None:
    app = Starlette(
        routes=[
            Mount("/api", Guard(EchoApp())),
            Route("/tight", EchoApp(), middleware=[]),
            Mount("/more", routes=[Mount("/deep", hidden(EchoApp())), Mount("/x", AuthMiddleware(Starlette(), **KEY))]),
        ]
    )
    outer = guarded(app)

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(_message: Any) -> None:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await outer({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)
    assert said(outer) == ["Guard and Guard", "Guard and AuthMiddleware"]
    main = Starlette()
    main.add_middleware(RateLimitMiddleware)
    main.add_middleware(AuthMiddleware, **KEY)
    around = guarded(main)
    await around(http_scope("GET", "/x"), Connection([]).receive, Connection([]).send)
    assert said(around) == ["Guard and AuthMiddleware + RateLimitMiddleware"]


KEY = {"jwt_secret": OTHER_SECRET}

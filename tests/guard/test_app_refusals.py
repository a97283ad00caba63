"""The app's own refusals are failed authentications too: its 401 and 403, and codes in its GraphQL errors."""

import pytest
from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route

from fraiseql_guard import Guard
from fraiseql_guard.testing import make_token
from tests.support.asgi import EchoApp, graphql, request

FAILURES = "fraiseql_auth_failures_total"
OURS = "fraiseql_guard_auth_failures_total"


def error(code: object, **more: object) -> dict[str, object]:
    return {"errors": [{"message": "no", "extensions": {"code": code}}], "data": None} | more


def reasons(guard) -> dict[str, float]:
    found = {}
    for reason in ("missing_token", "invalid_token", "insufficient_permissions"):
        assert guard.metric(FAILURES, failure_reason=reason) == guard.metric(OURS, failure_reason=reason)
        if count := guard.metric(OURS, failure_reason=reason):
            found[reason] = count
    return found


@pytest.mark.parametrize(
    ("status", "answer", "known", "anonymous"),
    [
        (403, {"detail": "no"}, "insufficient_permissions", "insufficient_permissions"),
        (401, {"detail": "who?"}, "insufficient_permissions", "missing_token"),
        (200, error("FORBIDDEN"), "insufficient_permissions", "insufficient_permissions"),
        (200, error("UNAUTHENTICATED"), "insufficient_permissions", "missing_token"),
        (400, error("FORBIDDEN"), "insufficient_permissions", "insufficient_permissions"),
        (200, [{"data": {"a": 1}}, error("FORBIDDEN")], "insufficient_permissions", "insufficient_permissions"),
        (200, error("FORBIDDEN", data={"all": "x" * 200_000}), "insufficient_permissions", "insufficient_permissions"),
        (200, {"data": {"all": "x" * 200_000}} | error("FORBIDDEN"), *["insufficient_permissions"] * 2),
        (200, error("NOT_FOUND"), None, None),
        (200, error(["FORBIDDEN"]), None, None),
        (200, {"errors": ["FORBIDDEN", None, {"extensions": "FORBIDDEN"}]}, None, None),
        (200, {"data": {"text": '"errors":[{"extensions":{"code":"FORBIDDEN"}}]'}}, None, None),
        (200, {"data": {"errors": [{"extensions": {"code": "FORBIDDEN"}}]}}, None, None),
        (404, {"detail": "no"}, None, None),
        (500, {"detail": "no"}, None, None),
    ],
)
async def test_what_the_app_answers_tells_why(guarded, secret, status, answer, known, anonymous) -> None:
    guard = guarded(EchoApp(status=status, answer=answer), jwt_secret=secret, auth_required=False)
    reply = await graphql(guard, "{me{id}}", token=make_token(secret, sub="alice"))
    assert (reply.status, reply.json) == (status, answer)
    assert reasons(guard) == ({known: 1} if known else {})
    assert guard.metric(FAILURES, user_id="alice", ip_address="203.0.113.7") == bool(known)
    for line in guard.lines("security.auth_failure"):
        assert line["context"]["failure_reason"] == known
        assert (line["context"]["user_id"], line["context"]["status"]) == ("alice", status)
    assert (await graphql(guard, "{me{id}}")).status == status
    assert len(guard.lines("security.auth_failure")) == bool(known) + bool(anonymous)
    assert guard.metric(FAILURES, user_id="anonymous") == bool(anonymous)
    if anonymous:
        assert guard.lines("security.auth_failure")[-1]["context"]["failure_reason"] == anonymous


async def test_it_is_never_punished(guarded, secret) -> None:
    guard = guarded(EchoApp(answer=error("FORBIDDEN")), jwt_secret=secret, auth_required=False)
    token = make_token(secret, sub="alice")
    for caller in ({"token": token}, {}) * 40:
        assert (await graphql(guard, "{me{id}}", **caller)).status == 200
    assert reasons(guard) == {"insufficient_permissions": 80}
    assert guard.metric("fraiseql_guard_sanctions_total") == 0
    assert guard.metric("fraiseql_guard_refusals_total") == 0  # it was not the guard that refused


async def test_a_wrong_password_of_a_public_operation_is_no_missing_token(guarded, secret) -> None:
    guard = guarded(EchoApp(answer=error("UNAUTHENTICATED")), jwt_secret=secret, public_operations="login")
    assert (await graphql(guard, "mutation{login{token}}")).status == 200
    assert reasons(guard) == {}


async def test_other_paths_count_where_they_need_a_token(guarded, secret) -> None:
    guard = guarded(EchoApp(status=403), jwt_secret=secret, auth_paths="/api")
    token = make_token(secret, sub="alice")
    for path in ("/api", "/api/users", "/apis", "/page"):
        assert (await request(guard, "GET", path, token=token)).status == 403
    assert reasons(guard) == {"insufficient_permissions": 2}


async def test_without_authentication_nobody_counts(guarded) -> None:
    guard = guarded(EchoApp(status=403, answer=error("FORBIDDEN")))
    assert (await graphql(guard, "{me{id}}")).status == 403
    assert reasons(guard) == {}


async def test_monitor_mode_counts_what_the_app_really_refused_once(guarded, secret) -> None:
    guard = guarded(EchoApp(answer=error("UNAUTHENTICATED")), jwt_secret=secret, mode="monitor")
    await graphql(guard, "{me{id}}", token="a.b.c")  # said as what enforcing would have refused
    assert reasons(guard) == {}
    await graphql(guard, "{me{id}}", token=make_token(secret, sub="alice"))
    assert reasons(guard) == {"insufficient_permissions": 1}


async def test_a_stream_goes_by_untouched(guarded, secret) -> None:
    parts = [b"--x\r\n", b'{"errors":[{"extensions":{"code":"FORBIDDEN"}}]}', b"\r\n--x--"]

    async def stream(request: Request) -> StreamingResponse:
        async def pieces():
            for part in parts:
                yield part

        return StreamingResponse(pieces(), media_type="multipart/mixed")

    guard = guarded(Starlette(routes=[Route("/graphql", stream, methods=["POST"])]), jwt_secret=secret)
    reply = await graphql(guard, "{me{id}}", token=make_token(secret, sub="alice"))
    assert [message["body"] for message in reply.messages[1:] if message["body"]] == parts
    assert reasons(guard) == {}


# --- Starlette's own words for who is asking -------------------------------------------------------------------------


@requires(["authenticated", "write"])
async def write(request: Request) -> JSONResponse:
    return JSONResponse({"user": request.user.display_name, "tenant": request.user.claims.get("tenant")})


@requires("authenticated", status_code=401)
async def read(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{request.user.identity} {request.user.is_authenticated}")


async def home(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{request.user.display_name!r} {request.user.is_authenticated} {request.auth.scopes}")


@pytest.fixture
def starlette(guarded, secret):
    """An app whose routes say by Starlette's means who may ask."""
    routes = [Route("/api/write", write, methods=["GET"]), Route("/api/read", read), Route("/", home)]
    return guarded(Starlette(routes=routes), jwt_secret=secret, auth_paths="/api", auth_required=False)


async def test_starlettes_requires_understands_the_identity(starlette, secret) -> None:
    writer = make_token(secret, sub="alice", scope="read write", tenant="acme")
    reader = make_token(secret, sub="bob", scope="read")
    allowed = await request(starlette, "GET", "/api/write", token=writer)
    assert (allowed.status, allowed.json) == (200, {"user": "alice", "tenant": "acme"})
    assert (await request(starlette, "GET", "/api/read", token=reader)).body == b"bob True"


async def test_where_no_token_is_needed_starlette_sees_an_anonymous_caller(starlette) -> None:
    assert (await request(starlette, "GET", "/")).body == b"'' False []"
    assert (await request(starlette, "GET", "/", token="a.b.c")).body == b"'' False []"


async def test_what_starlettes_requires_refuses_tells_why(starlette, secret) -> None:
    guard, reader = starlette, make_token(secret, sub="bob", scope="read")
    assert (await request(guard, "GET", "/api/write", token=reader)).status == 403
    assert (await request(guard, "GET", "/api/read")).status == 401
    assert reasons(guard) == {"insufficient_permissions": 1, "missing_token": 1}
    (forbidden, missing) = guard.lines("security.auth_failure")
    assert (forbidden["context"]["user_id"], missing["context"]["user_id"]) == ("bob", "anonymous")


async def test_add_middleware_inside_out_shows_the_identity_too(secret) -> None:
    app = Starlette(routes=[Route("/api/read", read)])
    app.add_middleware(Guard, jwt_secret=secret, auth_paths="/api")
    assert (await request(app, "GET", "/api/read", token=make_token(secret, sub="alice"))).body == b"alice True"

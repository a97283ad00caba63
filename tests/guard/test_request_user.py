"""Who the app finds as its user: the token's, else the one that the host's own middleware has found."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from fraiseql_guard import Guard, RateLimitMiddleware
from fraiseql_guard.testing import make_token
from tests.asgi.routers import configure_django
from tests.support.asgi import EchoApp, graphql, http_scope, request

OPEN = {"auth_required": False}
SESSION = {"cookie": "session=bob"}


class Sessions(AuthenticationBackend):
    """The host's own: a cookie says who it is."""

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser] | None:
        name = conn.cookies.get("session")
        return (AuthCredentials(["by_session"]), SimpleUser(name)) if name else None


async def me(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{request.user.display_name} {' '.join(request.auth.scopes)}".strip())


def outside(**options: Any) -> Any:
    """The host's middleware around the guard."""
    app = Starlette(routes=[Route("/graphql", me, methods=["GET", "POST"])])
    return AuthenticationMiddleware(Guard(app, **options), backend=Sessions())


def inside(**options: Any) -> Any:
    """The host's middleware in the app that the guard stands in front of."""
    own = [Middleware(AuthenticationMiddleware, backend=Sessions())]
    return Guard(Starlette(routes=[Route("/graphql", me, methods=["GET", "POST"])], middleware=own), **options)


def added(**options: Any) -> Any:
    """Both added to one app, the host's further outside."""
    own = [Middleware(AuthenticationMiddleware, backend=Sessions()), Middleware(Guard, **options)]
    return Starlette(routes=[Route("/graphql", me, methods=["GET", "POST"])], middleware=own)


async def asked(app: Any, **more: Any) -> str:
    reply = await graphql(app, "{me}", **more)
    assert reply.status == 200
    return reply.body.decode()


@pytest.mark.parametrize("mount", [outside, inside, added])
async def test_without_a_key_the_hosts_user_stays(mount: Callable[..., Any]) -> None:
    assert await asked(mount(), headers=SESSION) == "bob by_session"
    assert await asked(mount()) == ""


@pytest.mark.parametrize("options", [{}, {"mode": "off"}, {"mode": "monitor"}])
@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_before_a_key_is_set_every_caller_is_anonymous(guarded: Any, options: dict[str, Any], kind: str) -> None:
    seen = await scope_of(guarded(EchoApp(), **options), kind)
    assert (seen["user"].display_name, seen["user"].is_authenticated, seen["auth"].scopes) == ("", False, [])


async def test_a_protection_that_is_not_about_users_shows_none(guarded: Any) -> None:
    assert "user" not in await scope_of(guarded(EchoApp(), middleware=RateLimitMiddleware), "http")


async def scope_of(guard: Any, kind: str) -> Any:
    """The scope that the app behind a guard is given."""

    async def receive() -> Any:
        return {"type": "http.request" if kind == "http" else "websocket.connect"}

    async def send(message: Any) -> None:
        pass

    await guard({**http_scope("GET", "/page"), "type": kind}, receive, send)
    (seen,) = guard.app.scopes
    return seen


@pytest.mark.parametrize("mount", [outside, inside, added])
async def test_who_sends_no_token_is_who_the_host_has_found(mount: Callable[..., Any], secret: str) -> None:
    app = mount(jwt_secret=secret, **OPEN)
    assert await asked(app, headers=SESSION) == "bob by_session"
    assert await asked(app) == ""


@pytest.mark.parametrize("mount", [outside, added])
async def test_a_token_goes_before_a_session_outside(mount: Callable[..., Any], secret: str) -> None:
    app = mount(jwt_secret=secret, **OPEN)
    token = make_token(secret, sub="alice", scope="read")
    assert await asked(app, headers=SESSION, token=token) == "alice authenticated read"


async def test_what_stands_inside_has_the_last_word(secret: str) -> None:
    app = inside(jwt_secret=secret, **OPEN)
    assert await asked(app, headers=SESSION, token=make_token(secret, sub="alice")) == "bob by_session"


async def test_a_session_is_no_token(secret: str) -> None:
    assert (await graphql(outside(jwt_secret=secret), "{me}", headers=SESSION)).status == 401
    bad = await graphql(outside(jwt_secret=secret, **OPEN), "{me}", headers=SESSION, token="not.a.token")
    assert bad.status == 401


async def test_a_guard_inside_says_who_a_guard_outside_has_verified_for_it(secret: str) -> None:
    """Of two guards with keys of their own the inner one's word counts, also where it knows no one."""
    app = Starlette(routes=[Route("/graphql", me, methods=["POST"])])
    other = "another-secret-of-at-least-thirty-two-bytes"
    inner = Starlette(middleware=[Middleware(Guard, jwt_secret=other, auth_required=False, graphql_paths="/else")])
    inner.mount("/", app)
    outer = Guard(inner, jwt_secret=secret)
    assert await asked(outer, token=make_token(secret, sub="alice")) == ""


class Lazy:
    """A user that would be loaded if anything were asked of it."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"asked for {name}")


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_a_lazy_user_is_not_loaded(guarded: Any, secret: str, kind: str) -> None:
    user, auth = Lazy(), object()
    guard = guarded(EchoApp(), jwt_secret=secret, **OPEN)
    scope = {**http_scope("GET", "/page"), "type": kind, "user": user, "auth": auth}

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        pass

    await guard(scope, receive, send)
    (seen,) = guard.app.scopes
    assert seen["user"] is user
    assert seen["auth"] is auth


def fastapi_app() -> Any:
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/me")
    async def who(request: Request) -> Any:
        return PlainTextResponse(f"user: {request.user.display_name}")

    return app


def litestar_app() -> Any:
    litestar = pytest.importorskip("litestar")

    async def who(request: Any) -> str:
        return f"user: {request.user.display_name}"

    who.__annotations__["request"] = litestar.Request
    return litestar.Litestar([litestar.get("/me", media_type="text/plain")(who)], openapi_config=None)


def quart_app() -> Any:
    quart = pytest.importorskip("quart")
    app = quart.Quart("users")

    async def who() -> str:
        return f"user: {quart.request.scope['user'].display_name}"

    app.add_url_rule("/me", "who", who)
    return app


@pytest.mark.parametrize("make", [fastapi_app, litestar_app, quart_app])
async def test_other_frameworks_find_it_too(make: Callable[[], Any], secret: str) -> None:
    guard = Guard(make(), jwt_secret=secret, **OPEN)
    reply = await request(guard, "GET", "/me", token=make_token(secret, sub="alice"))
    assert (reply.status, reply.body) == (200, b"user: alice")
    assert (await request(guard, "GET", "/me")).body == b"user: "


async def _to_django(request: Any) -> Any:
    from django.http import HttpResponse

    return HttpResponse(f"user: {request.user.display_name}")


def take_over_user(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A middleware for Django: the guard's user is Django's."""

    async def middleware(request: Any) -> Any:
        request.user = request.scope["user"]
        return await get_response(request)

    return middleware


async def test_a_middleware_of_django_takes_the_user_over(secret: str) -> None:
    pytest.importorskip("django")
    configure_django()
    from django.core.handlers.asgi import ASGIHandler
    from django.test.utils import override_settings
    from django.urls import path
    from django.utils.decorators import async_only_middleware

    urls = ModuleType("tests_django_users")
    urls.urlpatterns = [path("me", _to_django)]  # type: ignore[attr-defined]
    sys.modules["tests_django_users"] = urls
    async_only_middleware(take_over_user)
    with override_settings(ROOT_URLCONF="tests_django_users", MIDDLEWARE=[f"{__name__}.take_over_user"]):
        guard = Guard(ASGIHandler(), jwt_secret=secret, **OPEN)
        reply = await request(guard, "GET", "/me", token=make_token(secret, sub="alice"))
        assert (reply.status, reply.body) == (200, b"user: alice")
        assert (await request(guard, "GET", "/me")).body == b"user: "

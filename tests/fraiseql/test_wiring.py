"""Who FraiseQL's user is and on which pool it works, as its context says: the guard's, or an auth provider's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from fraiseql_guard.testing import make_token
from tests.support.asgi import graphql, request
from tests.support.processes import needs_fraiseql

pytestmark = needs_fraiseql

SECRET = "a-secret-for-these-tests-of-32-bytes"
PROVIDED = "known to the provider"


@pytest.fixture(autouse=True)
def _fraiseql_put_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from fraiseql.audit import set_security_logger
    from fraiseql.fastapi import dependencies

    for name in ("_db_pool", "_auth_provider"):
        monkeypatch.setattr(dependencies, name, None)
    dependencies.set_db_pool(new_pool())
    yield
    set_security_logger(None)


def new_pool() -> Any:
    from psycopg_pool import AsyncConnectionPool

    return AsyncConnectionPool("postgresql://127.0.0.1:1/nobody", open=False)


def provider() -> Any:
    """Knows one token, whatever its signature."""
    from fraiseql.auth.base import UserContext

    class Provider:
        async def get_user_from_token(self, token: str) -> UserContext:
            if token != PROVIDED:
                raise ValueError(token)
            return UserContext(user_id="of the provider")

    return Provider()


class Host:
    """A FastAPI app with what FraiseQL's endpoint depends on; ``contexts`` are those that it was given."""

    def __init__(self) -> None:
        from fastapi import Depends, FastAPI
        from fraiseql.fastapi.dependencies import build_graphql_context

        self.contexts: list[dict[str, Any]] = []
        self.app = FastAPI()

        async def endpoint(context: dict[str, Any] = Depends(build_graphql_context)) -> dict[str, Any]:  # noqa: B008
            self.contexts.append(context)
            return {"data": {}}

        endpoint.__annotations__ = {"context": dict, "return": dict}  # what is imported in here FastAPI cannot see
        self.app.post("/graphql")(endpoint)

    @property
    def user(self) -> Any:
        return self.contexts[-1]["user"]


@contextmanager
def protected(host: Host, tmp_path: Any, **options: Any) -> Iterator[Any]:
    from fraiseql_guard.fraiseql import protect

    guard = protect(host.app, log_file=tmp_path / "log", **options)
    yield guard
    guard.runtime.recorder.log.close()


async def test_the_user_is_the_verified_one_and_each_request_has_its_own(tmp_path: Any) -> None:
    host, claims = Host(), {"email": "ada@example.org", "name": 7, "role": "editor", "permissions": ["a", 1, "b"]}
    token = make_token(SECRET, sub="ada", scope="b c", **claims)
    with protected(host, tmp_path, jwt_secret=SECRET) as guard:
        for _ in range(2):
            assert (await graphql(guard, "{a}", token=token)).status == 200
            user = host.user
            assert (user.user_id, user.email, user.name) == ("ada", "ada@example.org", None)
            assert (user.roles, user.permissions) == (["editor"], ["a", "b", "c"])
            assert user.metadata["sub"] == "ada"
            user.roles.append("admin")
            user.permissions.append("everything")
            user.metadata.clear()


async def test_the_request_has_the_user_too(tmp_path: Any) -> None:
    from fastapi import Request

    host = Host()

    async def me(request: Request) -> str:
        return str(request.user.display_name)

    me.__annotations__ = {"request": Request, "return": str}
    host.app.get("/me")(me)
    with protected(host, tmp_path, jwt_secret=SECRET, auth_required=False) as guard:
        reply = await request(guard, "GET", "/me", token=make_token(SECRET, sub="ada"))
        assert (reply.status, reply.body) == (200, b'"ada"')
        assert (await request(guard, "GET", "/me")).body == b'""'


async def test_a_user_who_claims_nothing_has_no_roles(tmp_path: Any) -> None:
    host = Host()
    with protected(host, tmp_path, jwt_secret=SECRET) as guard:
        await graphql(guard, "{a}", token=make_token(SECRET, sub="ada"))
    assert (host.user.roles, host.user.permissions, host.user.email) == ([], [], None)
    with protected(host, tmp_path) as guard:
        await graphql(guard, "{a}")
    assert (host.user, host.contexts[-1]["authenticated"]) == (None, False)


@pytest.mark.parametrize("later", [False, True])
async def test_an_auth_provider_of_the_apps_own_decides(tmp_path: Any, later: bool) -> None:
    from fraiseql.fastapi.dependencies import set_auth_provider

    host = Host()
    if not later:
        set_auth_provider(provider())
    with protected(host, tmp_path) as guard:
        set_auth_provider(provider())
        await graphql(guard, "{a}", token=PROVIDED)
        assert host.user.user_id == "of the provider"
        for headers in ({}, {"authorization": "Bearer another"}, {"authorization": f"Basic {PROVIDED}"}):
            await graphql(guard, "{a}", headers=headers)
            assert host.user is None


async def test_an_auth_provider_sees_what_the_apps_middlewares_made_of_the_request(tmp_path: Any) -> None:
    from fraiseql.fastapi.dependencies import set_auth_provider

    class CookieToHeader:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            token = dict(scope["headers"]).get(b"cookie", b"").removeprefix(b"token=")
            await self.app(
                {**scope, "headers": [*scope["headers"], (b"authorization", b"Bearer " + token)]}, receive, send
            )

    host = Host()
    host.app.add_middleware(CookieToHeader)
    set_auth_provider(provider())
    with protected(host, tmp_path) as guard:
        await graphql(guard, "{a}", headers={"cookie": f"token={PROVIDED}"})
        assert host.user.user_id == "of the provider"
        await graphql(host.app, "{a}", headers={"cookie": f"token={PROVIDED}"})  # not through the guard
        assert host.user.user_id == "of the provider"


async def test_without_the_guard_around_it_there_is_no_verified_user(tmp_path: Any) -> None:
    host = Host()
    with protected(host, tmp_path, jwt_secret=SECRET) as guard:
        await graphql(guard, "{a}", token=make_token(SECRET, sub="ada"))
        await graphql(host.app, "{a}", token=make_token(SECRET, sub="ada"))
    assert host.user is None


async def test_what_an_app_asks_itself_around_the_guard_has_no_user(tmp_path: Any) -> None:
    class AsksItself:
        """Before it goes on, it asks the app inside for something that anybody may see, as a cache of pages might."""

        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if dict(scope["headers"]).get(b"authorization"):
                await graphql(host.app, "{a}")
            await self.app(scope, receive, send)

    host = Host()
    host.app.add_middleware(AsksItself)
    with protected(host, tmp_path, jwt_secret=SECRET) as guard:
        await graphql(guard, "{a}", token=make_token(SECRET, sub="ada"))
    assert [context["user"] and context["user"].user_id for context in host.contexts] == [None, "ada"]


async def test_the_pool_is_the_one_of_the_moment_and_each_guard_hears_of_its_own(tmp_path: Any) -> None:
    from fraiseql.fastapi.dependencies import get_db_pool, set_db_pool

    def pool_of(host: Host) -> Any:
        return host.contexts[-1]["db"].get_pool()

    first, second = Host(), Host()
    with protected(first, tmp_path) as guard, protected(second, tmp_path) as other:
        for each in (guard, guard, other):
            await graphql(each, "{a}")
        assert pool_of(first) is first.contexts[0]["db"].get_pool()
        lent = [pool_of(host).connection() for host in (first, second)]
        assert [each.signals for each in lent] == [guard.database, other.database]
        set_db_pool(new_pool())  # as at another start
        await graphql(guard, "{a}")
        assert pool_of(first).plain is get_db_pool()
        assert first.contexts[-1]["db"] is not first.contexts[-2]["db"]

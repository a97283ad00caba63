"""A user who is an operator by scope stays one for as long as the app and the other operators say so."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fraiseql_guard.operations.operator.interface import Target
from fraiseql_guard.testing import make_token
from tests.operations.http.conftest import TOKEN, TOKENS
from tests.support.asgi import graphql

SCOPE = "guard:operate"


class Users:
    """An app's table of users."""

    def __init__(self) -> None:
        self.status: dict[str, Any] = {}
        self.error: BaseException | None = None
        self.seconds = 0.0
        self.asked: list[Any] = []

    async def __call__(self, identity: Any) -> Any:
        self.asked.append(identity)
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        return self.status.get(identity.user_id, "active")


@pytest.fixture
def users() -> Users:
    return Users()


@pytest.fixture
def carols(secret: str) -> str:
    return make_token(secret, sub="carol", scope=f"read {SCOPE}", tenant="acme")


def mount(serve: Any, secret: str, users: Any, **options: Any) -> Any:
    return serve(
        **{"admin_tokens": TOKENS, "admin_scope": SCOPE, "jwt_secret": secret, "user_status": users, **options}
    )


async def session_of(api: Any, token: str) -> dict[str, str]:
    reply = await api("POST", "/session", token=token)
    assert reply.status == 200, reply.body
    return {"cookie": reply.header("set-cookie").partition(";")[0], "x-csrf-token": reply.json["csrf_token"]}


@pytest.mark.parametrize("status", ["disabled", "not_found"])
@pytest.mark.parametrize("mode", ["enforce", "monitor"])
@pytest.mark.parametrize("tokens", [TOKENS, None])
async def test_a_user_who_is_gone_is_no_operator(serve, secret, users, carols, status, mode, tokens) -> None:
    api = mount(serve, secret, users, admin_tokens=tokens, mode=mode, brute_force_offences=3)
    assert (await api("GET", "/status", token=carols)).status == 200
    users.status["carol"] = status
    block = {"ip_address": "203.0.113.9"}
    for _ in range(8):  # and no offence of their address
        assert (await api("POST", "/blocks", block, token=carols)).status == 401
    assert api.guard.metric("fraiseql_guard_sanctions_total") == 0
    users.status["carol"] = "active"
    assert await api.items("/blocks", token=carols) == []
    if tokens:
        users.status["carol"] = status
        assert (await api("GET", "/status")).status == 200  # alice's token needs no scope


@pytest.mark.parametrize("how", ["error", "slow", "nonsense"])
@pytest.mark.parametrize("mode", ["enforce", "monitor"])
async def test_without_an_answer_of_the_app_no_user_is_an_operator(serve, secret, users, carols, how, mode) -> None:
    api = mount(serve, secret, users, user_status_timeout_ms=20, mode=mode)
    cookie = await session_of(api, carols)
    users.error = RuntimeError("the database is away") if how == "error" else None
    users.seconds = 60 if how == "slow" else 0
    users.status["carol"] = "perhaps" if how == "nonsense" else "active"
    for shown in ({"token": carols}, {"token": None, "headers": cookie}):
        reply = await api("GET", "/blocks", **shown)
        assert (reply.status, reply.json["code"]) == (503, "USER_STATUS_UNAVAILABLE")
    assert (await api("GET", "/blocks", token=TOKEN)).status == 200


async def test_an_operators_block_of_a_user_ends_it_too(serve, secret, users, carols) -> None:
    for hook in (users, None):
        api = mount(serve, secret, hook)
        cookie = await session_of(api, carols)
        assert (await graphql(api.guard, "{me{id}}", token=carols)).status == 200
        await api.done("POST", "/blocks", {"user_id": "carol"}, token=TOKEN)
        assert (await api("GET", "/blocks", token=carols)).status == 401
        assert (await api("GET", "/blocks", token=None, headers=cookie)).status == 401
        await api.guard.guard.runtime.operator.lift(Target(user_id="carol"))
        assert (await api("GET", "/blocks", token=carols)).status == 200


async def test_what_they_cost_as_a_user_stops_no_operator(serve, secret, users, carols) -> None:
    api = mount(serve, secret, users, rate_limit_authenticated="2/hour", rate_limit_burst=0, dos_offences=1)
    costly = "{users(limit:900){posts(limit:900){comments(limit:900){id}}}}"
    statuses = {(await graphql(api.guard, costly, token=carols)).status for _ in range(4)}
    assert 403 in statuses
    assert (await api("GET", "/blocks", token=carols)).status == 200


async def test_a_session_of_a_user_is_asked_about_with_every_request(serve, secret, users, carols) -> None:
    api = mount(serve, secret, users)
    cookie = await session_of(api, carols)
    assert (await api.done("GET", "/session", token=None, headers=cookie))["actor"] == "user:carol"
    asked = users.asked[-1]
    assert (asked.user_id, asked.claims["tenant"], SCOPE in asked.scopes) == ("carol", "acme", True)
    users.status["carol"] = "disabled"
    assert (await api("POST", "/gc", token=None, headers=cookie)).status == 401
    other = mount(serve, secret, users, admin_scope="another:scope")
    users.status["carol"] = "active"
    assert (await other("GET", "/session", token=None, headers=cookie)).status == 401


async def test_claims_that_no_cookie_holds_bring_no_session(serve, secret, users) -> None:
    api = mount(serve, secret, users)
    long = make_token(secret, sub="carol", scope=SCOPE, groups=["a-group-of-many"] * 250)
    assert (await api("GET", "/status", token=long)).status == 200
    problem = await api.refused(400, "POST", "/session", token=long)
    assert "send the token itself" in problem["detail"]


async def test_a_store_that_cannot_tell_lets_no_user_in_where_it_fails_closed(serve, secret, users, carols) -> None:
    api = mount(serve, secret, users)

    async def broken(trip: Any) -> Any:
        raise ZeroDivisionError("a bug")

    object.__setattr__(api.guard.guard.runtime.store, "admit", broken)
    assert (await api("GET", "/status", token=carols)).status == 503
    assert (await api("GET", "/status", token=TOKEN)).status == 200

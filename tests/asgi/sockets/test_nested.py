"""A guard in a guarded app sees a socket that the outer one leads already: it does its own part, and nothing twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fraiseql_guard import AuthMiddleware, Guard, QueryLimitMiddleware, RateLimitMiddleware
from fraiseql_guard.testing import make_token
from tests.conftest import SECRET
from tests.support.nesting import Between
from tests.support.redis_server import RedisServer
from tests.support.socket_memory import L, SocketApp, T, error_of, opened

ADA = make_token(SECRET, sub="ada")
DEEP = "{a" + "{a" * 30 + "}" * 31
PROTOCOLS = pytest.mark.parametrize("protocol", [T, L])


@PROTOCOLS
async def test_both_let_pass_what_is_fair(guarded, protocol) -> None:
    app = SocketApp()
    guard = guarded(Between(Guard(Between(app), jwt_secret=SECRET)), jwt_secret=SECRET, query_timeout=0.3)
    async with opened(guard, protocol) as socket:
        await socket.init({"token": ADA})
        assert await socket.ask("{ me { id } }") == {"data": {"ok": True}}
        await socket.start("2", "subscription { events }")
        assert [(await socket.receive())["type"] for _ in range(4)][-1] == "complete"
        await socket.start("3", "{ slow }")
        assert error_of(await socket.receive())["extensions"]["code"] == "QUERY_TIMEOUT"
        assert await socket.ask("{ me { id } }", "3") == {"data": {"ok": True}}
    assert guard.lines("guard.fault") == []
    assert app.contexts[0].user_id == "ada"
    assert app.contexts[0].outer is not None


@PROTOCOLS
async def test_the_inner_one_refuses_what_only_it_forbids(guarded, protocol) -> None:
    app = SocketApp()
    inner = Guard(Between(app), jwt_secret=SECRET, max_query_depth=2)
    guard = guarded(Between(inner), AuthMiddleware, jwt_secret=SECRET)
    async with opened(guard, protocol) as socket:
        await socket.init({"token": ADA})
        assert (await socket.ask(DEEP))["extensions"]["code"] == "QUERY_TOO_DEEP"
        assert await socket.ask("{ me { id } }", "2") == {"data": {"ok": True}}
    assert len(app.received) == 2


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


@pytest.mark.redis
@PROTOCOLS
async def test_nothing_is_charged_twice(guarded, protocol, server) -> None:
    options = {"redis_url": server.url, "rate_limit_default": "6/minute", "rate_limit_burst": 0}
    guard = guarded(Between(Guard(Between(SocketApp()), **options)), RateLimitMiddleware, **options)
    address = {T: "203.0.113.70", L: "203.0.113.71"}[protocol]
    async with opened(guard, protocol, client=(address, 1)) as socket:
        await socket.init()
        answers = [await socket.ask("{ me { id } }", str(number)) for number in range(6)]
    await guard.guard.aclose()
    assert ["data" in answer for answer in answers] == [True] * 5 + [False]
    assert answers[-1]["extensions"]["code"] == "RATE_LIMITED"


@PROTOCOLS
async def test_single_middlewares_on_each_other_are_one(guarded, protocol) -> None:
    app = SocketApp()
    stacked = AuthMiddleware(RateLimitMiddleware(app, rate_limit_default="3/minute", rate_limit_burst=0))
    guard = guarded(stacked, QueryLimitMiddleware, max_query_depth=3)
    async with opened(guard, protocol) as socket:
        await socket.init()
        assert await socket.ask("{ me { id } }") == {"data": {"ok": True}}
        assert (await socket.ask(DEEP, "2"))["extensions"]["code"] == "QUERY_TOO_DEEP"
        assert (await socket.ask("{ me { id } }", "3"))["extensions"]["code"] == "RATE_LIMITED"

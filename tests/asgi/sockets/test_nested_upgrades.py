"""Guards around guards: each decides about an upgrade, and it is paid for and counted once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from fraiseql_guard.testing import make_token
from tests.conftest import SECRET
from tests.support.nesting import Between
from tests.support.redis_server import RedisServer
from tests.support.upgrades import EchoSocketApp, opened, upgrade

EVIL = {"origin": "http://evil.example", "host": "api.example.org", "cookie": "a=1"}
PATHS = ["/graphql", "/chat"]
ADDRESSES = iter(range(1, 250))


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
def store(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Options of guards that count in one place: in Redis, or each in its own memory."""
    return {"redis_url": request.getfixturevalue("server").url} if request.param == "redis" else {}


@pytest.fixture
async def nested(guarded: Any) -> AsyncIterator[Any]:
    """A guard around another, with something in between."""
    made: list[Any] = []

    def mount(inner: dict[str, Any], **outer: Any) -> tuple[Any, EchoSocketApp]:
        app = EchoSocketApp()
        made.append(guarded(app, **inner))
        made.append(guarded(Between(made[-1].guard), **outer))
        return made[-1], app

    yield mount
    for each in made:
        await each.guard.aclose()


def caller() -> dict[str, Any]:
    """One that was never here."""
    return {"client": (f"198.51.100.{next(ADDRESSES)}", 1)}


@pytest.mark.parametrize("path", PATHS)
async def test_an_upgrade_costs_one_token_of_a_bucket_that_both_describe_alike(nested, store, path) -> None:
    options = {"rate_limit_sockets": "2/hour", "store_timeout_ms": 5000, **store}
    guard, _ = nested(options, **options)
    who = caller()
    found = [await upgrade(guard, path, **who) for _ in range(5)]
    assert [each.accepted and each.closed is None for each in found] == [True] * 4 + [False]


@pytest.mark.parametrize("path", PATHS)
async def test_the_inner_one_refuses_what_it_is_configured_for(nested, path) -> None:
    guard, app = nested({"max_sockets_per_caller": 1})
    first = await opened(guard, path)
    found = await upgrade(guard, path)
    assert found.closed == (4503, "TOO_MANY_SOCKETS") if path == "/graphql" else found.code == "TOO_MANY_SOCKETS"
    await first.leave()
    assert (await upgrade(guard, path)).closed is None
    assert len(app.scopes) == 2


async def test_the_origin_is_judged_by_both(nested) -> None:
    everywhere = {"socket_origins": "http://evil.example"}
    for inner, outer in (({}, everywhere), (everywhere, {})):
        guard, app = nested(inner, **outer)
        assert (await upgrade(guard, headers=EVIL, **caller())).status == 403
        assert not app.scopes
    guard, _ = nested(everywhere, **everywhere)
    assert (await upgrade(guard, headers=EVIL, **caller())).accepted


async def test_the_token_is_verified_by_whichever_has_the_key(nested) -> None:
    key, token = {"jwt_secret": SECRET}, make_token(SECRET, sub="ada")
    for inner, outer in ((key, {}), ({}, key), (key, key)):
        guard, app = nested(inner, **outer)
        assert (await upgrade(guard, token=token, **caller())).accepted
        assert app.scopes[0]["user"].identity == "ada"
        assert (await upgrade(guard, token=make_token("x" * 40, sub="ada"), **caller())).status == 401


@pytest.mark.parametrize("path", PATHS)
async def test_a_block_that_the_outer_one_knows_ends_it(nested, path) -> None:
    guard, _ = nested({})
    socket = await opened(guard, path)
    await guard.guard.block_ip("203.0.113.7", 60, "test")
    await guard.heard()
    assert (await upgrade(guard, path)).status == 403
    await socket.leave()

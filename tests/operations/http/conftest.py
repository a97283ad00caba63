"""A guard with an operator's API, on the process's memory and on a real Redis, and a client of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from tests.conftest import Guarded
from tests.support.asgi import Reply, graphql, request
from tests.support.redis_server import RedisServer
from tests.support.waiting import until

TOKEN = "the-token-of-alice-is-longer-than-32-bytes"
BOBS = "the-token-of-bob-is-another-of-enough-bytes"
TOKENS = f"alice={TOKEN},bob={BOBS}"
OPERATORS_ADDRESS = ("198.51.100.200", 1)


class Api:
    """Asks the API of a guard as an operator from elsewhere."""

    def __init__(self, guard: Guarded) -> None:
        self.guard = guard

    async def __call__(
        self, method: str, path: str, body: Any = None, *, token: str | None = TOKEN, **more: Any
    ) -> Reply:
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        more.setdefault("client", OPERATORS_ADDRESS)
        return await request(self.guard, method, f"/admin{path}", body=content, token=token, **more)

    async def done(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """The answer of what has to succeed."""
        reply = await self(method, path, body, **more)
        assert reply.status == 200, reply.body
        assert (reply.header("content-type"), reply.header("cache-control")) == ("application/json", "no-store")
        return reply.json

    async def items(self, path: str, **more: Any) -> list[Any]:
        """The items of a list."""
        return (await self.done("GET", path, **more))["items"]

    async def refused(self, status: int, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """The problem of what has to fail."""
        reply = await self(method, path, body, **more)
        assert reply.status == status, reply.body
        assert reply.header("content-type") == "application/problem+json"
        assert reply.json["status"] == status
        return reply.json


async def felt(status: int, guard: Guarded, query: str = "{me{id}}", **caller: Any) -> bool:
    """Whether a request is answered so soon after an operator's action."""

    async def so() -> bool:
        return (await graphql(guard, query, **caller)).status == status

    await guard.heard()
    await until(so, pause_seconds=0.25)  # so seldom that no rate is ever exceeded
    return True


@pytest.fixture(scope="session")
def redis_of_the_api() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
def store_options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Options of a guard on an empty store."""
    if request.param == "memory":
        return {}
    server = request.getfixturevalue("redis_of_the_api")
    server.flush()
    return {"redis_url": server.url, "store_timeout_ms": 5000}


@pytest.fixture
async def closing() -> AsyncIterator[Callable[[Guarded], None]]:
    """Guards to close at the end."""
    open_guards: list[Guarded] = []
    yield open_guards.append
    for each in open_guards:
        await each.guard.aclose()


@pytest.fixture
def api(guarded: Any, store_options: dict[str, Any], closing: Callable[[Guarded], None]) -> Api:
    """The API of a guard with default settings, on either store."""
    return mounted(guarded, closing, **store_options)


def mounted(guarded: Any, closing: Callable[[Guarded], None], **options: Any) -> Api:
    """The API of a guard."""
    guard = guarded(**{"admin_tokens": TOKENS, **options})
    closing(guard)
    return Api(guard)


@pytest.fixture
def serve(guarded: Any, closing: Callable[[Guarded], None]) -> Callable[..., Api]:
    """Mount a guard with settings of the test's own, in memory unless they say otherwise."""
    return lambda **options: mounted(guarded, closing, **options)

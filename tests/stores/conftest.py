"""All stores behind one face, so that one suite tells whether they agree."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass

import pytest

from fraiseql_guard.stores import MemoryStore, Store
from fraiseql_guard.stores.redis.store import RedisStore
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_server import RedisServer


class ManualClock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Bench:
    """A store under test and how time passes for it; tests keep waits short, because Redis's time is real."""

    store: Store
    wait: Callable[[float], Awaitable[None]]
    real_time: bool


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="session")
def redis_session() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def cluster_session() -> Iterator[RedisCluster]:
    with RedisCluster() as cluster:
        yield cluster


@pytest.fixture
async def redis_store(redis_session: RedisServer) -> AsyncIterator[RedisStore]:
    """On an empty, healthy server; its deadline is generous, for the conformance suite is not about time."""
    store = RedisStore(redis_session.url, timeout_seconds=30)
    await ask(store, "FLUSHALL")
    yield store
    await store.aclose()


@pytest.fixture(
    params=[
        "memory",
        pytest.param("redis", marks=pytest.mark.redis),
        pytest.param("cluster", marks=pytest.mark.redis),
    ]
)
async def bench(request: pytest.FixtureRequest, clock: ManualClock) -> AsyncIterator[Bench]:
    if request.param == "memory":

        async def wait(seconds: float) -> None:
            clock.advance(seconds)

        yield Bench(MemoryStore(clock=clock), wait, real_time=False)
        return
    server: RedisServer | RedisCluster = request.getfixturevalue(f"{request.param}_session")
    server.flush()
    store = RedisStore(server.url, timeout_seconds=30)
    yield Bench(store, asyncio.sleep, real_time=True)
    await store.aclose()


async def ask(store: RedisStore, *command: str | int) -> object:
    """Any command, on the store's own connection."""
    return await store.keys.send("", command)

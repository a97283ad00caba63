"""Both stores against a model of who was refused for what: it keeps every refusal and recounts from the beginning."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from fraiseql_guard.stores import MemoryStore, Store
from fraiseql_guard.stores.refused_documents import CALLERS, WINDOW_SECONDS, RefusedFor
from tests.stores.conftest import ManualClock, ask
from tests.stores.test_model import BEGINNING, ClockedStore
from tests.support.properties import examples
from tests.support.redis_server import RedisServer

REFUSAL = st.builds(RefusedFor, st.sampled_from(["d0", "d1"]), st.sampled_from(["a", "b", "c", "d"]))
REFUSALS = st.lists(REFUSAL, max_size=4)
PAUSES = st.sampled_from([0.25, 100.0, 299.75, WINDOW_SECONDS - 0.25, float(WINDOW_SECONDS)])
SCRIPTS = st.lists(REFUSALS | PAUSES, min_size=8, max_size=30)


class Model:
    """What the contract says."""

    def __init__(self) -> None:
        self.now = 0.0
        self.events: list[tuple[float, RefusedFor]] = []
        self.told: dict[str, float] = {}

    def note(self, refusals: list[RefusedFor]) -> list[str]:
        reached = []
        for refused in refusals:
            if refused.document in self.told and self.now - self.told[refused.document] < WINDOW_SECONDS:
                continue
            self.events.append((self.now, refused))
            of_it = [(at, one) for at, one in self.events if one.document == refused.document]
            if len({one.caller for at, one in of_it if at > self.now - WINDOW_SECONDS}) >= CALLERS:
                reached.append(refused.document)
                self.told[refused.document] = self.now
                self.events = [event for event in self.events if event not in of_it]
        return reached


async def compare(store: Store, script: list[object], advance: Callable[[float], Awaitable[None]]) -> None:
    model = Model()
    for step in script:
        if isinstance(step, float):
            model.now += step
            await advance(step)
        elif isinstance(step, list):
            assert list(await store.refused_documents.note(step)) == model.note(step)


@examples(300)
@given(SCRIPTS)
def test_memory_agrees_with_the_model(script: list[object]):
    clock = ManualClock()

    async def advance(seconds: float) -> None:
        clock.advance(seconds)

    asyncio.run(compare(MemoryStore(clock=clock), script, advance))


@pytest.mark.redis
@examples(100, allow=[HealthCheck.function_scoped_fixture])
@given(script=SCRIPTS)
def test_redis_agrees_with_the_model(redis_session: RedisServer, script: list[object]):
    async def run() -> None:
        async with aclosing(ClockedStore(redis_session.url)) as store:
            await ask(store, "FLUSHALL")
            await store.advance(BEGINNING)
            await compare(store, script, store.advance)

    asyncio.run(run())

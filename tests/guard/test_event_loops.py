"""One task, timer and connection in each event loop, however often the loops take turns; none outlives its loop."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.asgi import graphql, request
from tests.support.event_loops import event_loops
from tests.support.redis_server import RedisServer

TURNS = 300
pytestmark = pytest.mark.redis


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.mark.parametrize("store", ["memory", "redis", "a redis that is gone"])
def test_loops_that_take_turns_leave_one_task_each_of_a_kind(guarded, redis_server, store) -> None:
    urls = {"memory": None, "redis": redis_server.url, "a redis that is gone": "redis://127.0.0.1:1/0"}
    documents = {"trusted_documents": "allow"} if urls[store] else {}
    guard = guarded(redis_url=urls[store], rate_limit_default="100000/minute", **documents)

    async def turn() -> None:
        assert (await graphql(guard, "{me{id}}")).status == 200
        assert (await request(guard, "GET", "/health/detailed", client=("127.0.0.1", 1))).status == 200
        await asyncio.sleep(0.002)  # what was set off goes on its way

    with event_loops(2) as loops:
        counts, timers, alike = [], [], []
        for number in range(TURNS):
            loops[number % 2].run_until_complete(turn())
            counts.append(sum(len(asyncio.all_tasks(loop)) for loop in loops))
            alike += [Counter(task.get_coro().__qualname__ for task in asyncio.all_tasks(loop)) for loop in loops]
            timers.append(sum(len(loop._scheduled) for loop in loops))
        assert {number for kinds in alike for number in kinds.values()} == {1}
        assert max(counts) <= 2 * 8
        assert max(timers) <= 2 * 110  # the loop itself keeps timers that were called off, up to a hundred
        for loop in loops:
            loop.run_until_complete(guard.guard.aclose())
            assert not [task for task in asyncio.all_tasks(loop) if not task.done()]


@pytest.mark.parametrize("store", ["memory", "redis"])
def test_loops_that_end_are_forgotten(guarded, redis_server, store) -> None:
    url = redis_server.url if store == "redis" else None
    guard = guarded(redis_url=url, rate_limit_default="100000/minute")

    async def turn() -> None:
        assert (await graphql(guard, "{me{id}}")).status == 200
        if url:
            await guard.guard.aclose()

    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []
    for _ in range(30):
        with asyncio.Runner() as runner:
            loops.append(weakref.ref(runner.get_loop()))
            runner.run(turn())
        del runner
    gc.collect()
    assert sum(loop() is not None for loop in loops) <= 3  # the first, whose start is remembered, and the last


def test_both_loops_hear_an_operator(guarded) -> None:
    guard = guarded()
    with event_loops(2) as loops:
        for loop in loops:
            assert loop.run_until_complete(graphql(guard, "{me{id}}")).status == 200
        loops[0].run_until_complete(guard.guard.block_ip("203.0.113.0/24", 60))
        loops[1].run_until_complete(asyncio.sleep(0.7))
        assert loops[1].run_until_complete(graphql(guard, "{me{id}}")).code == "BLOCKED"


def test_what_is_told_of_this_process_is_fresh_in_whichever_loop_serves(guarded) -> None:
    guard = guarded()
    for _ in range(2):
        with event_loops(1) as (loop,):
            assert loop.run_until_complete(graphql(guard, "{me{id}}")).status == 200
            loop.run_until_complete(asyncio.sleep(0))
            running = {task.get_coro().__qualname__ for task in asyncio.all_tasks(loop)}
            assert {"PeriodicTask._tick", "OverridesWatch._poll"} <= running

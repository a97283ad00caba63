"""One task, timer and value in each event loop; none outlives its loop."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fraiseql_guard.core.loop_task import LoopTask, LoopTimer, PerLoop
from tests.support.event_loops import event_loops


async def test_a_task_that_has_ended_is_started_again() -> None:
    runs: list[int] = []

    async def work() -> int:
        runs.append(1)
        return len(runs)

    task = LoopTask(work)
    assert task.here is None
    assert await task.ensure_running() == 1
    assert task.here is not None
    assert task.here.done()
    assert not task.running
    assert await task.ensure_running() == 2
    await task.aclose()
    await task.aclose()


async def test_while_it_runs_there_is_one() -> None:
    async def work() -> Any:
        await asyncio.Event().wait()

    task = LoopTask(work)
    assert task.ensure_running() is task.ensure_running()
    running = task.ensure_running()
    assert task.running
    await task.aclose()
    assert running.cancelled()


async def test_a_timer_calls_once_for_all_who_ask_meanwhile() -> None:
    calls: list[int] = []
    called = asyncio.Event()

    def call() -> None:
        calls.append(1)
        called.set()

    timer = LoopTimer(0.01, call)
    for _ in range(5):
        timer.start()
    await called.wait()
    assert calls == [1]
    called.clear()
    timer.start()
    await called.wait()
    assert calls == [1, 1]


def test_without_an_event_loop_there_is_nothing_to_have() -> None:
    values: PerLoop[list[int]] = PerLoop(lambda _: [])
    with pytest.raises(RuntimeError):
        values.here()
    with event_loops(3) as loops:
        made = [values.of(loop) for loop in loops]
        assert [values.of(loop) for loop in loops] == made
        assert len(values) == 3
    with event_loops(1) as loops:
        values.of(loops[0])
        assert len(values) == 1

"""How a run of the app ends: in time, late, or without its client."""

from __future__ import annotations

import asyncio

import pytest

from fraiseql_guard.asgi.app_runner import AppRunner
from fraiseql_guard.asgi.body_budget import BufferBudget
from fraiseql_guard.asgi.request_body import RequestBody
from fraiseql_guard.asgi.timeout_policy import TimeoutPolicy
from fraiseql_guard.core.deadline_timers import DeadlineTimers
from fraiseql_guard.core.loop_task import PerLoop


class Request:
    """The context, of which a runner knows only this."""

    ends_at: float | None = None


class Run:
    """One run. ``cancels``: whether the app is cancelled when time is up."""

    def __init__(self, seconds: float | None, *, cancels: bool = True, binding: bool = True) -> None:
        self.loop = asyncio.get_running_loop()
        self.cancels = cancels
        self.late = self.gave_up = 0
        self.gone = asyncio.Event()
        self.request = Request()
        self.body = RequestBody(
            self.receive, 100, None, 1, BufferBudget(100), PerLoop(DeadlineTimers), lambda denial: None
        )
        self.body.complete = True
        self.runner = AppRunner(
            self.loop,
            DeadlineTimers(self.loop),
            self.body,
            TimeoutPolicy(seconds, binding, binding),
            self.request,
            self,
        )

    async def receive(self):
        await self.gone.wait()
        return {"type": "http.disconnect"}

    def time_is_up(self) -> bool:
        self.late += 1
        return self.cancels

    def abandoned(self) -> None:
        self.gave_up += 1

    async def of(self, work) -> None:
        await self.runner.run(work)
        assert asyncio.current_task().cancelling() == 0
        assert self.request.ends_at is None
        await asyncio.sleep(0)  # nothing of a cancellation is left behind


@pytest.mark.parametrize("seconds", [None, 5])
async def test_work_that_is_in_time_is_not_touched(seconds) -> None:
    run, done = Run(seconds), []

    async def work() -> None:
        await asyncio.sleep(0.01)
        done.append((run.request.ends_at is not None, run.late))

    await run.of(work())
    assert done == [(seconds is not None, 0)]


async def test_work_that_is_late_is_cancelled_once() -> None:
    run = Run(0.01)
    await run.of(asyncio.sleep(30))
    assert (run.late, run.gave_up, run.runner.left) == (1, 0, False)


async def test_where_nothing_is_cut_it_is_told_once_and_goes_on() -> None:
    run = Run(0.01, cancels=False, binding=False)
    await run.of(asyncio.sleep(0.1))
    assert (run.late, run.request.ends_at) == (1, None)


@pytest.mark.parametrize("ends", ["it returns", "it fails", "it is cancelled"])
async def test_how_work_ends_that_was_stopped_concerns_nobody(ends) -> None:
    async def work() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
            if ends == "it fails":
                raise RuntimeError("no response returned") from None
            if ends == "it is cancelled":
                raise

    await Run(0.01).of(work())


async def test_work_that_ends_in_the_very_turn_of_its_cancellation_leaves_nothing_behind() -> None:
    run = Run(30)

    async def last_moment() -> None:
        run.runner.interrupt()  # as the timer would, while the work does not wait for anything any more

    await run.of(last_moment())


async def test_the_works_own_failure_is_passed_on() -> None:
    async def broken() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError):
        await Run(5).of(broken())


async def test_a_cancellation_from_outside_is_not_swallowed() -> None:
    run = Run(30)
    task = asyncio.create_task(run.of(asyncio.sleep(30)))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (run.late, run.request.ends_at) == (0, None)


@pytest.mark.parametrize(("seconds", "moved", "late"), [(0.2, 60, 0), (60, 0.01, 1)], ids=["later", "sooner"])
async def test_its_end_can_be_moved_both_ways(seconds, moved, late) -> None:
    run = Run(seconds)

    async def work() -> None:
        run.runner.extend(moved)
        await asyncio.sleep(0.4 if moved > 1 else 30)

    await run.of(work())
    assert run.late == late


async def test_a_deadline_that_was_lifted_does_not_come_and_a_client_that_leaves_is_noticed_all_the_same() -> None:
    run, told = Run(0.2), []

    async def work() -> None:
        run.runner.lift()
        run.runner.extend(0.01)
        told.append(run.request.ends_at)
        run.loop.call_later(0.4, run.gone.set)
        await asyncio.sleep(30)

    await run.of(work())
    assert (told, run.late, run.runner.left) == ([None], 0, True)


async def test_nothing_is_watched_any_more_once_work_without_a_deadline_has_ended() -> None:
    run = Run(30)

    async def work() -> None:
        run.runner.lift()

    await run.of(work())
    run.gone.set()
    await asyncio.sleep(0.1)  # the watcher would be there
    assert (run.runner.left, run.body.disconnected) == (False, False)


async def test_what_is_complete_is_neither_late_nor_left() -> None:
    run, done = Run(3), []

    async def work() -> None:
        await asyncio.sleep(0.06)  # the watcher is there
        run.runner.stop()
        run.runner.extend(0.01)
        run.gone.set()
        await asyncio.sleep(0.1)
        done.append(run.request.ends_at)

    await run.of(work())
    assert (done, run.late, run.runner.left) == ([None], 0, False)


async def test_a_client_that_leaves_stops_the_work() -> None:
    run = Run(30)
    run.loop.call_later(0.08, run.gone.set)
    await run.of(asyncio.sleep(30))
    assert (run.late, run.runner.left) == (0, True)


async def test_there_is_nothing_to_interrupt_once_it_has_ended() -> None:
    run = Run(30)
    await run.of(asyncio.sleep(0))
    run.runner.interrupt()
    await asyncio.sleep(0)
    assert asyncio.current_task().cancelling() == 0
    assert run.gave_up == 0

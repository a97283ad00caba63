"""What a deadline cancels, and what it leaves alone."""

import asyncio

import pytest

from fraiseql_guard.asgi.deadline import Deadline
from fraiseql_guard.core.deadline_timers import DeadlineTimers


def within(seconds: float) -> Deadline:
    loop = asyncio.get_running_loop()
    return Deadline(DeadlineTimers(loop), loop.time() + seconds)


async def test_work_that_is_in_time_is_not_touched() -> None:
    deadline = within(5)
    assert await deadline.bound(asyncio.sleep(0, "done")) == "done"
    assert not deadline.expired
    assert asyncio.current_task().cancelling() == 0


async def test_work_that_is_late_is_cancelled_and_the_caller_goes_on() -> None:
    deadline = within(0.01)
    assert await deadline.bound(asyncio.sleep(30)) is None
    assert deadline.expired
    assert asyncio.current_task().cancelling() == 0
    await asyncio.sleep(0)  # nothing of the cancellation is left behind


async def test_work_that_swallows_its_cancellation_does_not_leave_it_to_the_caller() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
        return "late"

    assert await within(0.01).bound(stubborn()) is None
    await asyncio.sleep(0)
    assert asyncio.current_task().cancelling() == 0


async def test_work_that_fails_when_it_is_cancelled_fails_nobody_else() -> None:
    async def fragile() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            raise RuntimeError("no response returned") from None

    assert await within(0.01).bound(fragile()) is None


async def test_the_works_own_failure_is_passed_on() -> None:
    async def broken() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError):
        await within(5).bound(broken())


async def test_a_cancellation_from_outside_is_not_swallowed() -> None:
    task = asyncio.create_task(within(30).bound(asyncio.sleep(30)))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("before", [(), (0,), (0, 0.001)])
async def test_work_hears_of_a_cancellation_wherever_it_waits(before) -> None:
    heard: list[str] = []
    waits = asyncio.Event()

    async def work() -> str:
        for pause in before:
            await asyncio.sleep(pause)
        try:
            waits.set()
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            heard.append("cancelled")
            await asyncio.sleep(0)  # its cleaning up
            heard.append("clean")
            raise
        return "done"

    task = asyncio.create_task(within(30).bound(work()))
    await waits.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert heard == ["cancelled", "clean"]
    heard.clear()
    assert await within(0.2).bound(work()) is None  # its deadline's
    assert heard == ["cancelled", "clean"]

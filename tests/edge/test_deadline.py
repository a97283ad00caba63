"""What a deadline cancels, and what it leaves alone."""

import asyncio

import pytest

from fraiseql_guard.edge.deadline import Deadline


async def test_work_that_is_in_time_is_not_touched() -> None:
    deadline = Deadline(asyncio.get_running_loop())
    deadline.arm(5)
    assert await deadline.bound(asyncio.sleep(0, "done")) == "done"
    assert not deadline.expired
    assert asyncio.current_task().cancelling() == 0


async def test_work_that_is_late_is_cancelled_and_the_caller_goes_on() -> None:
    deadline = Deadline(asyncio.get_running_loop())
    deadline.arm(0.01)
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

    deadline = Deadline(asyncio.get_running_loop())
    deadline.arm(0.01)
    assert await deadline.bound(stubborn()) is None
    await asyncio.sleep(0)
    assert asyncio.current_task().cancelling() == 0


async def test_work_that_fails_when_it_is_cancelled_fails_nobody_else() -> None:
    async def fragile() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            raise RuntimeError("no response returned") from None

    deadline = Deadline(asyncio.get_running_loop())
    deadline.arm(0.01)
    assert await deadline.bound(fragile()) is None


async def test_the_works_own_failure_is_passed_on() -> None:
    async def broken() -> None:
        raise KeyError("mine")

    deadline = Deadline(asyncio.get_running_loop())
    deadline.arm(5)
    with pytest.raises(KeyError):
        await deadline.bound(broken())


async def test_a_cancellation_from_outside_is_not_swallowed() -> None:
    deadline = Deadline(asyncio.get_running_loop())

    async def request() -> None:
        deadline.arm(30)
        await deadline.bound(asyncio.sleep(30))

    task = asyncio.create_task(request())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_deadline_can_be_moved_both_ways() -> None:
    deadline = Deadline(asyncio.get_running_loop())
    deadline.arm(0.01)
    deadline.arm(10)
    assert await deadline.bound(asyncio.sleep(0.05, "done")) == "done"
    sooner = Deadline(asyncio.get_running_loop())
    sooner.arm(10)
    sooner.arm(0.01)
    assert await sooner.bound(asyncio.sleep(30)) is None


async def test_work_that_ends_in_the_very_turn_of_its_cancellation_leaves_nothing_behind() -> None:
    loop = asyncio.get_running_loop()
    deadline = Deadline(loop)

    async def last_moment() -> str:
        deadline.cancel()  # as the timer would, while the work does not wait for anything any more
        return "done"

    assert await deadline.bound(last_moment()) is None
    await asyncio.sleep(0)
    assert asyncio.current_task().cancelling() == 0

"""Bounds what the current task awaits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from fraiseql_guard.core.deadline_timers import DeadlineTimers

T = TypeVar("T")


class Deadline:
    """Cancels work at a moment of the loop's clock.

    :meth:`bound` swallows its own cancellation, and lets any other pass.
    """

    __slots__ = ("_at", "_task", "_timers", "expired")

    def __init__(self, timers: DeadlineTimers, at: float) -> None:
        self._timers = timers
        self._at = at
        self._task: asyncio.Task[object] | None = None
        self.expired = False

    async def bound(self, work: Awaitable[T]) -> T | None:
        """The work's result; None if we cancelled it, whatever it made of that."""
        task = self._task = asyncio.current_task()
        timer = self._timers.call_at(self._at, self._expire)
        result: T | None = None
        try:
            result = await work
        except (asyncio.CancelledError, Exception):
            if not self.expired:
                raise  # else it was stopped: its exception plays no part
        finally:
            timer.cancel()
            self._task = None
        if self.expired and task is not None:
            await take_back(task)
            return None
        return result

    def _expire(self) -> None:
        self.expired = True
        if self._task is not None:
            self._task.cancel()


async def take_back(task: asyncio.Task[object]) -> None:
    """Undo the guard's own cancellation of a task, delivered or not yet, and no other one."""
    if task.uncancel() > 0:
        raise asyncio.CancelledError
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        if task.cancelling() > 0:
            raise

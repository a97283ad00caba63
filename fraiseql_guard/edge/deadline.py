"""Bounds what the current task awaits, where it has to wait at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Generator
from typing import Any, Generic, TypeVar

from fraiseql_guard.core.deadline_timers import DeadlineTimers

T = TypeVar("T")


class Deadline:
    """Cancels the work when it takes too long: at a moment of the loop's clock.

    The cancellation is ours and does not leave :meth:`bound`; anybody else's does.
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
                raise  # else: how it failed when it was stopped plays no part
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


class Begun(Generic[T]):
    """A coroutine that was begun and has to wait (for what ``send`` returned): awaiting this is going on with it."""

    __slots__ = ("_waits", "_waits_for", "_work")

    def __init__(self, work: Coroutine[Any, Any, T], waits_for: Any) -> None:
        self._work = work
        self._waits_for = waits_for
        self._waits = True

    def __await__(self) -> Generator[Any, Any, T]:
        return self  # type: ignore[return-value]

    def __iter__(self) -> Begun[T]:
        return self

    def __next__(self) -> Any:
        """What it waits for: first what it waited for already."""
        if self._waits:
            self._waits = False
            waits_for, self._waits_for = self._waits_for, None
            return waits_for
        return self._work.send(None)

    def throw(self, *error: Any) -> Any:
        """A cancellation."""
        return self._work.throw(*error)

    def close(self) -> None:
        """It is not waited for any more."""
        self._work.close()


async def take_back(task: asyncio.Task[object]) -> None:
    """Undo our cancellation, also if it was not delivered yet, and no other one."""
    if task.uncancel() > 0:
        raise asyncio.CancelledError
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        if task.cancelling() > 0:
            raise

"""Bounds what the current task awaits, at the price of one timer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Timer(Protocol):
    """A timer that was set."""

    def when(self) -> float:
        """When it fires."""
        ...

    def cancel(self) -> None:
        """Have it never fire."""
        ...


class Clock(Protocol):
    """An event loop's clock and timers: the loop itself, or its Alarms."""

    def time(self) -> float:
        """Seconds."""
        ...

    def call_at(self, when: float, callback: Callable[[], object], /) -> Timer:
        """Set a timer."""
        ...


class Deadline:
    """A timer that, when it fires, first calls ``on_expiry`` and then, if that says so, cancels the work.

    ``on_expiry`` runs in the event loop's own turn, so that it can have the client answered even if the work ignores
    its cancellation. The cancellation is ours and does not leave :meth:`bound`; anybody else's does.
    """

    __slots__ = ("_at", "_clock", "_on_expiry", "_task", "_timer", "cancelled", "expired")

    def __init__(self, clock: Clock, on_expiry: Callable[[], bool] | None = None) -> None:
        self._clock = clock
        self._on_expiry = on_expiry
        self._at = 0.0
        self._timer: Timer | None = None
        self._task: asyncio.Task[object] | None = None
        self.expired = False
        self.cancelled = False

    def arm(self, seconds: float) -> None:
        """Fire in so many seconds. Moving the moment further away costs nothing: the timer looks again."""
        self._at = self._clock.time() + seconds
        if self._timer is None:
            self._timer = self._clock.call_at(self._at, self._look)
        elif self._at < self._timer.when():
            self._timer.cancel()
            self._timer = self._clock.call_at(self._at, self._look)

    def disarm(self) -> None:
        """Never fire."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        if self._clock.time() < self._at - 0.0005:
            self._timer = self._clock.call_at(self._at, self._look)
            return
        self._timer = None
        self.expired = True
        if self._on_expiry is None or self._on_expiry():
            self.cancel()

    def cancel(self) -> None:
        """Cancel the work, once."""
        if self._task is not None and not self.cancelled:
            self.cancelled = True
            self._task.cancel()

    async def bound(self, work: Awaitable[T]) -> T | None:
        """The work's result; None if we cancelled it, whatever it made of that."""
        task = self._task = asyncio.current_task()
        result: T | None = None
        try:
            result = await work
        except asyncio.CancelledError:
            if not self.cancelled:
                raise
        except Exception:
            if not self.cancelled:
                raise  # else: how it failed when it was stopped concerns nobody, the client was answered
        finally:
            self.disarm()
            self._task = None
            self._on_expiry = None  # a cycle with its owner would be left to the garbage collector
        if self.cancelled and task is not None:
            await _take_back(task)
            return None
        return result


async def _take_back(task: asyncio.Task[object]) -> None:
    """Undo our cancellation, also if it was not delivered yet, but nobody else's."""
    if task.uncancel() > 0:
        raise asyncio.CancelledError
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        if task.cancelling() > 0:
            raise

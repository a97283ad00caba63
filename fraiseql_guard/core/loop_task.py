"""Values, tasks and timers of which each event loop has one. Those of a closed loop are forgotten.

A process may serve from several event loops, in turns or in threads. What belongs to one loop must not be used in
another one, and need not be made again when the loops alternate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class PerLoop(Generic[T]):
    """One value for each event loop, made by ``make`` when it is first asked for there."""

    __slots__ = ("_by_loop", "_make")

    def __init__(self, make: Callable[[asyncio.AbstractEventLoop], T]) -> None:
        self._make = make
        self._by_loop: dict[asyncio.AbstractEventLoop, T] = {}

    def here(self) -> T:
        """The value of the running event loop; RuntimeError if none runs."""
        return self.of(asyncio.get_running_loop())

    def of(self, loop: asyncio.AbstractEventLoop) -> T:
        """The value of an event loop that lives."""
        try:
            return self._by_loop[loop]
        except KeyError:
            return self._made(loop)

    def pop(self) -> T | None:
        """Forget the value of the running event loop, and return it; None if there is none."""
        return self._by_loop.pop(asyncio.get_running_loop(), None)

    def _made(self, loop: asyncio.AbstractEventLoop) -> T:
        # The list is copied, since another thread may add its loop meanwhile.
        for closed in [other for other in list(self._by_loop) if other.is_closed()]:
            self._by_loop.pop(closed, None)
        value = self._by_loop[loop] = self._make(loop)
        return value

    def __len__(self) -> int:
        return len(self._by_loop)


class _OfLoop:
    """The task of one event loop."""

    __slots__ = ("task",)

    def __init__(self, _: asyncio.AbstractEventLoop) -> None:
        self.task: asyncio.Task[Any] | None = None


class LoopTask(Generic[T]):
    """One task in each event loop that asks for it, which runs ``work()`` and ends with its loop."""

    __slots__ = ("_held", "_work")

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._work = work
        self._held: PerLoop[_OfLoop] = PerLoop(_OfLoop)

    def ensure_running(self) -> asyncio.Task[T]:
        """The task of the running event loop: the one at work, else a new one. Cheap: every request may ask."""
        loop = asyncio.get_running_loop()
        held = self._held.of(loop)
        task = held.task
        if task is None or task.done():
            task = held.task = loop.create_task(self._work())
        return task

    @property
    def here(self) -> asyncio.Task[T] | None:
        """The last task of the running event loop, at work or done; None if there was none."""
        return self._held.here().task

    @property
    def running(self) -> bool:
        """Whether a task is at work in the running event loop."""
        task = self.here
        return task is not None and not task.done()

    async def aclose(self) -> None:
        """End the task of the running event loop, and wait until it has ended."""
        held = self._held.pop()
        # Another event loop keeps its task.
        if held is not None and held.task is not None:
            held.task.cancel()
            # wait neither raises what the task raised nor its cancellation.
            await asyncio.wait([held.task])


class LoopTimer:
    """Calls ``call`` some seconds after :meth:`start`, in the same event loop, and once for all starts in between."""

    __slots__ = ("_call", "_seconds", "_waiting")

    def __init__(self, seconds: float, call: Callable[[], object]) -> None:
        self._seconds = seconds
        self._call = call
        self._waiting: PerLoop[list[asyncio.TimerHandle]] = PerLoop(lambda _: [])

    def start(self) -> None:
        """Schedule the call, if none is scheduled in this loop; RuntimeError if no event loop runs."""
        loop = asyncio.get_running_loop()
        waiting = self._waiting.of(loop)
        if not waiting:
            waiting.append(loop.call_later(self._seconds, self._due, waiting))

    def _due(self, waiting: list[asyncio.TimerHandle]) -> None:
        waiting.clear()
        self._call()

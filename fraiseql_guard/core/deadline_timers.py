"""Deadlines that are nearly always met, with one timer of the event loop for all of them.

A deadline is an entry in a heap; one that was met is recognised by asking what had it. When the timer rings, the cost
depends on the deadlines that are due, and not on how many are set.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any, Final, Protocol

# A timer that rings so much too early, because clocks are rounded, is on time.
_RESOLUTION_SECONDS: Final = 0.000_001
_LEAST_SWEPT: Final = 256


class Pending(Protocol):
    """What has a deadline: a future, a timer."""

    def done(self) -> bool:
        """Whether its deadline means nothing any more."""
        ...


_Entry = tuple[float, int, Any, Callable[..., object], tuple[Any, ...]]
"""When it is due, its number, what is pending, and what to call then with which further arguments."""


class DeadlineTimer:
    """One timer that was set with :meth:`DeadlineTimers.call_at`."""

    __slots__ = ("_when", "call")

    def __init__(self, when: float, call: Callable[[], object]) -> None:
        self._when = when
        self.call: Callable[[], object] | None = call
        """What to call; None once it was called, or cancelled."""

    def when(self) -> float:
        """When it rings, on the loop's clock."""
        return self._when

    def cancel(self) -> None:
        """Call nothing, and hold nothing any more."""
        self.call = None

    def done(self) -> bool:
        """Whether it rang or was cancelled."""
        return self.call is None


def _ring(timer: DeadlineTimer, _: float) -> None:
    # Emptied first, so that a timer that cancels itself, or sets itself anew, rings once.
    call, timer.call = timer.call, None
    if call is not None:
        call()


class DeadlineTimers:
    """The deadlines of one event loop. Not thread-safe, as the loop is not."""

    __slots__ = ("_heap", "_loop", "_numbers", "_rings_at", "_sweeps_at", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._heap: list[_Entry] = []  # the number keeps those of one moment in order
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = math.inf
        self._sweeps_at = _LEAST_SWEPT

    def call_at(self, when: float, call: Callable[[], object]) -> DeadlineTimer:
        """Call a function at a moment of the loop's clock, as loop.call_at does."""
        timer = DeadlineTimer(when, call)
        # The number is unique, so that the heap never compares what is pending.
        heappush(self._heap, (when, next(self._numbers), timer, _ring, ()))
        # The usual deadline is later than the next one, and sets no timer of the loop.
        if when < self._rings_at or len(self._heap) >= self._sweeps_at:
            self._see_to(when)
        return timer

    def watch(self, expire: Callable[..., object], when: float, pending: Pending, *args: Any) -> None:
        """Call ``expire(pending, late_seconds, *args)`` at a moment of the loop's clock, unless it is done by then."""
        heappush(self._heap, (when, next(self._numbers), pending, expire, args))
        if when < self._rings_at or len(self._heap) >= self._sweeps_at:
            self._see_to(when)

    def clear(self) -> None:
        """Forget all of them; those that are set later ring."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._rings_at = None, math.inf
        self._heap.clear()

    def __len__(self) -> int:
        """How many are held: those that are done are let go from time to time."""
        return len(self._heap)

    def _see_to(self, when: float) -> None:
        if when < self._rings_at:
            self._ring_at(when)
        if len(self._heap) >= self._sweeps_at:
            self._sweep()

    def _sweep(self) -> None:
        """Let go of those that are done. It takes as long as setting as many has taken since the last time."""
        self._heap = [each for each in self._heap if not each[2].done()]
        heapify(self._heap)
        # Twice what is left: sweeping costs each entry a constant on average.
        self._sweeps_at = max(_LEAST_SWEPT, 2 * len(self._heap))

    def _ring_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = when
        self._timer = self._loop.call_at(when, self._ring)

    def _ring(self) -> None:
        now = self._loop.time()
        self._timer, self._rings_at = None, math.inf
        for when, _, pending, expire, args in self._due(now + _RESOLUTION_SECONDS):
            if pending.done():  # one before it in this turn may have seen to that
                continue
            try:
                expire(pending, now - when, *args)
            except Exception as error:  # noqa: BLE001 - one that breaks keeps no other from ringing, as in the loop
                self._loop.call_exception_handler({"message": "a deadline's work failed", "exception": error})
        # Drop the next ones that are done, and set the timer to the first that is not.
        heap = self._heap
        while heap and heap[0][2].done():
            heappop(heap)
        if heap and heap[0][0] < self._rings_at:
            self._ring_at(heap[0][0])

    def _due(self, now: float) -> list[_Entry]:
        """What rings now. What one of them sets is none of these: it waits for the loop's next turn."""
        heap, due = self._heap, []
        while heap and heap[0][0] <= now:
            due.append(heappop(heap))
        return due

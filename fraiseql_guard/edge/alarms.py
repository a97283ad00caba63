"""Timers for deadlines that are nearly always called off: one of the event loop's for all of them.

A timer of the loop's own for each request, set and cancelled, was a tenth of what the guard costs a request (measured
between all that an app does). Here setting one is an entry in a heap, and calling it off a mark. Ringing costs what is
due, however many are set: ten thousand slow operations do not slow down each other's deadlines.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Final

_RESOLUTION_SECONDS: Final = 0.000_001
_LEAST_SWEPT: Final = 256


class Alarm:
    """One timer that was set."""

    __slots__ = ("_when", "call")

    def __init__(self, when: float, call: Callable[[], object]) -> None:
        self._when = when
        self.call: Callable[[], object] | None = call
        """What to call; None once it was called, or called off."""

    def when(self) -> float:
        """When it rings, on the loop's clock."""
        return self._when

    def cancel(self) -> None:
        """Call it off."""
        self.call = None


class Alarms:
    """The timers of one event loop. Not thread-safe, as the loop is not."""

    __slots__ = ("_alarms", "_loop", "_numbers", "_rings_at", "_sweeps_at", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._alarms: list[tuple[float, int, Alarm]] = []  # a heap; the number keeps those of one moment in order
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = math.inf
        self._sweeps_at = _LEAST_SWEPT

    def call_at(self, when: float, call: Callable[[], object]) -> Alarm:
        """Call a function at a moment of the loop's clock, as loop.call_at does."""
        alarm = Alarm(when, call)
        heappush(self._alarms, (when, next(self._numbers), alarm))
        if when < self._rings_at:
            self._ring_at(when)
        if len(self._alarms) >= self._sweeps_at:
            self._sweep()
        return alarm

    def _sweep(self) -> None:
        """Let go of those that were called off. It takes as long as setting as many has taken since the last time."""
        self._alarms = [each for each in self._alarms if each[2].call is not None]
        heapify(self._alarms)
        self._sweeps_at = max(_LEAST_SWEPT, 2 * len(self._alarms))

    def _ring_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = when
        self._timer = self._loop.call_at(when, self._ring)

    def _ring(self) -> None:
        now = self._loop.time() + _RESOLUTION_SECONDS
        self._timer, self._rings_at = None, math.inf
        for call in self._due(now):
            try:
                call()
            except Exception as error:  # noqa: BLE001 - one that breaks keeps no other from ringing, as in the loop
                self._loop.call_exception_handler({"message": "a deadline's work failed", "exception": error})
        alarms = self._alarms
        while alarms and alarms[0][2].call is None:
            heappop(alarms)
        if alarms and alarms[0][0] < self._rings_at:
            self._ring_at(alarms[0][0])

    def _due(self, now: float) -> Iterator[Callable[[], object]]:
        """What rings now. What one of them sets is none of these: it waits for the loop's next turn."""
        due: list[Alarm] = []
        while self._alarms and self._alarms[0][0] <= now:
            due.append(heappop(self._alarms)[2])
        for alarm in due:
            call, alarm.call = alarm.call, None
            if call is not None:
                yield call


class AlarmClocks:
    """One :class:`Alarms` for each event loop that requests run in."""

    __slots__ = ("_by_loop",)

    def __init__(self) -> None:
        self._by_loop: dict[asyncio.AbstractEventLoop, Alarms] = {}

    def of(self, loop: asyncio.AbstractEventLoop) -> Alarms:
        """Those of a running event loop."""
        alarms = self._by_loop.get(loop)
        if alarms is None:
            for ended in [other for other in self._by_loop if other.is_closed()]:
                del self._by_loop[ended]
            alarms = self._by_loop[loop] = Alarms(loop)
        return alarms

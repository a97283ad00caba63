"""Timers for deadlines that are nearly always called off: one of the event loop's for all of them.

A timer of the loop's own for each request, set and cancelled, was a tenth of what the guard costs a request (measured
between all that an app does). Here setting one is an entry in a list, and calling it off a mark.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
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

    __slots__ = ("_alarms", "_loop", "_rings_at", "_sweeps_at", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._alarms: list[Alarm] = []
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = math.inf
        self._sweeps_at = _LEAST_SWEPT

    def call_at(self, when: float, call: Callable[[], object]) -> Alarm:
        """Call a function at a moment of the loop's clock, as loop.call_at does."""
        alarm = Alarm(when, call)
        self._alarms.append(alarm)
        if when < self._rings_at:
            self._ring_at(when)
        if len(self._alarms) >= self._sweeps_at:
            self._alarms = [each for each in self._alarms if each.call is not None]
            self._sweeps_at = max(_LEAST_SWEPT, 2 * len(self._alarms))
        return alarm

    def _ring_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = when
        self._timer = self._loop.call_at(when, self._ring)

    def _ring(self) -> None:
        now, alarms = self._loop.time() + _RESOLUTION_SECONDS, self._alarms
        self._timer, self._rings_at = None, math.inf
        self._alarms = [each for each in alarms if each.call is not None and each.when() > now]
        for alarm in alarms:
            call = alarm.call
            if call is None or alarm.when() > now:
                continue
            alarm.call = None
            try:
                call()
            except Exception as error:  # noqa: BLE001 - one that breaks keeps no other from ringing, as in the loop
                self._loop.call_exception_handler({"message": "a deadline's work failed", "exception": error})
        nearest = min((each.when() for each in self._alarms if each.call is not None), default=math.inf)
        if nearest < self._rings_at:
            self._ring_at(nearest)


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

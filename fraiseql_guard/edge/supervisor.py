"""Runs the app under its deadline and stops its work when the client leaves (SPEC section 9)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from fraiseql_guard.context import Context
from fraiseql_guard.edge.alarms import Alarms
from fraiseql_guard.edge.deadline import Deadline
from fraiseql_guard.edge.pump import Pump

_WATCH_AFTER_SECONDS: Final = 0.05
"""Quick requests never pay for a watcher."""
_ABANDON_AFTER_SECONDS: Final = 1.0
"""How long a cancelled app may take to clean up before it counts as one that ignores its cancellation."""


@dataclass(slots=True)  # made with every request: a frozen one takes three times as long to make
class Terms:
    """Under what conditions an app runs. ``timeout_seconds`` None: no deadline."""

    timeout_seconds: float | None
    watch: bool  # look out for the client's disconnect
    stop_on_leave: bool  # and stop the work then
    binding: bool = False  # whether the work is really stopped at the timeout


class Supervisor:
    """One app run. The request's context shows the app until when it may work.

    ``on_timeout`` answers the client and says whether the app is to be cancelled (not in monitor mode);
    ``on_abandoned`` hears of an app that goes on all the same.
    """

    __slots__ = ("_abandonment", "_ctx", "_deadline", "_loop", "_on_abandoned", "_on_timeout", "_pump", "_terms",
                 "_until", "_watcher", "left")  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        alarms: Alarms,
        pump: Pump,
        terms: Terms,
        ctx: Context,
        *,
        on_timeout: Callable[[], bool],
        on_abandoned: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._pump = pump
        self._terms = terms
        self._ctx = ctx
        self._on_timeout = on_timeout
        self._on_abandoned = on_abandoned
        self._deadline = Deadline(alarms, self._expire)
        self._until: float | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._abandonment: asyncio.TimerHandle | None = None
        self.left = False

    async def run(self, work: Awaitable[object]) -> None:
        """Run the app to its end, its deadline, or its client's disconnect."""
        terms = self._terms
        if terms.timeout_seconds is not None:
            self._end_in(terms.timeout_seconds)
        first = min(terms.timeout_seconds or _WATCH_AFTER_SECONDS, _WATCH_AFTER_SECONDS)
        if terms.watch:
            self._deadline.arm(first)
        elif terms.timeout_seconds is not None:
            self._deadline.arm(terms.timeout_seconds)
        try:
            await self._deadline.bound(work)
        finally:
            self.stop()
            if self._abandonment is not None:
                self._abandonment.cancel()

    def stop(self) -> None:
        """The answer is complete: from now on neither deadline nor disconnect touch the app's background tasks."""
        self._deadline.disarm()
        self._ctx.ends_at = None
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None

    def extend(self, seconds: float) -> None:
        """A stream has shown life: from now on it may be silent for so long."""
        if self._until is None:
            return
        self._end_in(seconds)
        if self._watcher is not None or not self._terms.watch:  # else the timer fires soon, for the watcher, and looks
            self._deadline.arm(seconds)

    def _end_in(self, seconds: float) -> None:
        self._until = self._loop.time() + seconds
        if self._terms.binding:
            self._ctx.ends_at = time.monotonic() + seconds

    def interrupt(self) -> None:
        """Cancel the app now, once: the timer that a second call would start is one that nobody stops."""
        if self._abandonment is not None:
            return
        self._deadline.cancel()
        self._abandonment = self._loop.call_later(_ABANDON_AFTER_SECONDS, self._on_abandoned)

    def _expire(self) -> bool:
        """The timer fired: time for the watcher, or time is up. Never asks Deadline to cancel: interrupt() does."""
        if self._terms.watch and self._watcher is None:
            self._watcher = self._loop.create_task(self._watch())
        if self._until is None:
            return False
        remaining = self._until - self._loop.time()
        if remaining > 0.0005:
            self._deadline.arm(remaining)
        else:
            self._until = None  # once is enough, also where nothing is cut (monitor mode)
            if self._on_timeout():
                self.interrupt()
        return False

    async def _watch(self) -> None:
        while not self._pump.disconnected:
            await self._pump.next_message()
        if self._abandonment is not None:
            return  # the client has its answer, and left with it while the app was cleaning up
        self.left = True
        if self._terms.stop_on_leave:
            self.interrupt()

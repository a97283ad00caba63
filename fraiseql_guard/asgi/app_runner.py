"""Runs the app under its deadline and stops its work when the client leaves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Final, Protocol

from fraiseql_guard.asgi.deadline import take_back
from fraiseql_guard.asgi.request_body import RequestBody
from fraiseql_guard.asgi.timeout_policy import TimeoutPolicy
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.deadline_timers import DeadlineTimer, DeadlineTimers

_WATCH_AFTER_SECONDS: Final = 0.05
"""The watcher for disconnects starts after this time, so that quick requests never pay for one."""
_ABANDON_AFTER_SECONDS: Final = 1.0
"""How long a cancelled app may take to clean up before it counts as one that ignores its cancellation."""
_AS_GOOD_AS_OVER_SECONDS: Final = 0.0005


class RunObserver(Protocol):
    """Is told when an app's run outlasts its time."""

    def time_is_up(self) -> bool:
        """The deadline has come: answer the client, and return whether to cancel the app (False in monitor mode)."""
        ...

    def abandoned(self) -> None:
        """The app goes on although it was cancelled."""
        ...


class AppRunner:
    """One run of the app, in the caller's task. Sets ``ctx.ends_at``, from which the app learns its deadline.

    The timer compares the deadline again when it rings, so that extending the deadline costs nothing. Attributes keep
    the class's default until something happens, since most runs end before.
    """

    left = False  # whether the client left before its answer was complete
    task: asyncio.Task[object] | None = None  # while the app runs
    _began_at = 0.0  # on the loop's clock
    _timer: DeadlineTimer | None = None
    _until: float | None = None  # on the loop's clock; None once time is up, or the answer complete
    _watcher: asyncio.Task[None] | None = None
    _abandonment: asyncio.TimerHandle | None = None  # once the app was cancelled

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        timers: DeadlineTimers,
        body: RequestBody | None,
        policy: TimeoutPolicy,
        ctx: RequestContext,
        observer: RunObserver,
    ) -> None:
        self._loop = loop
        self._timers = timers
        # A server tells of a disconnect only after the whole body.
        self._watched = body if policy.stop_on_leave and body is not None and body.complete else None
        self._ctx = ctx
        self._observer = observer
        self._policy = policy

    @property
    def seconds(self) -> float:
        """How long the app has been at work, by the loop's clock."""
        return self._loop.time() - self._began_at

    async def run(self, work: Awaitable[object]) -> None:
        """Run the app to its end, its deadline, or its client's disconnect."""
        task = self.task = asyncio.current_task()
        self._began_at = self._loop.time()
        if self._policy.timeout_seconds is not None:
            self._set_timer(self._policy.timeout_seconds)
        try:
            await work
        except (asyncio.CancelledError, Exception):
            if self._abandonment is None:
                raise  # else it was stopped and the client answered: its exception plays no part
        finally:
            self.task = None
            if self._timer is not None or self._ctx.ends_at is not None or self._watcher is not None:
                self.stop()
            if self._abandonment is not None:
                self._abandonment.cancel()
        if self._abandonment is not None and task is not None:
            await take_back(task)

    def _set_timer(self, seconds: float) -> None:
        """Set the deadline, and the timer: to the deadline, or sooner if the client is to be watched by then."""
        self._until = self._began_at + seconds
        if self._policy.binding:
            self._ctx.ends_at = time.monotonic() + seconds
        first = seconds if self._watched is None else min(seconds, _WATCH_AFTER_SECONDS)
        self._timer = self._timers.call_at(self._began_at + first, self._look)

    def stop(self) -> None:
        """Lift deadline and watch: the answer is complete, and the app's background tasks go on."""
        self._until = self._ctx.ends_at = None
        if self._timer is not None:
            self._timer.call = None
            self._timer = None
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None

    def extend(self, seconds: float) -> None:
        """Move the deadline to ``seconds`` from now, since a stream has sent something."""
        if self._until is None:
            return
        now = self._loop.time()
        self._until = now + seconds
        if self._policy.binding:
            self._ctx.ends_at = time.monotonic() + seconds
        if self._timer is not None and now + seconds < self._timer.when():
            self._timer.cancel()
            self._timer = self._timers.call_at(now + seconds, self._look)

    def lift(self) -> None:
        """Lift the deadline; a client that leaves stops the app as before."""
        self._until = self._ctx.ends_at = None

    def interrupt(self) -> None:
        """Cancel the app now. A second call does nothing."""
        if self.task is None or self._abandonment is not None:
            return
        self._abandonment = self._loop.call_later(_ABANDON_AFTER_SECONDS, self._observer.abandoned)
        self.task.cancel()

    def _look(self) -> None:
        """Start the watcher, or end the run, when the timer rings. Runs outside the app's task, so that the client is
        answered even if the app ignores its cancellation."""
        self._timer = None
        if self._watched is not None and self._watcher is None:
            self._watcher = self._loop.create_task(self._watch(self._watched))
        if self._until is None:
            return
        if self._until - self._loop.time() > _AS_GOOD_AS_OVER_SECONDS:
            self._timer = self._timers.call_at(self._until, self._look)
            return
        self._until = None  # once is enough, also where nothing is cut (monitor mode)
        if self._observer.time_is_up():
            self.interrupt()

    async def _watch(self, body: RequestBody) -> None:
        """Wait until the client leaves, and stop the app then."""
        while not body.disconnected:
            await body.next_message()
        if self._abandonment is not None:
            return  # the client has its answer, and left with it while the app was cleaning up
        self.left = True
        self.interrupt()

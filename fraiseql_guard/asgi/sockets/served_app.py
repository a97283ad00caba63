"""Runs the app on one socket, and cancels it where it does not stop by itself, which no server does."""

from __future__ import annotations

import asyncio
from typing import Final

from fraiseql_guard.asgi.deadline import take_back
from fraiseql_guard.asgi.sockets import dialects
from fraiseql_guard.asgi.sockets.link import FULL, Link, Phase
from fraiseql_guard.asgi.sockets.registry import Ending
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.signals import OVERLOADED, ClosingReason

STEP_SECONDS: Final = 1.0
"""Time that the app has for each step of an end: to receive the message, and to return after its cancellation."""
_INTERNAL_ERROR: Final = 1011
"""RFC 6455, section 7.4.1."""
_DESERTED: Final = Ending(ClosingReason.APP, OVERLOADED, OVERLOADED.name, dialects.UNAVAILABLE)


class ServedApp:
    """The app's work on one socket, in the task that the server has made for it."""

    __slots__ = ("_interrupted", "_link", "_task", "_timer", "_works")

    def __init__(self, link: Link) -> None:
        self._link = link
        self._task: asyncio.Task[object] | None = None
        self._works = self._interrupted = False
        self._timer: asyncio.TimerHandle | None = None  # of the next step

    def begin(self) -> None:
        """Note that the app begins to run, in the current task."""
        self._task, self._works = asyncio.current_task(), True

    def returned(self, failure: type[BaseException] | None) -> bool:
        """Note that the app has returned or raised ``failure``. False if it has failed by itself, and was not
        stopped."""
        self._works = False
        if failure is not None and not self._interrupted:
            self._link.app_closed(_INTERNAL_ERROR)  # by the server
            return False
        return failure is None or issubclass(failure, (asyncio.CancelledError, Exception))

    async def leave(self) -> None:
        """Close the socket towards the client, if the app has returned without doing so."""
        if self._interrupted and self._task is not None:
            await take_back(self._task)
        # Without a close code the client would come back at once.
        link = self._link
        if link.opened_at is not None and link.phase is not Phase.OVER:
            link.end(_DESERTED)

    def can_end(self) -> None:
        """The app can receive the end of the socket from now on: give it STEP_SECONDS to return."""
        link = self._link
        if link.ending is not None or link.runtime.timeout_policies.query.stop_on_leave:
            self._timer = link.loop.call_later(STEP_SECONDS, self._interrupt, link.ctx)

    def stuck(self, ctx: RequestContext) -> None:
        """Cancel the app, which does not receive the message that ends an operation past its deadline. ``ctx`` is the
        operation's."""
        self._link.end(FULL)
        self._interrupt(ctx)

    def _interrupt(self, ctx: RequestContext) -> None:
        if self._task is None or not self._works or self._interrupted:
            return
        self._interrupted = True
        self.forget()
        self._timer = self._link.loop.call_later(STEP_SECONDS, self._abandoned, ctx)
        self._task.cancel()

    def _abandoned(self, ctx: RequestContext) -> None:
        """Record that the app goes on although it was cancelled."""
        runtime = self._link.runtime
        runtime.tell(runtime.recorder.abandoned, ctx, round(self._link.age_seconds, 3))

    def forget(self) -> None:
        """Cancel the timer of the next step."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

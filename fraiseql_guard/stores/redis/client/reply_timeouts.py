"""Fails the requests to a server that were not answered in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from fraiseql_guard.core.deadline_timers import DeadlineTimers
from fraiseql_guard.stores.protocol import StoreError

LATE_SECONDS: Final = 0.005
"""A timer that fires later than this shows that the loop was busy."""


class ReplyTimeouts:
    """Fails the requests of an event loop that were not answered in time, and calls ``on_timeout``.

    Giving up cancels nothing: the answer may still come, and is dropped then.
    """

    __slots__ = ("_loop", "_on_timeout", "_timers", "clear", "watch")

    def __init__(self, loop: asyncio.AbstractEventLoop, on_timeout: Callable[[], None]) -> None:
        self._loop = loop
        self._on_timeout = on_timeout
        self._timers = DeadlineTimers(loop)
        self.watch: Callable[[float, asyncio.Future[Any], float], None] = partial(self._timers.watch, self._expire)
        """``watch(due, future, timeout_seconds)``: fail ``future`` at ``due`` (by the loop's clock), saying that it
        took longer than ``timeout_seconds``."""
        self.clear: Callable[[], None] = self._timers.clear
        """Forget all requests."""

    def _expire(
        self, future: asyncio.Future[Any], late: float, timeout_seconds: float, waited_for: bool = False
    ) -> None:
        # A deadline that fires late gets its lost time back, once.
        now = self._loop.time()
        if late > LATE_SECONDS and not waited_for:
            # The loop was busy (uvloop runs timers before it reads): the answer may be unread, or the command unsent. A
            # busy loop is not a slow store, so the request gets once the time that the loop took away.
            self._timers.watch(self._expire, now + min(late, timeout_seconds), future, timeout_seconds, True)
            return
        future.set_exception(StoreError("timeout", f"no answer within {timeout_seconds * 1000:.0f} ms"))
        # In the next turn, when all requests that are due have failed: it may drop the connection, and fail the others.
        self._loop.call_soon(self._on_timeout)

"""Deadlines of many questions at the price of one timer: most are answered long before anybody looks."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any, Final

from fraiseql_guard.stores.protocol import StoreError

LATE_SECONDS: Final = 0.005
"""A timer that fires later than this tells of a busy loop."""


_Watched = tuple[float, asyncio.Future[Any], float, bool]
"""When it is due, the question, after how many seconds that is, and whether it got more time already."""


class Patience:
    """Fails the questions of an event loop that were not answered in time; ``on_timeout`` hears of it.

    Giving up cancels nothing: the answer may still come, and is nobody's then.
    """

    __slots__ = ("_looks_at", "_loop", "_on_timeout", "_timer", "_watched")

    def __init__(self, loop: asyncio.AbstractEventLoop, on_timeout: Callable[[], None]) -> None:
        self._loop = loop
        self._on_timeout = on_timeout
        self._watched: list[_Watched] = []
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at = math.inf

    def watch(self, future: asyncio.Future[Any], due: float, timeout_seconds: float) -> None:
        """Fail ``future`` at ``due``, on the loop's clock, which is after so many seconds."""
        self._watched.append((due, future, timeout_seconds, False))
        if due < self._looks_at:
            self._look_at(due)

    def end(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._looks_at = None, math.inf
        self._watched.clear()

    def _look_at(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._looks_at = due
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        now, unanswered = self._loop.time(), [each for each in self._watched if not each[1].done()]
        self._timer, self._looks_at = None, math.inf
        self._watched = left = []
        given_up = 0
        for each in unanswered:
            due, future, timeout_seconds, waited_for = each
            late = now - due
            if late < 0:
                left.append(each)
            elif late > LATE_SECONDS and not waited_for:
                # The loop was busy (uvloop runs timers before it reads): the answer may lie there unread, or the
                # command unsent. A busy loop is not a slow store, so it gets once the time that the loop took away.
                left.append((now + min(late, timeout_seconds), future, timeout_seconds, True))
            else:
                future.set_exception(StoreError("timeout", f"no answer within {timeout_seconds * 1000:.0f} ms"))
                given_up += 1
        if left and (due := min(each[0] for each in left)) < self._looks_at:
            self._look_at(due)
        for _ in range(given_up):  # at the end: it may fail other questions, by dropping their connection
            self._on_timeout()

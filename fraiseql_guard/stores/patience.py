"""Deadlines of many questions at the price of one timer: most are answered long before it fires.

A look costs what is due, however many questions wait.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any, Final

from fraiseql_guard.stores.protocol import StoreError

LATE_SECONDS: Final = 0.005
"""A timer that fires later than this tells of a busy loop."""


_Watched = tuple[float, int, asyncio.Future[Any], float, bool]
"""When it is due, its number, the question, after how many seconds that is, and whether it got more time already."""


class Patience:
    """Fails the questions of an event loop that were not answered in time; ``on_timeout`` hears of it.

    Giving up cancels nothing: the answer may still come, and is not read then.
    """

    __slots__ = ("_looks_at", "_loop", "_numbers", "_on_timeout", "_timer", "_watched")

    def __init__(self, loop: asyncio.AbstractEventLoop, on_timeout: Callable[[], None]) -> None:
        self._loop = loop
        self._on_timeout = on_timeout
        self._watched: list[_Watched] = []  # a heap; the number keeps those of one moment in order
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at = math.inf

    def watch(self, future: asyncio.Future[Any], due: float, timeout_seconds: float) -> None:
        """Fail ``future`` at ``due``, on the loop's clock, which is after so many seconds."""
        heappush(self._watched, (due, next(self._numbers), future, timeout_seconds, False))
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
        now, watched, due = self._loop.time(), self._watched, []
        self._timer, self._looks_at = None, math.inf
        while watched and (watched[0][0] <= now or watched[0][2].done()):
            due.append(heappop(watched))
        given_up = sum([self._is_given_up(each, now) for each in due if not each[2].done()])
        if watched and watched[0][0] < self._looks_at:
            self._look_at(watched[0][0])
        for _ in range(given_up):  # at the end: it may fail other questions, by dropping their connection
            self._on_timeout()

    def _is_given_up(self, watched: _Watched, now: float) -> bool:
        """Fail a question that is due, unless it gets more time."""
        due, number, future, timeout_seconds, waited_for = watched
        late = now - due
        if late > LATE_SECONDS and not waited_for:
            # The loop was busy (uvloop runs timers before it reads): the answer may lie there unread, or the command
            # unsent. A busy loop is not a slow store, so it gets once the time that the loop took away.
            heappush(self._watched, (now + min(late, timeout_seconds), number, future, timeout_seconds, True))
            return False
        future.set_exception(StoreError("timeout", f"no answer within {timeout_seconds * 1000:.0f} ms"))
        return True

"""A task that does something every few seconds, beside the requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from fraiseql_guard.core.loop_task import LoopTask

INTERVAL_SECONDS: Final = 2.0
"""Short, because the work is small: it reads about eight files, which the kernel makes of its counters."""


def _nothing() -> None:
    """Stands in for the work until it is given."""


class PeriodicTask:
    """Calls ``work`` at once and then at intervals, in each event loop in which :meth:`ensure_running` was called."""

    __slots__ = ("_interval_seconds", "_ticking", "_work", "aclose")

    def __init__(self, *, interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._interval_seconds = interval_seconds
        self._work: Callable[[], None] = _nothing
        self._ticking = LoopTask(self._tick)
        self.aclose = self._ticking.aclose
        """Stop in the running event loop."""

    def ensure_running(self, work: Callable[[], None]) -> None:
        """Call ``work``, which must not raise, in the running event loop from now on. It replaces the former work."""
        self._work = work
        self._ticking.ensure_running()

    async def _tick(self) -> None:
        while True:
            self._work()
            # Counted from the end of the work, so that slow work is not followed by more at once.
            await asyncio.sleep(self._interval_seconds)

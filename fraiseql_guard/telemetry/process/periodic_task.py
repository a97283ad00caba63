"""Does something every few seconds, in one task beside the requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from fraiseql_guard.core.loop_task import LoopTask

INTERVAL_SECONDS: Final = 2.0
"""A look reads eight small files or so, which the kernel writes from its counters."""


def _nothing() -> None:
    """Until there is work."""


class PeriodicTask:
    """Calls ``work``, which must not raise, at once and then at intervals, in each event loop that asks."""

    __slots__ = ("_interval_seconds", "_ticking", "_work", "aclose")

    def __init__(self, *, interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._interval_seconds = interval_seconds
        self._work: Callable[[], None] = _nothing
        self._ticking = LoopTask(self._tick)
        self.aclose = self._ticking.aclose
        """Stop in the running event loop."""

    def ensure_running(self, work: Callable[[], None]) -> None:
        """Tick in the running event loop from now on, if that is not the case already; new work replaces the old."""
        self._work = work
        self._ticking.ensure_running()

    async def _tick(self) -> None:
        while True:
            self._work()
            await asyncio.sleep(self._interval_seconds)

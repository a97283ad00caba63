"""Does something every few seconds, in one task beside the requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

INTERVAL_SECONDS: Final = 2.0
"""A look reads eight small files or so, which the kernel writes from its counters."""


def _nothing() -> None:
    """Until there is work."""


class Ticker:
    """Calls ``work``, which must not raise, at once and then at intervals, in one event loop."""

    __slots__ = ("_interval_seconds", "_task", "_work")

    def __init__(self, *, interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._interval_seconds = interval_seconds
        self._task: asyncio.Task[None] | None = None
        self._work: Callable[[], None] = _nothing

    def ensure_running(self, work: Callable[[], None]) -> None:
        """Tick in the running event loop from now on, if that is not the case already; new work replaces the old."""
        self._work = work
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done() or self._task.get_loop() is not loop:
            self._task = loop.create_task(self._tick())

    async def _tick(self) -> None:
        while True:
            self._work()
            await asyncio.sleep(self._interval_seconds)

    async def aclose(self) -> None:
        """Stop."""
        task, self._task = self._task, None
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            await asyncio.wait([task])

"""An event loop's clock and timers, moved by hand."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Handle:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Turns:
    """A loop's clock and timers, moved by hand. ``late``: how much later than due timers are run."""

    def __init__(self) -> None:
        self.failures: list[dict[str, Any]] = []
        self.now = 0.0
        self.timers: list[tuple[float, int, Handle, Callable[[], None]]] = []
        self.made = 0

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], None]) -> Handle:
        self.made += 1
        handle = Handle()
        heapq.heappush(self.timers, (when, self.made, handle, call))
        return handle

    def call_soon(self, call: Callable[[], None]) -> Handle:
        return self.call_at(self.now, call)

    def until(self, moment: float, late: float = 0.0) -> None:
        while self.timers and self.timers[0][0] + late <= moment:
            when, _, handle, call = heapq.heappop(self.timers)
            self.now = max(self.now, when + late)
            if not handle.cancelled:
                call()
        self.now = max(self.now, moment)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.failures.append(context)

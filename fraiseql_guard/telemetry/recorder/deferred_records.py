"""Records of requests that are counted a moment later, many at a time.

Counting code that runs once a request, between everything that an app does, finds the processor's caches cold: it takes
five times as long as in a loop (docs/design/mechanisms.md). So plain accounting waits until several records are there.
Refusals and their lines never wait here: they must not be lost if the process is killed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Any, Final

from fraiseql_guard.core.loop_task import LoopTimer

TELL_SECONDS: Final = 0.2
"""Longest wait of a record: what a process that is killed may lose."""
MOST: Final = 64
"""Records that wait at most. Counting so many takes a millisecond or two, which is how long requests wait for it."""


class DeferredRecords:
    """Calls ``count`` with each record that was added, in order: from the event loop, or before the numbers are shown.

    ``on_fault`` is told of a record that ``count`` raised for.
    """

    __slots__ = ("_count", "_count_soon", "_counting", "_on_fault", "_waiting")

    def __init__(self, count: Callable[..., None], on_fault: Callable[[str, BaseException], None]) -> None:
        self._count = count
        self._on_fault = on_fault
        self._waiting: deque[tuple[Any, ...]] = deque()
        self._counting = Lock()  # a scrape may run in another thread
        self._count_soon = LoopTimer(TELL_SECONDS, self.flush).start

    def add(self, *record: Any) -> None:
        """Have a record counted soon; at once where no event loop runs, as in a thread of the app's own."""
        self._waiting.append(record)
        if len(self._waiting) >= MOST:
            self.flush()
            return
        try:
            self._count_soon()
        except RuntimeError:  # no running event loop
            self.flush()

    def flush(self) -> None:
        """Count everything that waits, now."""
        with self._counting:
            while self._waiting:
                try:
                    self._count(*self._waiting.popleft())
                except Exception as error:  # noqa: BLE001 - the records after a broken one are counted all the same
                    self._on_fault("settle", error)

"""What requests leave behind to be counted, a little later and many at a time.

Code that runs once a request, between all that an app does, is code that no cache of the processor holds: it takes five
times as long as the same code in a loop (measured). So plain accounting waits for company. What an engineer or an
attacker's victim must not lose, refusals and their lines above all, never waits here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Any, Final

from fraiseql_guard.core.loop_task import LoopTimer

TELL_SECONDS: Final = 0.2
"""Longest wait: what a process that is killed takes with it."""
MOST: Final = 64
"""So many are told at once at the latest, which keeps the pause that it makes below a millisecond or two."""


class DeferredRecords:
    """Calls ``tell`` with each record that was added, in order, from the event loop or before the numbers are shown.

    ``on_fault`` hears of a record that could not be told.
    """

    __slots__ = ("_on_fault", "_tell", "_tell_soon", "_telling", "_waiting")

    def __init__(self, tell: Callable[..., None], on_fault: Callable[[str, BaseException], None]) -> None:
        self._tell = tell
        self._on_fault = on_fault
        self._waiting: deque[tuple[Any, ...]] = deque()
        self._telling = Lock()  # another thread may look
        self._tell_soon = LoopTimer(TELL_SECONDS, self.tell).start

    def add(self, *record: Any) -> None:
        """Have this told soon; at once where no event loop is that could do it, as in a thread of the app's own."""
        self._waiting.append(record)
        if len(self._waiting) >= MOST:
            self.tell()
            return
        try:
            self._tell_soon()
        except RuntimeError:
            self.tell()

    def tell(self) -> None:
        """Tell everything now."""
        with self._telling:
            while self._waiting:
                try:
                    self._tell(*self._waiting.popleft())
                except Exception as error:  # noqa: BLE001 - one record that breaks keeps no other from being told
                    self._on_fault("settle", error)

"""Which callers have lately failed to say who they are: what makes a success worth a line in any flood."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.stores.recent import Recent

_MAX_CALLERS: Final = 10_000


class RecentFailures:
    """Failures of each caller within ``window_seconds`` of the last one. Bounded: whoever failed last is known."""

    __slots__ = ("_known", "window_seconds")

    def __init__(self, window_seconds: float) -> None:
        self.window_seconds = window_seconds
        self._known: Recent[str, tuple[int, float]] = Recent(_MAX_CALLERS)

    def note(self, caller: str, now: float) -> None:
        """A failure of a caller."""
        count, last = self._known.get(caller) or (0, now)
        self._known.put(caller, (count + 1 if now - last < self.window_seconds else 1, now))

    def take(self, caller: str, now: float) -> int:
        """How many failures a success comes after; they are forgotten with it."""
        if not len(self._known):
            return 0
        count, last = self._known.pop(caller) or (0, now)
        return count if now - last < self.window_seconds else 0

"""Which callers failed to authenticate lately: a success after failures is logged beyond the log's rate limit too."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.core.lru import Lru

_MAX_CALLERS: Final = 10_000
FAILING_SECONDS: Final = 300.0
"""How long an address counts as failing after its last failure."""


class RecentFailures:
    """Counts the failures of each caller, until ``window_seconds`` after the last one. At most 10,000 callers are
    remembered, those that failed last."""

    __slots__ = ("_known", "window_seconds")

    def __init__(self, window_seconds: float) -> None:
        self.window_seconds = window_seconds
        self._known: Lru[str, tuple[int, float]] = Lru(_MAX_CALLERS)

    def __len__(self) -> int:
        return self._known.count()

    def note(self, caller: str, now: float) -> None:
        """Count a failure of a caller."""
        count, last = self._known.get(caller) or (0, now)
        self._known.put(caller, (count + 1 if now - last < self.window_seconds else 1, now))

    def take(self, caller: str, now: float) -> int:
        """The number of failures before a success of this caller, 0 if they are too old. Forgets them."""
        if not len(self._known):  # nearly always: no work for an ordinary success
            return 0
        count, last = self._known.pop(caller) or (0, now)
        return count if now - last < self.window_seconds else 0


class FailingAddresses:
    """Counts the addresses that failed within the last five minutes, up to 10,000."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: Lru[str, float] = Lru(_MAX_CALLERS)

    def note(self, address: str, now: float) -> None:
        """Count a failure of an address."""
        self._last.put(address, now)

    def count(self, now: float) -> int:
        """How many addresses count as failing now. Forgets the others."""
        last = self._last
        while (oldest := last.oldest(1)) and now - oldest[0][1] >= FAILING_SECONDS:
            last.pop_oldest()
        return len(last)

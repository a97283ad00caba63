"""Which callers have lately failed to say who they are: what makes a success worth a line in any flood."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.core.lru import Lru

_MAX_CALLERS: Final = 10_000
FAILING_SECONDS: Final = 300.0
"""How long an address counts as one that fails."""


class RecentFailures:
    """Failures of each caller within ``window_seconds`` of the last one. Bounded: those who failed last are known."""

    __slots__ = ("_known", "window_seconds")

    def __init__(self, window_seconds: float) -> None:
        self.window_seconds = window_seconds
        self._known: Lru[str, tuple[int, float]] = Lru(_MAX_CALLERS)

    def __len__(self) -> int:
        return self._known.count()

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


class FailingAddresses:
    """How many addresses have failed within the last five minutes. Bounded: at most 10,000 are told apart."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: Lru[str, float] = Lru(_MAX_CALLERS)

    def note(self, address: str, now: float) -> None:
        """A failure of an address."""
        self._last.put(address, now)

    def count(self, now: float) -> int:
        """Those that count now; the others are forgotten."""
        last = self._last
        while (oldest := last.oldest(1)) and now - oldest[0][1] >= FAILING_SECONDS:
            last.pop_oldest()
        return len(last)

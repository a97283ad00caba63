"""Counts in bounded memory: the most frequent of any number of names, and events over time."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Final

_MAX_NAMES: Final = 5_000
_MAX_MOMENTS: Final = 3_000
_PRECISIONS: Final = (16, 13, 10)  # characters of 2026-01-31T12:00:00.000Z that say the minute, the hour, the day


class TopCounter:
    """Counts names, and forgets rare ones when there are too many.

    A count is never too high, and too low by ``error`` at most (Misra and Gries, 1982, in batches). A forgotten name
    was counted at most ``error`` times.
    """

    __slots__ = ("_counts", "_max", "error", "total")

    def __init__(self, max_names: int = _MAX_NAMES) -> None:
        self._counts: dict[str, int] = {}
        self._max = max_names
        self.error = 0
        self.total = 0

    def add(self, name: str, amount: int = 1) -> None:
        """Count a name ``amount`` times."""
        self.total += amount
        counts = self._counts
        counts[name] = counts.get(name, 0) + amount
        # Forgetting only at twice the size makes it rare and cheap on average.
        if len(counts) > 2 * self._max:
            self._forget()

    def _forget(self) -> None:
        # Subtract the count of the first name beyond the most frequent ones from all; names that reach 0 are dropped.
        least = heapq.nlargest(self._max + 1, self._counts.values())[-1]
        self.error += least
        self._counts = {name: count - least for name, count in self._counts.items() if count > least}

    def top(self, count: int) -> list[tuple[str, int]]:
        """The ``count`` most frequent names with their counts; equal counts by name."""
        return heapq.nsmallest(count, self._counts.items(), key=lambda each: (-each[1], each[0]))

    def share(self, count: int = 1) -> float:
        """The part of the total that the ``count`` most frequent names have, 0 to 1; 0 if nothing was counted."""
        return sum(amount for _, amount in self.top(count)) / self.total if self.total else 0.0

    def __len__(self) -> int:
        """The number of remembered names: at least so many were counted."""
        return len(self._counts)

    def __contains__(self, name: object) -> bool:
        """Whether a name is remembered."""
        return name in self._counts

    def __getitem__(self, name: str) -> int:
        """The count of a name, which may be too low; 0 for a name that is not remembered."""
        return self._counts.get(name, 0)


class Timeline:
    """Counts events by minute; beyond 3,000 minutes by hour, beyond 3,000 hours by day."""

    __slots__ = ("_moments", "_precision")

    def __init__(self) -> None:
        self._moments: dict[str, int] = {}
        self._precision = 0

    def add(self, timestamp: str, amount: int = 1) -> None:
        """Count events at a moment, given as a log line's timestamp."""
        moment = timestamp[: _PRECISIONS[self._precision]]
        self._moments[moment] = self._moments.get(moment, 0) + amount
        # Steps become coarser and never finer again.
        if len(self._moments) > _MAX_MOMENTS and self._precision + 1 < len(_PRECISIONS):
            self._precision += 1
            self._coarsen()

    def _coarsen(self) -> None:
        fine, self._moments = self._moments, {}
        for moment, amount in fine.items():
            short = moment[: _PRECISIONS[self._precision]]
            self._moments[short] = self._moments.get(short, 0) + amount

    @property
    def moments(self) -> Mapping[str, int]:
        """The counts by step in UTC, in order: ``2026-01-31T12:00Z``, ``2026-01-31T12Z`` or ``2026-01-31``."""
        zone = "" if self.unit == "day" else "Z"
        return {f"{moment}{zone}": amount for moment, amount in sorted(self._moments.items())}

    @property
    def unit(self) -> str:
        """The length of a step: minute, hour or day."""
        return ("minute", "hour", "day")[self._precision]

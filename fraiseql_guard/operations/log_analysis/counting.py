"""Counters in bounded memory: the most frequent of any number of names, and events over time."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Final

_MAX_NAMES: Final = 5_000
_MAX_MOMENTS: Final = 3_000
_PRECISIONS: Final = (16, 13, 10)  # characters of 2026-01-31T12:00:00.000Z that say the minute, the hour, the day


class TopCounter:
    """Counts names, and forgets rare ones when there are too many.

    A count is never too high, and too low by ``error`` at most (Misra and Gries, 1982, in batches). No name that was
    forgotten was counted more often than ``error``.
    """

    __slots__ = ("_counts", "_max", "error", "total")

    def __init__(self, max_names: int = _MAX_NAMES) -> None:
        self._counts: dict[str, int] = {}
        self._max = max_names
        self.error = 0
        self.total = 0

    def add(self, name: str, amount: int = 1) -> None:
        """Count a name."""
        self.total += amount
        counts = self._counts
        counts[name] = counts.get(name, 0) + amount
        # Twice the room: then forgetting is rare, and costs little for each name on average.
        if len(counts) > 2 * self._max:
            self._forget()

    def _forget(self) -> None:
        # Take from every count what the first name beyond the most frequent ones has: those below it drop out.
        least = heapq.nlargest(self._max + 1, self._counts.values())[-1]
        self.error += least
        self._counts = {name: count - least for name, count in self._counts.items() if count > least}

    def top(self, count: int) -> list[tuple[str, int]]:
        """The most frequent names with their counts; of equal counts, in the order of the names."""
        return heapq.nsmallest(count, self._counts.items(), key=lambda each: (-each[1], each[0]))

    def share(self, count: int = 1) -> float:
        """The part of the total that the most frequent names have, 0 to 1."""
        return sum(amount for _, amount in self.top(count)) / self.total if self.total else 0.0

    def __len__(self) -> int:
        """How many names are remembered: at least so many were counted."""
        return len(self._counts)

    def __contains__(self, name: object) -> bool:
        """Whether a name is remembered."""
        return name in self._counts

    def __getitem__(self, name: str) -> int:
        """How often a name was counted, at least; 0 for one that is not remembered."""
        return self._counts.get(name, 0)


class Timeline:
    """Counts events by minute; over a longer time by hour, and then by day, so that it stays short."""

    __slots__ = ("_moments", "_precision")

    def __init__(self) -> None:
        self._moments: dict[str, int] = {}
        self._precision = 0

    def add(self, timestamp: str, amount: int = 1) -> None:
        """Count events at a moment, given as a log line's timestamp."""
        moment = timestamp[: _PRECISIONS[self._precision]]
        self._moments[moment] = self._moments.get(moment, 0) + amount
        # A longer time is shown in coarser steps, which never go back.
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
        """The counts by moment, in order: ``2026-01-31T12:00Z``, ``2026-01-31T12Z``, or a day in UTC."""
        zone = "" if self.unit == "day" else "Z"
        return {f"{moment}{zone}": amount for moment, amount in sorted(self._moments.items())}

    @property
    def unit(self) -> str:
        """What a moment stands for: minute, hour or day."""
        return ("minute", "hour", "day")[self._precision]

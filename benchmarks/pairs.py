"""Figures from a machine that others use too: differences inside short rounds, their median, and how sure it is.

A neighbour who works for a minute slows whole rounds down, and with them both sides of a difference; one who works for
a moment spoils single rounds, which a median does not feel. What is left shows in the interval.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_Z_95 = 1.96


@dataclass(frozen=True, slots=True)
class Median:
    """A median with the 95 percent interval that it lies in, whatever the distribution of the values is."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.3f} ({self.low:+.3f} to {self.high:+.3f})"


def median_of(values: Sequence[float]) -> Median:
    """The interval is between two of the values: those whose ranks a fair coin would reach (a sign test turned round).

    With fewer than six values it is all of them. ValueError without any.
    """
    if not values:
        raise ValueError("no values, no median")
    ordered = sorted(values)
    reach = _Z_95 * math.sqrt(len(ordered)) / 2
    low = max(0, math.floor((len(ordered) - 1) / 2 - reach))
    high = min(len(ordered) - 1, math.ceil((len(ordered) - 1) / 2 + reach))
    return Median(statistics.median(ordered), ordered[low], ordered[high])


def added(values: Sequence[float], base: Sequence[float]) -> Median:
    """What ``values`` have more than ``base``, round by round."""
    return median_of([one - other for one, other in zip(values, base, strict=True)])


def calmest(values: Sequence[float]) -> float:
    """The first decile: what it takes when hardly anybody disturbs, yet no single lucky round."""
    return sorted(values)[len(values) // 10]


def order(count: int, number: int) -> list[int]:
    """In which order a round runs its rows: each is first, last and everybody's neighbour equally often."""
    rotated = [(place + number // 2) % count for place in range(count)]
    return rotated[::-1] if number % 2 else rotated

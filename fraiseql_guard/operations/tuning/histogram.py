"""A distribution as columns on a logarithmic axis, since real use has a long tail. All pictures of it are drawn from
this one: SVG files, strips of characters, and the console's charts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

COLUMNS: Final = 60
_DECADES: Final = 7
"""An axis is no longer than so many tens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """How often numbers were seen: counts in columns, from ``low`` to ``high`` of a logarithmic axis. What is smaller
    than ``low`` stands in the first column.

    ``marks`` are places on the axis, from 0 to 1: p50, p99 and p99.9 of the numbers, the present limit, and the
    recommended one if there is one.
    """

    low: float
    high: float
    columns: Sequence[int]
    marks: Mapping[str, float]

    def place(self, number: float) -> float:
        """Where a number stands on the axis, from 0 to 1."""
        return _place(number, self.low, self.high)


def histogram(bins: Iterable[tuple[float, int]], marks: Mapping[str, float]) -> Histogram:
    """The histogram of numbers with their counts; ``marks`` are numbers as well. All marks fit on the axis."""
    bins = list(bins)
    numbers = [*(number for number, _ in bins if number > 0), *marks.values()] or [1.0]
    high = max(1.0, *numbers) * 1.1
    low = max(min(1.0, *(number for number in numbers if number > 0)), high / 10**_DECADES)
    columns = [0] * COLUMNS
    for number, count in bins:
        columns[column_of(_place(number, low, high))] += count
    places = {name: round(_place(number, low, high), 4) for name, number in marks.items()}
    return Histogram(low=low, high=high, columns=columns, marks=places)


def column_of(place: float) -> int:
    """The column in which a place on the axis is."""
    return min(COLUMNS - 1, int(place * COLUMNS))


def _place(number: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, math.log(max(number, low) / low) / math.log(high / low)))

"""Histograms on a logarithmic axis, since real use has a long tail. SVG files, strips of characters and the console's
charts are all drawn from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

COLUMNS: Final = 60
_DECADES: Final = 7
"""Most powers of ten that an axis covers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Counts of numbers in columns of a logarithmic axis from ``low`` to ``high``. The first column has all smaller
    numbers as well.

    ``marks`` are places on the axis, from 0 to 1: of p50, p99 and p99.9, of the present limit, and of the recommended
    limit if there is one.
    """

    low: float
    high: float
    columns: Sequence[int]
    marks: Mapping[str, float]

    def place(self, number: float) -> float:
        """The place of a number on the axis, from 0 to 1."""
        return _place(number, self.low, self.high)


def histogram(bins: Iterable[tuple[float, int]], marks: Mapping[str, float]) -> Histogram:
    """Make the histogram of pairs of a number and its count. ``marks`` are numbers by name, which all fit on the
    axis."""
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
    """The index of the column at a place on the axis."""
    return min(COLUMNS - 1, int(place * COLUMNS))


def _place(number: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, math.log(max(number, low) / low) / math.log(high / low)))

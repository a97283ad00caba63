"""Computes quantiles of any number of whole numbers in bounded memory, with a relative error of 2 %.

A sketch counts numbers in bins whose bounds grow by 4 % (Masson, Rim, Lee: DDSketch, 2019). Sketches are merged by
adding their counts; the order makes no difference.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

GROWTH: Final = 1.04
RELATIVE_ERROR: Final = (GROWTH - 1) / (GROWTH + 1)
"""Largest relative error of a quantile. Numbers below 25 have bins of their own, and no error."""
MAX_BINS: Final = 256
"""Most bins of a sketch. Beyond, the lowest bins are joined, since limits are about the largest numbers."""
MAX_NUMBER: Final = (1 << 53) - 1
"""The largest number that JSON readers keep exactly. Larger numbers count as this one."""
_LOG_GROWTH: Final = math.log(GROWTH)
_MOST_WEIGHT: Final = 1 << 60
_SMALL: Final = (0, *[math.ceil(math.log(number) / _LOG_GROWTH - 1e-9) for number in range(1, 1025)])
"""The bins of numbers up to 1024, which nearly all are."""


def bin_of(number: int) -> int:
    """The index of the bin of a number, which is at least 1."""
    return _SMALL[number] if number < len(_SMALL) else math.ceil(math.log(number) / _LOG_GROWTH - 1e-9)


class QuantileSketch:
    """Counts whole numbers; negative ones count as 0. Each bin knows its largest number, so that :meth:`above` never
    returns too few."""

    __slots__ = ("_bins", "_max_bins", "total", "zeros")

    def __init__(self, max_bins: int = MAX_BINS) -> None:
        self._bins: dict[int, list[int]] = {}  # count, and the largest number
        self._max_bins = max_bins
        self.total = 0
        """The number of numbers that were counted."""
        self.zeros = 0

    def add(self, number: int, weight: int = 1) -> None:
        """Count a number, ``weight`` times."""
        self.total += weight
        if number <= 0:
            self.zeros += weight
            return
        if number > MAX_NUMBER:
            number = MAX_NUMBER
        index = bin_of(number)
        held = self._bins.get(index)
        if held is None:
            self._bins[index] = [weight, number]
            if len(self._bins) > self._max_bins:
                self._collapse()
            return
        held[0] += weight
        if number > held[1]:
            held[1] = number

    def merge(self, other: QuantileSketch) -> None:
        """Add the counts of another sketch."""
        self.total += other.total
        self.zeros += other.zeros
        for index, (count, largest) in other._bins.items():
            held = self._bins.get(index)
            if held is None:
                self._bins[index] = [count, largest]
            else:
                held[0] += count
                held[1] = max(held[1], largest)
        self._collapse()

    def _collapse(self) -> None:
        """Join the lowest bins, so that at most ``max_bins`` are left."""
        surplus = len(self._bins) - self._max_bins
        if surplus <= 0:
            return
        lowest = sorted(self._bins)[: surplus + 1]
        kept = self._bins[lowest[-1]]
        for index in lowest[:-1]:
            kept[0] += self._bins.pop(index)[0]

    @property
    def largest(self) -> int:
        """The exact largest number; 0 without any."""
        return self._bins[max(self._bins)][1] if self._bins else 0

    def quantile(self, part: float) -> int:
        """The quantile of ``part`` (0 to 1; 0.5 for the median), which that part of all numbers does not exceed. 0
        without any numbers."""
        # How many numbers are at or below the quantile.
        rank = max(1, math.ceil(part * self.total - 1e-9))
        seen = self.zeros
        if seen >= rank or not self._bins:
            return 0
        for index in sorted(self._bins):
            count, largest = self._bins[index]
            seen += count
            if seen >= rank:
                # The middle of the bin errs by 2 % at most; no number in it is larger than the largest.
                return min(largest, round(2 * GROWTH**index / (GROWTH + 1)))
        return self.largest

    def above(self, number: float) -> int:
        """How many numbers are larger than ``number``: never too few, and too many by the count of one bin at most."""
        return sum(count for count, largest in self._bins.values() if largest > number)

    def bins(self) -> Iterator[tuple[int, int]]:
        """Pairs of the largest number in a bin and its count, smallest first; zeros are a bin of their own."""
        if self.zeros:
            yield 0, self.zeros
        for index in sorted(self._bins):
            count, largest = self._bins[index]
            yield largest, count

    def as_json(self, max_bins: int = MAX_BINS) -> list[int]:
        """The sketch as a flat list: the count of zeros, then for each bin its distance to the bin before, its count,
        and its largest number. With more than ``max_bins`` bins the lowest are joined."""
        source = self
        if len(self._bins) > max_bins:
            source = QuantileSketch(max_bins)
            source.merge(self)
        flat, before = [source.zeros], 0
        for index in sorted(source._bins):
            count, largest = source._bins[index]
            flat += (index - before, count, largest)
            before = index
        return flat

    @classmethod
    def from_json(cls, flat: object) -> QuantileSketch:
        """The sketch of a list as :meth:`as_json` makes it. ValueError for anything else."""
        if not isinstance(flat, Sequence) or len(flat) % 3 != 1 or len(flat) > 3 * MAX_BINS + 1:
            raise ValueError("this is no sketch")
        if not all(type(each) is int and 0 <= each <= _MOST_WEIGHT for each in flat):
            raise ValueError("a sketch holds whole numbers")
        found, index = cls(), 0
        found.zeros = found.total = flat[0]
        for place in range(1, len(flat), 3):
            step, count, largest = flat[place : place + 3]
            index += step
            if not 1 <= largest <= MAX_NUMBER or index > bin_of(MAX_NUMBER):
                raise ValueError("a sketch holds numbers up to 2^53")
            found._bins[index] = [count, largest]
            found.total += count
        return found


def merged(into: dict[str, QuantileSketch], more: Mapping[str, QuantileSketch]) -> None:
    """Add the sketches of ``more`` to those of the same names in ``into``."""
    for name, each in more.items():
        into.setdefault(name, QuantileSketch()).merge(each)


def summary(sketch: QuantileSketch) -> dict[str, Any]:
    """The n, p50, p99, p99.9 and max of a distribution."""
    return {
        "n": sketch.total,
        "p50": sketch.quantile(0.5),
        "p99": sketch.quantile(0.99),
        "p99.9": sketch.quantile(0.999),
        "max": sketch.largest,
    }

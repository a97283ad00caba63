"""Moments of a clock that count how often they are looked at: what a collection of timers costs, without a clock."""

from __future__ import annotations


class Moment(float):
    """A moment that counts how often it is compared."""

    looked_at = 0

    def __lt__(self, other: float) -> bool:
        Moment.looked_at += 1
        return float(self) < float(other)

    def __le__(self, other: float) -> bool:
        Moment.looked_at += 1
        return float(self) <= float(other)

    def __gt__(self, other: float) -> bool:
        Moment.looked_at += 1
        return float(self) > float(other)

    def __ge__(self, other: float) -> bool:
        Moment.looked_at += 1
        return float(self) >= float(other)

    def __eq__(self, other: object) -> bool:
        Moment.looked_at += 1
        return isinstance(other, float) and float(self) == float(other)

    __hash__ = float.__hash__

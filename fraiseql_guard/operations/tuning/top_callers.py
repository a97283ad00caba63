"""Finds the callers with the largest numbers, and estimates the number of callers, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import nsmallest
from typing import Any, Final

MOST: Final = 50
_KEPT: Final = 256
_HASH_SPACE: Final = 1 << 48
"""Number of possible tokens of callers, which are 12 hex digits of a digest."""


class TopCallers:
    """Keeps the largest number of each caller, for the ``most`` callers whose numbers are largest."""

    __slots__ = ("_largest", "_most")

    def __init__(self, most: int = MOST) -> None:
        self._largest: dict[str, int] = {}
        self._most = most

    def note(self, caller: str, number: int) -> None:
        """Note a number of a caller."""
        largest = self._largest
        if number <= largest.get(caller, -1):
            return
        largest[caller] = number
        # Twice the room, so that sorting is rare.
        if len(largest) > 2 * self._most:
            self._largest = dict(self.ranked(self._most))

    def ranked(self, count: int = MOST) -> list[tuple[str, int]]:
        """Pairs of a caller and its largest number, largest first, at most ``count``; equal numbers by name."""
        ordered = sorted(self._largest.items(), key=lambda each: (-each[1], each[0]))
        return ordered[: min(count, self._most)]

    def merge(self, other: TopCallers) -> None:
        """Add the callers of another process."""
        for caller, number in other.ranked():
            self.note(caller, number)

    def above(self, number: float) -> int:
        """The number of kept callers with a larger number: a lower bound of all."""
        return sum(each > number for _, each in self.ranked())

    def as_json(self, count: int = MOST) -> list[list[Any]]:
        """The callers as lists of name and number, largest first, at most ``count``."""
        return [list(each) for each in self.ranked(count)]

    @classmethod
    def from_json(cls, pairs: object) -> TopCallers:
        """The callers of lists as :meth:`as_json` makes them. ValueError for anything else."""
        found = cls()
        if not isinstance(pairs, Sequence) or len(pairs) > MOST:
            raise ValueError("these are no callers")
        for pair in pairs:
            match pair:
                case [str(caller), int(number)]:
                    found.note(caller, number)
                case _:
                    raise ValueError("a caller is a name and a number")
        return found


class CallerCount:
    """Estimates the number of different callers: exact up to 256, beyond with an error of about 6 % (k minimum values;
    Beyer and others, 2007). Counts of several processes can be merged."""

    __slots__ = ("_least",)

    def __init__(self) -> None:
        self._least: set[str] = set()

    def note(self, caller: str) -> None:
        """Note that a caller was seen, by its token."""
        least = self._least
        if caller in least:
            return
        least.add(caller)
        if len(least) > 2 * _KEPT:
            self._least = set(nsmallest(_KEPT, least))

    def merge(self, other: CallerCount) -> None:
        """Add the callers of another process."""
        for caller in other.tokens():
            self.note(caller)

    def tokens(self, count: int = _KEPT) -> list[str]:
        """The ``count`` smallest tokens, by which the number of callers is estimated."""
        return nsmallest(count, self._least)

    def estimate(self, kept: int = _KEPT) -> int:
        """The number of callers, estimated by the ``kept`` smallest tokens."""
        least = self.tokens(kept)
        if len(least) < kept:
            return len(least)
        try:
            return round((kept - 1) * _HASH_SPACE / max(1, int(least[-1], 16)))
        except ValueError:  # tokens of another form
            return len(self._least)

    @classmethod
    def from_json(cls, tokens: object) -> CallerCount:
        """The count of a list of tokens. ValueError for anything else."""
        found = cls()
        if not isinstance(tokens, Iterable) or not all(isinstance(each, str) for each in tokens):
            raise ValueError("these are no tokens of callers")
        for each in tokens:
            found.note(each)
        return found

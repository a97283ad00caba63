"""The callers with the largest numbers, in bounded memory; and how many callers there are, about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import nsmallest
from typing import Any, Final

MOST: Final = 50
_KEPT: Final = 256
_HASH_SPACE: Final = 1 << 48
"""Tokens of callers are 12 hex digits of a digest."""


class TopCallers:
    """The largest number of each caller, for the callers with the largest ones."""

    __slots__ = ("_largest", "_most")

    def __init__(self, most: int = MOST) -> None:
        self._largest: dict[str, int] = {}
        self._most = most

    def note(self, caller: str, number: int) -> None:
        """A caller has this number."""
        largest = self._largest
        if number <= largest.get(caller, -1):
            return
        largest[caller] = number
        # Twice the room, so that sorting is rare.
        if len(largest) > 2 * self._most:
            self._largest = dict(self.ranked(self._most))

    def ranked(self, count: int = MOST) -> list[tuple[str, int]]:
        """The callers with their numbers, the largest first; of equal ones in the order of the names."""
        ordered = sorted(self._largest.items(), key=lambda each: (-each[1], each[0]))
        return ordered[: min(count, self._most)]

    def merge(self, other: TopCallers) -> None:
        """Add those of another process."""
        for caller, number in other.ranked():
            self.note(caller, number)

    def above(self, number: float) -> int:
        """How many callers have a larger number, as far as they are kept: at least so many."""
        return sum(each > number for _, each in self.ranked())

    def as_json(self, count: int = MOST) -> list[list[Any]]:
        """As pairs."""
        return [list(each) for each in self.ranked(count)]

    @classmethod
    def from_json(cls, pairs: object) -> TopCallers:
        """Those of such pairs. ValueError for anything else."""
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
    """How many different callers were seen: exact up to 256, beyond with an error of about 6 % (k minimum values; Beyer
    and others, 2007). Sets of several processes can be merged."""

    __slots__ = ("_least",)

    def __init__(self) -> None:
        self._least: set[str] = set()

    def note(self, caller: str) -> None:
        """A caller was seen."""
        least = self._least
        if caller in least:
            return
        least.add(caller)
        if len(least) > 2 * _KEPT:
            self._least = set(nsmallest(_KEPT, least))

    def merge(self, other: CallerCount) -> None:
        """Add those of another process."""
        for caller in other.tokens():
            self.note(caller)

    def tokens(self, count: int = _KEPT) -> list[str]:
        """The tokens that stand for all, the smallest ones."""
        return nsmallest(count, self._least)

    def estimate(self, kept: int = _KEPT) -> int:
        """How many callers there are."""
        least = self.tokens(kept)
        if len(least) < kept:
            return len(least)
        try:
            return round((kept - 1) * _HASH_SPACE / max(1, int(least[-1], 16)))
        except ValueError:  # tokens of another form
            return len(self._least)

    @classmethod
    def from_json(cls, tokens: object) -> CallerCount:
        """The count of tokens. ValueError for anything else."""
        found = cls()
        if not isinstance(tokens, Iterable) or not all(isinstance(each, str) for each in tokens):
            raise ValueError("these are no tokens of callers")
        for each in tokens:
            found.note(each)
        return found

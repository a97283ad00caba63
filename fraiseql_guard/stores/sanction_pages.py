"""Pages of a store's sanctions and limits, so that a list that an attack makes long is never read whole."""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

V = TypeVar("V")

BATCH: Final = 64
"""Entries of one exchange with the store, and of one step between two turns of the event loop."""
CURSOR_PATTERN: Final = "([0-9]{1,20}|inf)_[0-9]{1,9}"
"""What a cursor looks like: a moment in millionths of a second, and how many entries of it are known."""
_CURSOR: Final = re.compile(CURSOR_PATTERN)
_FAR: Final = 10**19


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins: behind the entries that end later than ``end``, and ``skip`` of those that end just then."""

    end: str = ""
    skip: int = 0

    @classmethod
    def read(cls, text: str) -> Cursor:
        """The cursor of a text; ValueError if it is none."""
        if not text:
            return cls()
        if _CURSOR.fullmatch(text) is None:
            raise ValueError(f"cursor {text[:64]!r} is none that a page has given")
        end, _, skip = text.rpartition("_")
        return cls(end, int(skip))

    def __str__(self) -> str:
        return f"{self.end}_{self.skip}" if self.end else ""

    def after(self, ends: Sequence[str]) -> Cursor:
        """The cursor behind a page whose entries end at these moments."""
        if not ends:
            return Cursor()
        # Of entries that end at the same moment, a cursor says how many are known.
        same = 0
        for end in reversed(ends):
            if end != ends[-1]:
                break
            same += 1
        return Cursor(ends[-1], same + (self.skip if self.end == ends[-1] else 0))


@dataclass(frozen=True, slots=True)
class Page(Generic[V]):
    """Some entries, those that end last first. ``cursor`` gives the next ones, and is empty behind the last; ``total``
    is the number of all, as far as it is known without listing them."""

    items: tuple[V, ...] = ()
    cursor: str = ""
    total: int = 0


def moment_of(score: bytes) -> str:
    """A score of Redis as a cursor has it. None of ours is a fraction, or beyond the year 300,000."""
    value = float(score)
    return "inf" if value >= _FAR else str(math.ceil(value))


def moment_in(seconds: float) -> int:
    """A moment of a clock in millionths of a second, as a cursor has it; to the thousandth, which sums of floats leave
    alone."""
    return round(seconds * 1_000) * 1_000


class Longest(Generic[V]):
    """Finds, among entries that come in any order, the page of those that end last behind a cursor."""

    def __init__(self, cursor: Cursor, limit: int) -> None:
        self._cursor = cursor
        self._limit = limit
        # One more than a page, to know whether there is a next one.
        self._wanted = limit + 1 + cursor.skip
        self._from = int(cursor.end) if cursor.end.isdecimal() else None
        self._found: list[tuple[int, int, V]] = []
        self._count = 0

    def add(self, entries: Iterable[tuple[int, V]]) -> None:
        """Take more: each with the moment of its end, in millionths of a second."""
        batch = []
        for end, entry in entries:
            self._count += 1
            if self._from is None or end <= self._from:
                # Negative, so that of equal moments the first comes first; the entries themselves are never compared.
                batch.append((end, -self._count, entry))
        # Never more than a page is kept, however many entries there are.
        self._found = heapq.nlargest(self._wanted, [*self._found, *batch])

    def page(self) -> Page[V]:
        """The page."""
        # Skip those of the cursor's own moment that earlier pages have shown.
        found = self._found
        same = sum(end == self._from for end, _, _ in found)  # they come first
        skip = min(same, self._cursor.skip)
        rows = found[skip : skip + self._limit]
        more = len(found) > skip + self._limit
        cursor = str(self._cursor.after([str(end) for end, _, _ in rows])) if more else ""
        return Page(tuple(entry for _, _, entry in rows), cursor, self._count)

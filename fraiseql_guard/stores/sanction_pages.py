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
"""Entries in one exchange with the store, and in one step between two turns of the event loop."""
CURSOR_PATTERN: Final = "([0-9]{1,20}|inf)_[0-9]{1,9}"
"""The form of a cursor: the end of the last known entry in microseconds, and how many known entries end then."""
_CURSOR: Final = re.compile(CURSOR_PATTERN)
_FAR: Final = 10**19


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins: behind the entries that end later than ``end`` (microseconds; "" for the first page), and
    behind ``skip`` entries that end at that moment."""

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
    """Some entries, the last to end first. ``cursor`` gives the next page, and is "" on the last one; ``total`` is the
    number of all entries, as far as it is known without listing them."""

    items: tuple[V, ...] = ()
    cursor: str = ""
    total: int = 0


def moment_of(score: bytes) -> str:
    """A score of Redis in the form of a cursor's ``end``. The guard writes no score that is a fraction, or beyond the
    year 300,000."""
    value = float(score)
    return "inf" if value >= _FAR else str(math.ceil(value))


def moment_in(seconds: float) -> int:
    """A moment of a clock in microseconds, as a cursor has it, rounded to milliseconds, which errors of floats do not
    change."""
    return round(seconds * 1_000) * 1_000


class Longest(Generic[V]):
    """Finds the page behind a cursor, the last to end first, among entries that come in any order."""

    def __init__(self, cursor: Cursor, limit: int) -> None:
        self._cursor = cursor
        self._limit = limit
        # One more than a page, to know whether there is a next one.
        self._wanted = limit + 1 + cursor.skip
        self._from = int(cursor.end) if cursor.end.isdecimal() else None
        self._found: list[tuple[int, int, V]] = []
        self._count = 0

    def add(self, entries: Iterable[tuple[int, V]]) -> None:
        """Take further entries, each with the moment of its end in microseconds."""
        batch = []
        for end, entry in entries:
            self._count += 1
            if self._from is None or end <= self._from:
                # Negative, so that of equal moments the earlier entry comes first; entries themselves are never
                # compared.
                batch.append((end, -self._count, entry))
        # Never more than a page is kept, however many entries there are.
        self._found = heapq.nlargest(self._wanted, [*self._found, *batch])

    def page(self) -> Page[V]:
        """The page of the entries taken so far."""
        # Skip the entries of the cursor's own moment that earlier pages have shown.
        found = self._found
        same = sum(end == self._from for end, _, _ in found)  # they come first
        skip = min(same, self._cursor.skip)
        rows = found[skip : skip + self._limit]
        more = len(found) > skip + self._limit
        cursor = str(self._cursor.after([str(end) for end, _, _ in rows])) if more else ""
        return Page(tuple(entry for _, _, entry in rows), cursor, self._count)

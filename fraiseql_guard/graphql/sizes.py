"""List sizes and offsets: what a value says, in a literal or in the variables."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from fraiseql_guard.graphql.values import Absent, Digits, Value, Word

MOST: Final = 2**53
"""Where sums stop: the largest whole number that every JSON reader keeps."""
_NUMERIC: Final = re.compile(r"\s*[+-]?\.?[0-9]")
_DIGITS: Final = re.compile(r"\s*[+]?[0-9]+(?:\.[0-9]*)?\s*", re.ASCII)


class NoSize(Enum):
    UNKNOWN = 0  # null or nothing: the list multiplier
    INVALID = 1  # no whole number of zero or more
    MEANINGLESS = 2  # cannot be a size at all


@dataclass(slots=True)
class Found:
    """What was come across so far."""

    size: int | None = None
    unknown: bool = False
    invalid: bool = False
    offset: int = 0
    values: int = 0

    def note_size(self, size: int | NoSize) -> None:
        if isinstance(size, int):
            self.size = size if self.size is None else max(size, self.size)
        self.unknown |= size is NoSize.UNKNOWN
        self.invalid |= size is NoSize.INVALID

    def merge(self, other: Found) -> None:
        if other.size is not None:
            self.note_size(other.size)
        self.unknown |= other.unknown
        self.invalid |= other.invalid
        self.offset = max(self.offset, other.offset)


def read_size(value: Value, *, strict: bool) -> int | NoSize:
    """A list size. Where not ``strict`` (it may be no size at all), only what looks like a number is refused."""
    match value:
        case bool() | list():
            return NoSize.INVALID if strict else NoSize.MEANINGLESS
        case int():
            return min(value, MOST) if value >= 0 else NoSize.INVALID
        case float():
            whole = value >= 0 and (math.isinf(value) or value.is_integer())
            return int(min(value, MOST)) if whole else NoSize.INVALID
        case None | Absent.ABSENT:
            return NoSize.UNKNOWN
        case Digits(text):
            return NoSize.INVALID if text.startswith("-") else MOST
        case Word(text) | str(text):
            return NoSize.INVALID if strict or _NUMERIC.match(text) else NoSize.MEANINGLESS
    return NoSize.MEANINGLESS


def read_offset(value: Value) -> int:
    """How far a value skips; 0 for what cannot be an offset, since the app will refuse it."""
    match value:
        case bool():
            return 0
        case int() | float():
            return int(min(max(value, 0), MOST))
        case Digits(text):
            return 0 if text.startswith("-") else MOST
        case str() if _DIGITS.fullmatch(value):
            return int(min(float(value), MOST))
    return 0

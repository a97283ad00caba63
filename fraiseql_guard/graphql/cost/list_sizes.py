"""List sizes and offsets: what a value says, in a literal or in the variables."""

from __future__ import annotations

import math
import re
from enum import Enum
from typing import Final

from fraiseql_guard.graphql.syntax.values import MAX_COUNT, Absent, Digits, Value

_NUMBER: Final = re.compile(r"\s*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?\s*", re.ASCII)
_DIGITS: Final = re.compile(r"\s*[+]?[0-9]+(?:\.[0-9]*)?\s*", re.ASCII)


class NoSize(Enum):
    """Why a value gives no size."""

    UNKNOWN = 0  # null or nothing: the list multiplier
    INVALID = 1  # no whole number
    MEANINGLESS = 2  # cannot be a size at all


def read_size(value: Value, *, strict: bool) -> int | NoSize:
    """A list size; of a negative one (the last so many) the absolute value. What is no whole number is INVALID where
    ``strict``, else it is no size."""
    match value:
        case bool():
            # bool is a subclass of int, so it has to come before it.
            return _no_size(strict)
        case int():
            return min(abs(value), MAX_COUNT)
        case float():
            return _whole(value, strict)
        case None | Absent.ABSENT:
            return NoSize.UNKNOWN
        case Digits():
            return MAX_COUNT
        case str() if not strict and _NUMBER.fullmatch(value):  # hosts convert it
            return _whole(float(value), strict)
    return _no_size(strict)


def _whole(value: float, strict: bool) -> int | NoSize:
    if math.isinf(value):  # a literal of more digits than a float holds
        return MAX_COUNT
    return int(min(abs(value), MAX_COUNT)) if value.is_integer() else _no_size(strict)


def _no_size(strict: bool) -> NoSize:
    return NoSize.INVALID if strict else NoSize.MEANINGLESS


def read_length(value: Value) -> int | NoSize:
    """How long a list is. One value in place of a list is a list of it (GraphQL spec, input coercion)."""
    if type(value) is list:
        return len(value)
    return NoSize.UNKNOWN if value is None or value is Absent.ABSENT else 1


def guess_size(value: Value, *, typed: bool) -> int:
    """The size that a value inside an input object may be, or 0. A fraction is one only where the schema says that the
    field is a whole number (``typed``) and the host cuts it off."""
    if typed and type(value) is float and math.isfinite(value):
        value = math.ceil(abs(value))
    size = read_size(value, strict=False)
    return size if isinstance(size, int) else 0


def read_offset(value: Value) -> int:
    """How far a value skips; 0 for what cannot be an offset, since the app will refuse it."""
    match value:
        case bool():
            return 0
        case int() | float():
            return int(min(max(value, 0), MAX_COUNT))
        case Digits(text):
            return 0 if text.startswith("-") else MAX_COUNT
        case str() if _DIGITS.fullmatch(value):
            return int(min(float(value), MAX_COUNT))
    return 0

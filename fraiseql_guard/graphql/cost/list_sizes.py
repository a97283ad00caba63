"""Reads list sizes and offsets from values, of literals or of variables."""

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

    UNKNOWN = 0  # null or absent: the list multiplier stands for it
    INVALID = 1  # no whole number, where only one is accepted
    MEANINGLESS = 2  # no number, where other values are accepted


def read_size(value: Value, *, strict: bool) -> int | NoSize:
    """The list size that a value says: the absolute value, since a negative number asks for the last items. A value
    that is no whole number is INVALID if ``strict``, else MEANINGLESS."""
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
    """The length of a list. A single value stands for a list of one (GraphQL spec, input coercion); UNKNOWN for
    null."""
    if type(value) is list:
        return len(value)
    return NoSize.UNKNOWN if value is None or value is Absent.ABSENT else 1


def guess_size(value: Value, *, typed: bool) -> int:
    """The size that a value inside an input object may be; 0 for none. With ``typed``, the schema says that the field
    is a whole number: then a fraction is rounded up, since the host may truncate it."""
    if typed and type(value) is float and math.isfinite(value):
        value = math.ceil(abs(value))
    size = read_size(value, strict=False)
    return size if isinstance(size, int) else 0


def read_offset(value: Value) -> int:
    """The number of items that a value skips; 0 for a value that cannot be an offset, which the app refuses."""
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

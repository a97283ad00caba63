"""Writes the interface's values as JSON, and reads them: every field under its own name.

A value that another version wrote may have further fields, which are left out, or lack those that have a default.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

Value = TypeVar("Value")
MARK: Final = ("x-fraiseql-guard", "operator-api")
"""Header of every answer of the HTTP API: no other app's answer is taken for one."""


def to_plain(value: Any) -> Any:
    """A value as plain JSON data: dataclasses as objects, enums by their values."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: to_plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): to_plain(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [to_plain(each) for each in value]
    return value


def from_json(kind: type[Value], value: Any) -> Value:
    """The dataclass of JSON data; ValueError if it is none of this kind."""
    try:
        found: Value = _reader(kind)(value)  # type: ignore[arg-type]  # a type is hashable
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"this is no {kind.__name__}: {error}") from None
    return found


@cache
def _reader(kind: Any) -> Callable[[Any], Any]:
    """The function that reads a value of this kind. Made once for each kind: a look at the fleet reads thousands."""
    if isinstance(kind, type) and is_dataclass(kind):
        return _object_reader(kind)
    origin, inner = get_origin(kind), get_args(kind)
    # The only unions of the interface are those with None.
    if origin in (Union, types.UnionType):
        read = _reader(inner[0])
        return lambda value: None if value is None else read(value)
    if origin is Sequence:
        return _sequence_reader(inner[0])
    if origin is Mapping:
        return _mapping_reader(inner[1])
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    return lambda value: value if type(value) is kind else _checked(kind, value)


def _object_reader(kind: type) -> Callable[[Any], Any]:
    hints = get_type_hints(kind)
    readers: dict[str, Callable[[Any], Any]] = {}

    def read(value: Any) -> Any:
        if not readers:  # made at the first value, because a kind may contain itself
            readers.update({name: _reader(hint) for name, hint in hints.items()})
        return kind(**{name: readers[name](each) for name, each in value.items() if name in readers})

    return read


def _sequence_reader(kind: Any) -> Callable[[Any], Any]:
    read = _reader(kind)

    def read_all(value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise TypeError(f"{str(value)[:80]!r} is no list")
        if set(map(type, value)) <= {kind}:  # nearly always, for numbers and texts: they need no reading
            return tuple(value)
        return tuple([read(each) for each in value])

    return read_all


def _mapping_reader(kind: Any) -> Callable[[Any], Any]:
    read = _reader(kind)
    return lambda value: {key: read(each) for key, each in value.items()}


def _checked(kind: Any, value: Any) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is not Any and (not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)):
        raise TypeError(f"{str(value)[:80]!r} is no {kind.__name__}")
    return value

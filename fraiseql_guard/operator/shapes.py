"""The interface's values as JSON and back: every field under its own name, nothing else.

What comes from another version may have fields more (they are left out) or fewer (those with a default).
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

Value = TypeVar("Value")
MARK: Final = ("x-fraiseql-guard", "operator-api")
"""Header of every answer of the HTTP API: no other app's answer is taken for one."""


def plain(value: Any) -> Any:
    """A value as JSON knows it."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(each) for each in value]
    return value


def revived(kind: type[Value], value: Any) -> Value:
    """The value of a dataclass from its JSON; ValueError if it is none."""
    try:
        found: Value = _revive(kind, value)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"this is no {kind.__name__}: {error}") from None
    return found


def _revive(kind: Any, value: Any) -> Any:
    if isinstance(kind, type) and is_dataclass(kind):
        hints = _hints(kind)
        return kind(**{name: _revive(hints[name], each) for name, each in value.items() if name in hints})
    if get_origin(kind) in (Union, types.UnionType):
        return None if value is None else _revive(get_args(kind)[0], value)
    if get_origin(kind) is Sequence:
        return tuple(_revive(get_args(kind)[0], each) for each in value)
    if get_origin(kind) is Mapping:
        return {key: _revive(get_args(kind)[1], each) for key, each in value.items()}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    return _checked(kind, value)


def _checked(kind: Any, value: Any) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is not Any and (not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


@cache
def _hints(kind: Any) -> Mapping[str, Any]:
    return get_type_hints(kind)

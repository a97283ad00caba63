"""The tree of a document: what the measuring walk needs of it, and no more, so that a remembered document is small.

It is not changed once it is built. It is not frozen because that would double what a new document costs to parse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fraiseql_guard.context import OperationKind
from fraiseql_guard.graphql.switches import Removal
from fraiseql_guard.graphql.values import Value


def as_text(arguments: Mapping[str, Value]) -> str:
    """To compare them: 1 and true are equal to Python, not here. The order of keys means nothing, at any depth."""
    return repr(_in_order(arguments)) if arguments else ""


def _in_order(value: Value) -> Value:
    if type(value) is dict:
        return {key: _in_order(value[key]) for key in sorted(value)}
    return [_in_order(item) for item in value] if type(value) is list else value


@dataclass(slots=True, eq=False)
class Selection:
    """What stands between two braces. Compared by identity: each is one place of the document."""

    fields: tuple[Field, ...]
    spreads: tuple[Spread, ...]
    inlines: tuple[Inline, ...]


@dataclass(slots=True, eq=False)
class Field:
    """A field with its response ``key``."""

    key: str
    name: str
    aliased: bool
    arguments: Mapping[str, Value]
    removal: Removal
    selection: Selection | None
    _asks: str | None = None

    @property
    def asks(self) -> str:
        """The arguments as text, to compare fields of one key. Most keys stand once, so it is made when asked for."""
        if self._asks is None:
            self._asks = as_text(self.arguments)
        return self._asks


@dataclass(slots=True, eq=False)
class Spread:
    """``...Name``"""

    name: str
    removal: Removal


@dataclass(slots=True, eq=False)
class Inline:
    """``... on Type {...}``, or without a type."""

    on: str | None
    removal: Removal
    selection: Selection


@dataclass(slots=True, eq=False)
class Fragment:
    """A fragment definition."""

    name: str
    on: str
    selection: Selection


@dataclass(slots=True, eq=False)
class Operation:
    """An operation definition."""

    kind: OperationKind
    name: str | None
    selection: Selection


@dataclass(slots=True, eq=False)
class Document:
    """An executable document. ``fragments`` are in an order in which each comes after all that it spreads."""

    operations: tuple[Operation, ...]
    fragments: dict[str, Fragment]
    defaults: Mapping[str, tuple[Value, ...]]
    switches: tuple[str, ...]
    """Variables that can take something out of the operation."""
    removes: bool
    """Whether anything can be taken out at all."""

"""The tree of a document: what the measuring walk needs of it, and no more, so that a remembered document is small.

It is not changed once it is built. It is not frozen because that would double what a new document costs to parse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fraiseql_guard.core.measured import OperationKind
from fraiseql_guard.graphql.syntax.skip_include import Removal
from fraiseql_guard.graphql.syntax.values import Value


def as_text(arguments: Mapping[str, Value]) -> str:
    """To compare them: 1 and true are equal to Python, not here. The order of keys means nothing, at any depth."""
    return repr(_in_order(arguments)) if arguments else ""


def _in_order(value: Value) -> Value:
    if type(value) is dict:
        # An input object's fields are unordered (GraphQL spec, October 2021, 2.9.8).
        return {key: _in_order(value[key]) for key in sorted(value)}
    return [_in_order(item) for item in value] if type(value) is list else value


@dataclass(slots=True, eq=False)
class SelectionNode:
    """What stands between two braces. Compared by identity: each is one place of the document."""

    fields: tuple[FieldNode, ...]
    spreads: tuple[SpreadNode, ...]
    inlines: tuple[InlineFragmentNode, ...]


@dataclass(slots=True, eq=False)
class FieldNode:
    """A field with its response ``key``."""

    key: str
    name: str
    aliased: bool
    arguments: Mapping[str, Value]
    removal: Removal
    selection: SelectionNode | None
    _asks: str | None = None

    @property
    def asks(self) -> str:
        """The arguments as text, to compare fields of one key. Most keys stand once, so it is made when asked for."""
        if self._asks is None:
            self._asks = as_text(self.arguments)
        return self._asks


@dataclass(slots=True, eq=False)
class SpreadNode:
    """``...Name``"""

    name: str
    removal: Removal


@dataclass(slots=True, eq=False)
class InlineFragmentNode:
    """``... on Type {...}``, or without a type."""

    on: str | None
    removal: Removal
    selection: SelectionNode


@dataclass(slots=True, eq=False)
class FragmentNode:
    """A fragment definition."""

    name: str
    on: str
    selection: SelectionNode


@dataclass(slots=True, eq=False)
class OperationNode:
    """An operation definition."""

    kind: OperationKind
    name: str | None
    selection: SelectionNode


@dataclass(slots=True, eq=False)
class DocumentNode:
    """An executable document. ``fragments`` are in an order in which each comes after all that it spreads."""

    operations: tuple[OperationNode, ...]
    fragments: dict[str, FragmentNode]
    defaults: Mapping[str, tuple[Value, ...]]
    switches: tuple[str, ...]
    """Variables that can take something out of the operation."""
    removes: bool
    """Whether anything can be taken out at all."""


# --- what a schema tells about a document -----------------------------------------------------------------------------

PossibleTypes = Mapping[str, frozenset[str]]
"""The object types of each composite type; an object type's is itself."""
StaticTypes = Mapping[SelectionNode, str | None]
"""The composite type of each selection; None where the schema does not know it."""

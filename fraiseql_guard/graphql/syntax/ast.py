"""The tree of a document. It holds no more than the measuring walk needs, so that a cached document is small.

No node is changed once it is built. They are not frozen, because that would double the time to parse a document.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fraiseql_guard.core.measured import OperationKind
from fraiseql_guard.graphql.syntax.skip_include import Removal
from fraiseql_guard.graphql.syntax.values import Value


def as_text(arguments: Mapping[str, Value]) -> str:
    """Arguments as text that is equal for equal arguments, whatever the order of their keys at any depth. Unlike values
    in Python, the texts of 1 and true differ."""
    return repr(_in_order(arguments)) if arguments else ""


def _in_order(value: Value) -> Value:
    if type(value) is dict:
        # An input object's fields are unordered (GraphQL spec, October 2021, 2.9.8).
        return {key: _in_order(value[key]) for key in sorted(value)}
    return [_in_order(item) for item in value] if type(value) is list else value


@dataclass(slots=True, eq=False)
class SelectionNode:
    """A selection set: what stands between two braces. Compared by identity, as one place of the document."""

    fields: tuple[FieldNode, ...]
    spreads: tuple[SpreadNode, ...]
    inlines: tuple[InlineFragmentNode, ...]


@dataclass(slots=True, eq=False)
class FieldNode:
    """A field with its response ``key``: its alias, else its name."""

    key: str
    name: str
    aliased: bool
    arguments: Mapping[str, Value]
    removal: Removal
    selection: SelectionNode | None
    _asks: str | None = None

    @property
    def asks(self) -> str:
        """The arguments as text, to compare fields of one response key. Made at the first call, since most keys stand
        once."""
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
    """``... on Type {...}``; ``on`` is None without a type condition."""

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
    """An executable document. ``fragments`` are ordered so that each comes after those that it spreads; ``defaults``
    holds every default that an operation declares for a variable, by the variable's name."""

    operations: tuple[OperationNode, ...]
    fragments: dict[str, FragmentNode]
    defaults: Mapping[str, tuple[Value, ...]]
    switches: tuple[str, ...]
    """Names of the variables by which @skip or @include can remove a selection."""
    removes: bool
    """Whether @skip or @include can remove anything, by a variable or always."""


# --- what a schema tells about a document -----------------------------------------------------------------------------

PossibleTypes = Mapping[str, frozenset[str]]
"""The possible object types by the name of a composite type; for an object type only itself."""
StaticTypes = Mapping[SelectionNode, str | None]
"""The name of the composite type of each selection; None if the schema does not know it."""

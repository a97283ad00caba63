"""The parsed document as a small tree of our own: what the measuring walk needs, and nothing that contradicts itself.

The parser's tree is let go, so that a remembered document is small and both lines of graphql-core look the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

from graphql import GraphQLError, parse
from graphql.language import ast

from fraiseql_guard import signals
from fraiseql_guard.context import Denial, OperationKind
from fraiseql_guard.graphql.refusals import FOREIGN, contradiction, over, syntax_error
from fraiseql_guard.graphql.spreading import OrderError, in_order
from fraiseql_guard.graphql.switches import Removal
from fraiseql_guard.graphql.values import Absent, GivenTwiceError, Value, Variable, literal, unique

_ALWAYS: Final = (None, True)
_REMOVING_VALUE: Final = {"skip": True, "include": False}
_KINDS: Final[Mapping[str, OperationKind]] = {
    "query": "query",
    "mutation": "mutation",
    "subscription": "subscription",
}


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """What stands between two braces. Compared by identity: each is one place of the document."""

    fields: tuple[Field, ...]
    spreads: tuple[Spread, ...]
    inlines: tuple[Inline, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A field with its response ``key``."""

    key: str
    name: str
    aliased: bool
    arguments: Mapping[str, Value]
    asks: str  # the arguments as text, to compare: 1 and true are equal to Python, not here
    removal: Removal
    selection: Selection | None


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """``...Name``"""

    name: str
    removal: Removal


@dataclass(frozen=True, slots=True, eq=False)
class Inline:
    """``... on Type {...}``, or without a type."""

    on: str | None
    removal: Removal
    selection: Selection


@dataclass(frozen=True, slots=True, eq=False)
class Fragment:
    """A fragment definition."""

    name: str
    on: str
    selection: Selection


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """An operation definition."""

    kind: OperationKind
    name: str | None
    selection: Selection


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """An executable document. ``fragments`` are in an order in which each comes after all that it spreads."""

    operations: tuple[Operation, ...]
    fragments: dict[str, Fragment]
    defaults: Mapping[str, tuple[Value, ...]]
    switches: tuple[str, ...]
    """Variables that can take something out of the operation."""
    removes: bool
    """Whether anything can be taken out at all."""


class _RefusedError(Exception):
    def __init__(self, denial: Denial) -> None:
        self.denial = denial


def read_document(
    text: str, *, max_operations: int, max_fragments: int, nested_switches: bool = True
) -> Document | Denial:
    """Parse a text that passed the scan. The Denial names a place and never the text.

    Without ``nested_switches`` the host looks at @skip and @include at the root of an operation alone.
    """
    try:
        node = parse(text, no_location=True)
    except GraphQLError as error:
        return syntax_error(text, next(iter(error.positions or ()), 0))
    except IndexError:  # graphql-core 3.2.7 reads beyond the end of unfinished escapes, which the scan forbids too
        return syntax_error(text, len(text))
    except (RecursionError, ValueError):  # the scan forbids both; a caller deep in its own stack might still see them
        return Denial(signals.QUERY_TOO_DEEP)
    operations = [item for item in node.definitions if isinstance(item, ast.OperationDefinitionNode)]
    fragments = [item for item in node.definitions if isinstance(item, ast.FragmentDefinitionNode)]
    if len(operations) + len(fragments) < len(node.definitions):
        return contradiction(FOREIGN)
    if not operations:
        return Denial(signals.OPERATION_NOT_FOUND)
    if len(operations) > max_operations:
        return over(signals.TOO_MANY_OPERATIONS, max_operations, len(operations))
    if len(fragments) > max_fragments:
        return over(signals.TOO_MANY_FRAGMENTS, max_fragments, len(fragments))
    try:
        return _build(operations, fragments, nested_switches)
    except _RefusedError as contradicted:
        return contradicted.denial
    except OrderError as error:
        return contradiction(str(error))
    except GivenTwiceError:
        return contradiction("An argument, a key or a variable is given twice.")


def _build(
    operations: list[ast.OperationDefinitionNode], fragments: list[ast.FragmentDefinitionNode], nested_switches: bool
) -> Document:
    names = [item.name.value if item.name else None for item in operations]
    if len(set(names)) < len(names) or (None in names and len(names) > 1):
        raise _RefusedError(contradiction("Two operations share a name, or one of several has none."))
    defaults = _defaults(operations)
    # Where there are several operations, one may undo the @skip of another with its own default.
    reader = _TreeReader(defaults if len(operations) == 1 else {}, nested_switches)
    built = {
        item.name.value: Fragment(item.name.value, item.type_condition.name.value, reader.selection(item.selection_set))
        for item in fragments
    }
    if len(built) < len(fragments):
        raise _RefusedError(contradiction("Two fragments share a name."))
    executed = tuple(
        Operation(_KINDS[item.operation.value], name, reader.selection(item.selection_set, at_root=True))
        for item, name in zip(operations, names, strict=True)
    )
    order = in_order(
        {name: reader.spreads[item.selection] for name, item in built.items()},
        [name for item in executed for name in reader.spreads[item.selection]],
    )
    return Document(
        executed,
        {name: built[name] for name in order},
        defaults,
        tuple(sorted(reader.switches)),
        reader.removes,
    )


def _defaults(operations: Iterable[ast.OperationDefinitionNode]) -> dict[str, tuple[Value, ...]]:
    found: dict[str, tuple[Value, ...]] = {}
    for operation in operations:
        declared = unique(
            (
                item.variable.name.value,
                Absent.ABSENT if item.default_value is None else literal(item.default_value),
            )
            for item in operation.variable_definitions or ()
        )
        for name, default in declared.items():
            found[name] = (*found.get(name, ()), default)
    return found


class _TreeReader:
    """One pass over the parser's tree. Recursion is bounded by the scan."""

    def __init__(self, declared: Mapping[str, tuple[Value, ...]], nested_switches: bool) -> None:
        self._declared = declared
        self._nested_switches = nested_switches
        self._names: list[str] = []
        self.switches: set[str] = set()
        self.removes = False
        self.spreads: dict[Selection, tuple[str, ...]] = {}
        """Fragments spread anywhere inside the selection of a definition."""

    def selection(self, node: ast.SelectionSetNode, *, at_root: bool = False) -> Selection:
        self._names = []
        selection = self._selection(node, at_root=at_root)
        self.spreads[selection] = tuple(self._names)
        return selection

    def _selection(self, node: ast.SelectionSetNode, *, at_root: bool = False) -> Selection:
        fields: list[Field] = []
        spreads: list[Spread] = []
        inlines: list[Inline] = []
        for item in node.selections:
            removal = self._removal(item.directives) if item.directives else ()
            if not (at_root or self._nested_switches):
                removal = ()
            if isinstance(item, ast.FieldNode):
                fields.append(self._field(item, removal))
            elif isinstance(item, ast.FragmentSpreadNode):
                self._names.append(item.name.value)
                spreads.append(Spread(item.name.value, removal))
            elif isinstance(item, ast.InlineFragmentNode):
                on = item.type_condition.name.value if item.type_condition else None
                inlines.append(Inline(on, removal, self._selection(item.selection_set)))
        if not node.selections:  # graphql-core 3.3 parses what the specification does not know
            raise _RefusedError(contradiction("A selection is empty."))
        return Selection(tuple(fields), tuple(spreads), tuple(inlines))

    def _field(self, node: ast.FieldNode, removal: Removal) -> Field:
        name = node.name.value
        arguments = unique((item.name.value, literal(item.value)) for item in node.arguments) if node.arguments else {}
        selection = self._selection(node.selection_set) if node.selection_set else None
        asks = repr(sorted(arguments.items(), key=itemgetter(0))) if arguments else ""
        if name == "__typename" and (selection or arguments):  # it is a leaf to whoever validates, and free to us
            raise _RefusedError(contradiction("__typename has neither arguments nor a selection."))
        key = node.alias.value if node.alias else name
        return Field(key, name, bool(node.alias), arguments, asks, removal, selection)

    def _removal(self, directives: Iterable[ast.DirectiveNode]) -> Removal:
        """Only what is certain: nothing if a directive is repeated, and no variable that nobody declared."""
        found: dict[str, tuple[str | None, bool]] = {}
        said: set[tuple[str, str]] = set()
        for directive in directives:
            arguments = unique((item.name.value, literal(item.value)) for item in directive.arguments or ())
            asks = (directive.name.value, repr(sorted(arguments.items(), key=itemgetter(0))) if arguments else "")
            if asks in said:  # a repeatable one differs in its arguments
                raise _RefusedError(contradiction("A directive stands twice in one place."))
            said.add(asks)
            removing = _REMOVING_VALUE.get(directive.name.value)
            if removing is None:
                continue
            if directive.name.value in found:
                return ()
            condition = arguments.get("if")
            if type(condition) is Variable:
                if condition.name in self._declared:
                    self.switches.add(condition.name)
                    found[directive.name.value] = (condition.name, removing)
            elif condition is removing:
                found[directive.name.value] = _ALWAYS
        self.removes |= bool(found)
        return tuple(found.values())

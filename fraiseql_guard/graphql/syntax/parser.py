"""Parses executable documents: from the tokens of the scan to the tree that is measured, in one pass.

graphql-core's parser costs five times as much, and a hostile document must be cheap to refuse. This one reads the same
grammar (GraphQL specification, September 2025, section 2; tests compare it with graphql-core on random documents) and
accepts nothing else. Recursion is bounded by the scan that comes before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import length_hint
from typing import Final

from fraiseql_guard.core.measured import OperationKind
from fraiseql_guard.graphql.syntax.ast import (
    FieldNode,
    FragmentNode,
    InlineFragmentNode,
    OperationNode,
    SelectionNode,
    SpreadNode,
    as_text,
)
from fraiseql_guard.graphql.syntax.lexer import END, block_string_value, offset_of, string_value, tokens_of
from fraiseql_guard.graphql.syntax.skip_include import Removal
from fraiseql_guard.graphql.syntax.values import Absent, Value, VariableNode, Word, number

_KINDS: Final[Mapping[str, OperationKind]] = {
    "query": "query",
    "mutation": "mutation",
    "subscription": "subscription",
}
_WORDS: Final[Mapping[str, Value]] = {"true": True, "false": False, "null": None}
_REMOVING_VALUE: Final = {"skip": True, "include": False}
_ALWAYS: Final = (None, True)
_NO_ARGUMENTS: Final[Mapping[str, Value]] = {}
_PARTS_OF_A_FIELD: Final = frozenset("({@")
_NUMERIC: Final = frozenset("-0123456789")

GIVEN_TWICE: Final = "An argument, a key or a variable is given twice."

_MOST_ALIKE: Final = 3
"""How often one directive may stand in one place with the same arguments. A schema may allow it to be repeated, but an
app answers each one that it does not know with an error of its own."""


class UnexpectedError(Exception):
    """The text is no executable document at ``offset``."""

    def __init__(self, offset: int) -> None:
        super().__init__(offset)
        self.offset = offset


@dataclass(slots=True)
class Parsed:
    """The definitions of a document in their order, each with the names of the fragments that it spreads at any depth.

    ``declared`` holds the variables of each operation with their defaults, ``conditions`` the variables in @skip and
    @include. ``removes``: one of these always removes its selection, whatever the variables. ``contradiction`` says how
    the document first contradicts itself; None if it does not.
    """

    operations: list[tuple[OperationNode, tuple[str, ...]]] = field(default_factory=list)
    fragments: list[tuple[FragmentNode, tuple[str, ...]]] = field(default_factory=list)
    declared: list[dict[str, Value]] = field(default_factory=list)
    conditions: set[str] = field(default_factory=set)
    removes: bool = False
    contradiction: str | None = None


def parse(text: str, tokens: list[str] | None = None, *, nested_switches: bool = True) -> Parsed:
    """Parse a text that passed the scan; UnexpectedError where it is no executable document.

    ``tokens`` are those that the scan has read; None if there was none. ``nested_switches``: the host obeys @skip and
    @include everywhere; else only at the root of an operation.
    """
    # The scan has not read all tokens if it stopped before the end.
    if not tokens or tokens[-1] != END:
        tokens = tokens_of(text)
    remaining = iter(tokens)
    parser = _Parser(remaining.__next__, nested_switches=nested_switches)
    try:
        parser.document()
    except _MisplacedError:
        # length_hint tells how many tokens are left, so that the parser needs no counter; it is one token ahead.
        raise UnexpectedError(offset_of(text, len(tokens) - length_hint(remaining) - 1)) from None
    return parser.parsed


class _MisplacedError(Exception):
    """The current token may not stand where it does."""


class _Parser:
    """A recursive descent parser that looks one token ahead, at ``_text``. A token tells its kind: only names are
    identifiers, and a string keeps its quotes."""

    __slots__ = ("_names", "_nested_switches", "_next", "_text", "parsed")

    def __init__(self, next_token: Callable[[], str], *, nested_switches: bool) -> None:
        self._next = next_token
        self._nested_switches = nested_switches
        self._names: list[str] = []  # of the fragments that the definition spreads
        self.parsed = Parsed()
        self._text = next_token()

    # --- tokens -------------------------------------------------------------------------------------------------------

    def _expect(self, text: str) -> None:
        if self._text != text:
            raise _MisplacedError
        self._text = self._next()

    def _name(self) -> str:
        name = self._text
        if not name.isidentifier():
            raise _MisplacedError
        self._text = self._next()
        return name

    def _contradicted(self, detail: str) -> None:
        # Parsing goes on: a syntax error further on comes first, as in graphql-core.
        self.parsed.contradiction = self.parsed.contradiction or detail

    # --- definitions --------------------------------------------------------------------------------------------------

    def document(self) -> None:
        """Parse one or more definitions, up to the end."""
        self._definition()
        while self._text != END:
            self._definition()

    def _definition(self) -> None:
        self._names = []
        described = self._description()
        # A query without a keyword is its selection alone, and has no description.
        if self._text == "{" and not described:
            self.parsed.declared.append({})
            selection = self._selection(at_root=True)
            self.parsed.operations.append((OperationNode("query", None, selection), tuple(self._names)))
        elif self._text == "fragment":
            self._fragment()
        elif (kind := _KINDS.get(self._text)) is not None:
            self._operation(kind)
        else:
            raise _MisplacedError

    def _description(self) -> bool:
        described = self._text.startswith('"')
        if described:
            self._value(const=True)
        return described

    def _operation(self, kind: OperationKind) -> None:
        self._text = self._next()
        name = self._name() if self._text.isidentifier() else None
        self.parsed.declared.append(self._variables() if self._text == "(" else {})
        if self._text == "@":
            self._directives()
        selection = self._selection(at_root=True)
        self.parsed.operations.append((OperationNode(kind, name, selection), tuple(self._names)))

    def _fragment(self) -> None:
        self._text = self._next()
        if self._text == "on":  # no fragment is called so
            raise _MisplacedError
        name = self._name()
        self._expect("on")
        on = self._name()
        if self._text == "@":
            self._directives()
        selection = self._selection()
        self.parsed.fragments.append((FragmentNode(name, on, selection), tuple(self._names)))

    def _variables(self) -> dict[str, Value]:
        declared: dict[str, Value] = {}
        self._text = self._next()
        while True:
            self._description()
            self._expect("$")
            name = self._name()
            self._expect(":")
            self._type()
            default: Value = Absent.ABSENT
            if self._text == "=":
                self._text = self._next()
                default = self._value(const=True)
            if self._text == "@":
                self._directives(const=True)
            if name in declared:
                self._contradicted(GIVEN_TWICE)
            declared[name] = default
            if self._text == ")":
                self._text = self._next()
                return declared

    def _type(self) -> None:
        if self._text == "[":
            self._text = self._next()
            self._type()
            self._expect("]")
        else:
            self._name()
        if self._text == "!":
            self._text = self._next()

    # --- selections ---------------------------------------------------------------------------------------------------

    def _selection(self, *, at_root: bool = False) -> SelectionNode:
        self._expect("{")
        fields: list[FieldNode] = []
        spreads: list[SpreadNode] = []
        inlines: list[InlineFragmentNode] = []
        # Where the host ignores @skip below the root, the measuring ignores it as well.
        switched = at_root or self._nested_switches
        while True:
            if self._text.isidentifier():
                fields.append(self._field(switched))
            elif self._text == "...":
                self._spread(spreads, inlines, switched)
            else:
                raise _MisplacedError
            if self._text == "}":
                self._text = self._next()
                return SelectionNode(tuple(fields), tuple(spreads), tuple(inlines))

    def _field(self, switched: bool) -> FieldNode:
        key = name = self._text
        after = self._next()
        aliased = after == ":"
        if aliased:
            name = self._next()
            if not name.isidentifier():
                raise _MisplacedError
            after = self._next()
        self._text = after
        if after not in _PARTS_OF_A_FIELD:  # a leaf without arguments, as most fields are
            return FieldNode(key, name, aliased, _NO_ARGUMENTS, (), None)
        return self._field_with_parts(key, name, aliased, switched)

    def _field_with_parts(self, key: str, name: str, aliased: bool, switched: bool) -> FieldNode:
        """A field whose name is followed by arguments, directives or a selection."""
        arguments = self._arguments() if self._text == "(" else _NO_ARGUMENTS
        removal = self._directives() if self._text == "@" else ()
        # at_root stays false: the flag belongs to an operation's own selection.
        selection = self._selection() if self._text == "{" else None
        if name == "__typename" and (
            selection or arguments
        ):  # validation refuses both, and they would be measured as free
            self._contradicted("__typename has neither arguments nor a selection.")
        return FieldNode(key, name, aliased, arguments, removal if switched else (), selection)

    def _spread(self, spreads: list[SpreadNode], inlines: list[InlineFragmentNode], switched: bool) -> None:
        name = self._next()
        self._text = self._next() if name.isidentifier() else name
        # The name of a fragment, or a type condition, or neither: then an inline fragment for every type.
        if name.isidentifier() and name != "on":
            self._names.append(name)
            removal = self._directives() if self._text == "@" else ()
            spreads.append(SpreadNode(name, removal if switched else ()))
            return
        on = self._name() if name == "on" else None
        removal = self._directives() if self._text == "@" else ()
        # An inline fragment must have a selection, which _selection expects.
        inlines.append(InlineFragmentNode(on, removal if switched else (), self._selection()))

    def _arguments(self, *, const: bool = False) -> dict[str, Value]:
        found: dict[str, Value] = {}
        self._text = self._next()
        while True:
            self._pair(found, const)
            if self._text == ")":
                self._text = self._next()
                return found

    def _pair(self, found: dict[str, Value], const: bool) -> None:
        name = self._name()
        self._expect(":")
        if name in found:  # hosts disagree which one they take
            self._contradicted(GIVEN_TWICE)
        found[name] = self._value(const)

    def _directives(self, *, const: bool = False) -> Removal:
        """Parse the directives of one place; the removal by @skip and @include among them. It is empty if one of these
        is repeated, since it is uncertain then."""
        found: dict[str, tuple[str | None, bool]] = {}
        alike: dict[tuple[str, str], int] = {}
        certain = True
        while self._text == "@":
            self._text = self._next()
            name = self._name()
            arguments = self._arguments(const=const) if self._text == "(" else _NO_ARGUMENTS
            if alike or self._text == "@":  # one alone is alike to no other
                self._check_repetition(name, arguments, alike)
            removing = _REMOVING_VALUE.get(name)
            if removing is None:
                continue
            certain = certain and name not in found
            if (removed_by := _removed_by(arguments.get("if"), removing)) is not None:
                found[name] = removed_by
        return self._note_removal(tuple(found.values())) if found and certain else ()

    def _note_removal(self, removal: Removal) -> Removal:
        self.parsed.conditions.update([name for name, _ in removal if name is not None])
        self.parsed.removes |= _ALWAYS in removal
        return removal

    def _check_repetition(self, name: str, arguments: Mapping[str, Value], alike: dict[tuple[str, str], int]) -> None:
        """Note a contradiction if a directive stands too often in one place. ``alike`` counts those with equal
        arguments.
        """
        this = name, as_text(arguments)
        alike[this] = times = alike.get(this, 0) + 1
        # The specification does not allow @skip and @include to be repeated.
        if times > (1 if name in _REMOVING_VALUE else _MOST_ALIKE):
            self._contradicted("A directive stands too often in one place.")

    # --- values -------------------------------------------------------------------------------------------------------

    def _value(self, const: bool) -> Value:
        text = self._text
        if text.isidentifier():
            value = _WORDS[text] if text in _WORDS else Word(text)
        # A constant (a default, a directive of a variable) cannot hold variables.
        elif text == "$" and not const:
            self._text = self._next()
            return VariableNode(self._name())
        elif text == "[":
            return self._list(const)
        elif text == "{":
            return self._object(const)
        elif text.startswith('"'):
            value = _string(text)
        elif text[:1] in _NUMERIC:
            value = number(text)
        else:
            raise _MisplacedError
        self._text = self._next()
        return value

    def _list(self, const: bool) -> list[Value]:
        self._text = self._next()
        items: list[Value] = []
        while self._text != "]":
            items.append(self._value(const))
        self._text = self._next()
        return items

    def _object(self, const: bool) -> dict[str, Value]:
        self._text = self._next()
        found: dict[str, Value] = {}
        while self._text != "}":
            self._pair(found, const)
        self._text = self._next()
        return found


def _removed_by(condition: Value, removing: bool) -> tuple[str | None, bool] | None:
    """The removal by the ``if`` of @skip or @include: a variable with the value that removes, or (None, True) for
    always; None for never."""
    if type(condition) is VariableNode:
        return condition.name, removing
    return _ALWAYS if condition is removing else None


def _string(text: str) -> str:
    try:
        return block_string_value(text) if text.startswith('"""') else string_value(text)
    except ValueError:
        raise _MisplacedError from None

"""The parser of executable documents: from the tokens of the scan to the tree that is measured, in one pass.

A parser for every purpose (graphql-core's) costs five times as much, and what has to be refused must be cheap to
refuse. This one reads the same grammar (GraphQL specification, September 2025, section 2; tests compare it with
graphql-core on random documents) and accepts nothing else. Recursion is bounded by the scan that comes before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final, NoReturn, cast

from fraiseql_guard.context import OperationKind
from fraiseql_guard.graphql.scan import BLOCK_STRING, END, NAME, NUMBER, STRING, TOKEN
from fraiseql_guard.graphql.strings import block_string_value, string_value
from fraiseql_guard.graphql.switches import Removal
from fraiseql_guard.graphql.tree import Field, Fragment, Inline, Operation, Selection, Spread
from fraiseql_guard.graphql.values import Absent, Value, Variable, Word, number

_KINDS: Final[Mapping[str, OperationKind]] = {
    "query": "query",
    "mutation": "mutation",
    "subscription": "subscription",
}
_WORDS: Final[Mapping[str, Value]] = {"true": True, "false": False, "null": None}
_REMOVING_VALUE: Final = {"skip": True, "include": False}
_ALWAYS: Final = (None, True)
_NO_ARGUMENTS: Final[Mapping[str, Value]] = {}

GIVEN_TWICE: Final = "An argument, a key or a variable is given twice."


class UnexpectedError(Exception):
    """The text is no executable document at ``offset``."""

    def __init__(self, offset: int) -> None:
        super().__init__(offset)
        self.offset = offset


@dataclass(slots=True)
class Parsed:
    """The definitions of a document in their order, with the fragments that each spreads anywhere inside.

    ``declared`` holds the variables of each operation with their defaults; ``conditions`` the variables that @skip and
    @include look at, and ``removes`` whether one of these needs none. ``contradiction`` is the first that was found.
    """

    operations: list[tuple[Operation, tuple[str, ...]]] = field(default_factory=list)
    fragments: list[tuple[Fragment, tuple[str, ...]]] = field(default_factory=list)
    declared: list[dict[str, Value]] = field(default_factory=list)
    conditions: set[str] = field(default_factory=set)
    removes: bool = False
    contradiction: str | None = None


def parse(text: str, *, nested_switches: bool = True) -> Parsed:
    """Parse a text that passed the scan; UnexpectedError where it is no executable document.

    Without ``nested_switches`` the host looks at @skip and @include at the root of an operation alone.
    """
    parser = _Parser(text, nested_switches=nested_switches)
    parser.document()
    return parser.parsed


class _Parser:
    """One token ahead. The texts of tokens tell kinds apart by themselves: a string keeps its quotes."""

    __slots__ = ("_found", "_kind", "_match", "_names", "_nested_switches", "_text", "parsed")

    def __init__(self, text: str, *, nested_switches: bool) -> None:
        self._match = cast("Any", TOKEN).scanner(text).match
        self._nested_switches = nested_switches
        self._names: list[str] = []
        self.parsed = Parsed()
        self._found: Any = None
        self._kind = 0
        self._text = ""
        self._advance()

    # --- tokens -------------------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        found = self._match()
        if found is None:
            raise UnexpectedError(self._found.end() if self._found else 0)
        self._found = found
        self._kind = kind = found.lastindex
        self._text = found[kind]

    def _unexpected(self) -> NoReturn:
        raise UnexpectedError(self._found.start(self._kind))

    def _expect(self, text: str) -> None:
        if self._text != text:
            self._unexpected()
        self._advance()

    def _name(self) -> str:
        if self._kind != NAME:
            self._unexpected()
        name = self._text
        self._advance()
        return name

    def _contradicted(self, detail: str) -> None:
        self.parsed.contradiction = self.parsed.contradiction or detail

    # --- definitions --------------------------------------------------------------------------------------------------

    def document(self) -> None:
        """Definition+"""
        self._definition()
        while self._kind != END:
            self._definition()

    def _definition(self) -> None:
        self._names = []
        described = self._description()
        if self._text == "{" and not described:
            self.parsed.declared.append({})
            selection = self._selection(at_root=True)
            self.parsed.operations.append((Operation("query", None, selection), tuple(self._names)))
        elif self._text == "fragment":
            self._fragment()
        elif (kind := _KINDS.get(self._text)) is not None:
            self._operation(kind)
        else:
            self._unexpected()

    def _description(self) -> bool:
        described = self._kind in (STRING, BLOCK_STRING)
        if described:
            self._value(const=True)
        return described

    def _operation(self, kind: OperationKind) -> None:
        self._advance()
        name = self._name() if self._kind == NAME else None
        self.parsed.declared.append(self._variables() if self._text == "(" else {})
        if self._text == "@":
            self._directives()
        selection = self._selection(at_root=True)
        self.parsed.operations.append((Operation(kind, name, selection), tuple(self._names)))

    def _fragment(self) -> None:
        self._advance()
        if self._text == "on":
            self._unexpected()
        name = self._name()
        self._expect("on")
        on = self._name()
        if self._text == "@":
            self._directives()
        selection = self._selection()
        self.parsed.fragments.append((Fragment(name, on, selection), tuple(self._names)))

    def _variables(self) -> dict[str, Value]:
        declared: dict[str, Value] = {}
        self._advance()
        while True:
            self._description()
            self._expect("$")
            name = self._name()
            self._expect(":")
            self._type()
            default: Value = Absent.ABSENT
            if self._text == "=":
                self._advance()
                default = self._value(const=True)
            if self._text == "@":
                self._directives(const=True)
            if name in declared:
                self._contradicted(GIVEN_TWICE)
            declared[name] = default
            if self._text == ")":
                self._advance()
                return declared

    def _type(self) -> None:
        if self._text == "[":
            self._advance()
            self._type()
            self._expect("]")
        else:
            self._name()
        if self._text == "!":
            self._advance()

    # --- selections ---------------------------------------------------------------------------------------------------

    def _selection(self, *, at_root: bool = False) -> Selection:
        self._expect("{")
        fields: list[Field] = []
        spreads: list[Spread] = []
        inlines: list[Inline] = []
        switched = at_root or self._nested_switches
        while True:
            if self._kind == NAME:
                fields.append(self._field(switched))
            elif self._text == "...":
                self._spread(spreads, inlines, switched)
            else:
                self._unexpected()
            if self._text == "}":
                self._advance()
                return Selection(tuple(fields), tuple(spreads), tuple(inlines))

    def _field(self, switched: bool) -> Field:
        key = name = self._text
        self._advance()
        aliased = self._text == ":"
        if aliased:
            self._advance()
            name = self._name()
        arguments = self._arguments() if self._text == "(" else _NO_ARGUMENTS
        removal = self._directives() if self._text == "@" else ()
        selection = self._selection() if self._text == "{" else None
        if name == "__typename" and (selection or arguments):  # it is a leaf to whoever validates, and free to us
            self._contradicted("__typename has neither arguments nor a selection.")
        return Field(key, name, aliased, arguments, _as_text(arguments), removal if switched else (), selection)

    def _spread(self, spreads: list[Spread], inlines: list[Inline], switched: bool) -> None:
        self._advance()
        if self._kind == NAME and self._text != "on":
            name = self._name()
            self._names.append(name)
            removal = self._directives() if self._text == "@" else ()
            spreads.append(Spread(name, removal if switched else ()))
            return
        on = None
        if self._text == "on":
            self._advance()
            on = self._name()
        removal = self._directives() if self._text == "@" else ()
        inlines.append(Inline(on, removal if switched else (), self._selection()))

    def _arguments(self, *, const: bool = False) -> dict[str, Value]:
        found: dict[str, Value] = {}
        self._advance()
        while True:
            self._pair(found, const)
            if self._text == ")":
                self._advance()
                return found

    def _pair(self, found: dict[str, Value], const: bool) -> None:
        name = self._name()
        self._expect(":")
        if name in found:  # hosts disagree which one they take
            self._contradicted(GIVEN_TWICE)
        found[name] = self._value(const)

    def _directives(self, *, const: bool = False) -> Removal:
        """Only what is certain: nothing if a directive is repeated."""
        found: dict[str, tuple[str | None, bool]] = {}
        said: set[tuple[str, str]] = set()
        certain = True
        while self._text == "@":
            self._advance()
            name = self._name()
            arguments = self._arguments(const=const) if self._text == "(" else _NO_ARGUMENTS
            asks = (name, _as_text(arguments))
            if asks in said:  # a repeatable one differs in its arguments
                self._contradicted("A directive stands twice in one place.")
            said.add(asks)
            removing = _REMOVING_VALUE.get(name)
            if removing is None:
                continue
            certain = certain and name not in found
            condition = arguments.get("if")
            if type(condition) is Variable:
                found[name] = (condition.name, removing)
            elif condition is removing:
                found[name] = _ALWAYS
        if not certain:
            return ()
        self.parsed.conditions.update(name for name, _ in found.values() if name is not None)
        self.parsed.removes |= _ALWAYS in found.values()
        return tuple(found.values())

    # --- values -------------------------------------------------------------------------------------------------------

    def _value(self, const: bool) -> Value:
        kind, text = self._kind, self._text
        value: Value
        if kind == NUMBER:
            value = number(text)
        elif kind == NAME:
            value = _WORDS[text] if text in _WORDS else Word(text)
        elif kind == STRING:
            try:
                value = string_value(text)
            except ValueError:
                self._unexpected()
        elif kind == BLOCK_STRING:
            value = block_string_value(text)
        elif text == "$" and not const:
            self._advance()
            return Variable(self._name())
        elif text == "[":
            return self._list(const)
        elif text == "{":
            return self._object(const)
        else:
            self._unexpected()
        self._advance()
        return value

    def _list(self, const: bool) -> list[Value]:
        self._advance()
        items: list[Value] = []
        while self._text != "]":
            items.append(self._value(const))
        self._advance()
        return items

    def _object(self, const: bool) -> dict[str, Value]:
        self._advance()
        found: dict[str, Value] = {}
        while self._text != "}":
            self._pair(found, const)
        self._advance()
        return found


def _as_text(arguments: Mapping[str, Value]) -> str:
    """To compare them: 1 and true are equal to Python, not here."""
    return repr(sorted(arguments.items(), key=itemgetter(0))) if arguments else ""

"""Scans the tokens of a document and counts what they make certain, before any parser sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

from fraiseql_guard.graphql.syntax.lexer import END, FAULT, chunks
from fraiseql_guard.graphql.syntax.prescan_counters import UNBOUNDED, PrescanBounds, PrescanCounters


@dataclass(frozen=True, slots=True)
class Prescan:
    """What was counted.

    ``fault`` is the number of the token that is none or that closes what is not open. ``read`` are the tokens as far as
    the scan went; with END as the last one they are all.
    """

    tokens: int
    selection_nesting: int
    literal_nesting: int
    directives: int
    fault: int | None
    counters: PrescanCounters
    read: list[str]


class _BracketScan:
    """Follows the brackets that are open, and tells the counters of those around selections.

    ``handlers`` are those of the punctuators that mean something where the scan stands: outside of values, or in them.
    In parentheses, and in brackets outside of them, everything is a value or a type.
    """

    __slots__ = (
        "counters",
        "deepest_literal",
        "deepest_selection",
        "expected",
        "handlers",
        "literals",
        "read",
        "wrong",
    )

    def __init__(self, counters: PrescanCounters) -> None:
        self.counters = counters
        self.read: list[str] = []
        self.expected: list[str] = []
        self.handlers = _OUTSIDE
        self.wrong = False
        self.literals = self.deepest_selection = self.deepest_literal = 0

    def open_selection(self, _: int) -> bool:
        """A selection opens. Whether to stop."""
        self.expected.append("}")
        self.deepest_selection = max(self.deepest_selection, len(self.expected))
        return self.counters.open()

    def close_selection(self, number: int) -> bool:
        """A selection closes. Whether to stop: at one that is not open, or that is empty.

        graphql-core 3.3 parses an empty selection, the specification does not know it.
        """
        if not self.expected or self.expected.pop() != "}" or self.read[number - 1] == "{":
            self.wrong = True
            return True
        self.counters.close()
        return False

    def open_literal(self, closing: str) -> bool:
        """A value or a list of arguments opens, which ``closing`` will close. Whether to stop: never."""
        self.expected.append(closing)
        self.literals += 1
        self.deepest_literal = max(self.deepest_literal, self.literals)
        self.handlers = _IN_LITERAL
        return False

    def close_literal(self, bracket: str) -> bool:
        """A bracket closes. Whether to stop: if something else is open."""
        if not self.expected or self.expected.pop() != bracket:
            self.wrong = True
            return True
        self.literals -= 1
        # The outermost value is closed: braces open selections again.
        if not self.literals:
            self.handlers = _OUTSIDE
        return False


_Handlers = Mapping[str, Callable[[_BracketScan, int], bool]]
_IN_LITERAL: Final[_Handlers] = {
    "(": lambda brackets, _: brackets.open_literal(")"),
    "[": lambda brackets, _: brackets.open_literal("]"),
    "{": lambda brackets, _: brackets.open_literal("}"),
    ")": lambda brackets, _: brackets.close_literal(")"),
    "]": lambda brackets, _: brackets.close_literal("]"),
    "}": lambda brackets, _: brackets.close_literal("}"),
}
_OUTSIDE: Final[_Handlers] = {
    **_IN_LITERAL,
    "{": _BracketScan.open_selection,
    "}": _BracketScan.close_selection,
    ":": lambda brackets, _: brackets.counters.colon(),
    "...": lambda brackets, _: brackets.counters.spread(),
    "@": lambda brackets, _: brackets.counters.directive(),
}


def count(
    text: str, max_tokens: int, bounds: PrescanBounds = UNBOUNDED, *, edges_node_one_level: bool = True
) -> Prescan:
    """Count what stands in a text, up to ``max_tokens`` tokens or until a count is out of bounds."""
    counters = PrescanCounters(bounds, plain="@" not in text, edges_node_one_level=edges_node_one_level)
    brackets = _BracketScan(counters)
    read, handlers = brackets.read, brackets.handlers
    lexeme, number = END, 0
    # Every token of every document passes here, so that the loop calls as little as it can.
    for number, lexeme in enumerate(islice(chain.from_iterable(_noted(text, read)), max_tokens)):
        if lexeme in handlers:
            if handlers[lexeme](brackets, number):
                break
            handlers = brackets.handlers
        elif handlers is _OUTSIDE and lexeme.isidentifier() and counters.name(lexeme):
            break
    return _result(brackets, number, lexeme)


def _result(brackets: _BracketScan, number: int, lexeme: str) -> Prescan:
    """What was counted when the scan ended at the token ``lexeme`` of that number."""
    wrong = brackets.wrong or brackets.counters.stray
    if not wrong:
        brackets.counters.cut()
    # Brackets that are still open are an error only where the text ends, not where the scan stopped.
    unfinished = lexeme is FAULT or (lexeme == END and bool(brackets.expected))
    # END and FAULT are no tokens of the text.
    tokens = number if lexeme in (END, FAULT) else number + 1
    return Prescan(
        tokens=tokens,
        selection_nesting=brackets.deepest_selection,
        literal_nesting=brackets.deepest_literal,
        directives=brackets.read[:tokens].count("@"),
        fault=number if wrong or unfinished else None,
        counters=brackets.counters,
        read=brackets.read,
    )


def _noted(text: str, read: list[str]) -> Iterator[list[str]]:
    """The tokens in chunks, kept for the parser."""
    for chunk in chunks(text):
        read += chunk
        yield chunk

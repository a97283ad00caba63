"""Scans the tokens of a document before it is parsed, and takes the counts that tokens alone make certain."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

from fraiseql_guard.graphql.syntax.lexer import END, FAULT, chunks
from fraiseql_guard.graphql.syntax.prescan_counters import UNBOUNDED, PrescanBounds, PrescanCounters


@dataclass(frozen=True, slots=True)
class Prescan:
    """The counts of a scan.

    ``fault`` is the number (from 0) of the first token that makes the text no GraphQL; None if the scan found none.
    ``read`` are the tokens that were scanned; they are all if the last is END.
    """

    tokens: int
    selection_nesting: int
    literal_nesting: int
    directives: int
    fault: int | None
    counters: PrescanCounters
    read: list[str]


class _BracketScan:
    """Follows the open brackets, and tells the counters of the braces around selections.

    ``handlers`` are those of the punctuators that matter where the scan stands: outside of values, or in them.
    Everything in parentheses or brackets is a value or a type.
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
        """Open a selection. Returns whether to stop."""
        self.expected.append("}")
        self.deepest_selection = max(self.deepest_selection, len(self.expected))
        return self.counters.open()

    def close_selection(self, number: int) -> bool:
        """Close a selection. Returns whether to stop: it is not open, or is empty.

        The specification does not allow an empty selection, which graphql-core 3.3 parses.
        """
        if not self.expected or self.expected.pop() != "}" or self.read[number - 1] == "{":
            self.wrong = True
            return True
        self.counters.close()
        return False

    def open_literal(self, closing: str) -> bool:
        """Open a value or a list of arguments, which ``closing`` will close. Returns whether to stop: never."""
        self.expected.append(closing)
        self.literals += 1
        self.deepest_literal = max(self.deepest_literal, self.literals)
        self.handlers = _IN_LITERAL
        return False

    def close_literal(self, bracket: str) -> bool:
        """Close a value or a list of arguments. Returns whether to stop: another bracket is open, or none."""
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
    """Scan a text up to ``max_tokens`` tokens, the first fault, or the first count that is out of ``bounds``."""
    counters = PrescanCounters(bounds, plain="@" not in text, edges_node_one_level=edges_node_one_level)
    brackets = _BracketScan(counters)
    read, handlers = brackets.read, brackets.handlers
    lexeme, number = END, 0
    # Every token of every document passes here, so that the loop calls as little as it can.
    for number, lexeme in enumerate(islice(chain.from_iterable(_keep_chunks(text, read)), max_tokens)):
        if lexeme in handlers:
            if handlers[lexeme](brackets, number):
                break
            handlers = brackets.handlers
        elif handlers is _OUTSIDE and lexeme.isidentifier() and counters.name(lexeme):
            break
    return _result(brackets, number, lexeme)


def _result(brackets: _BracketScan, number: int, lexeme: str) -> Prescan:
    """The counts of a scan that ended at the token ``lexeme``, which has this number (from 0)."""
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


def _keep_chunks(text: str, read: list[str]) -> Iterator[list[str]]:
    """The tokens of a text in chunks, which are added to ``read`` for the parser."""
    for chunk in chunks(text):
        read += chunk
        yield chunk

"""The lexical scan: what a document costs to parse, bounded before any parser sees it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Final

from fraiseql_guard.core import signals
from fraiseql_guard.core.context import Denial
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import Code
from fraiseql_guard.graphql.refusals import FOREIGN, contradiction, over, syntax_error
from fraiseql_guard.graphql.syntax.lexer import END, FAULT, chunks, count_tokens, offset_of
from fraiseql_guard.graphql.syntax.prescan_counters import UNBOUNDED, PrescanBounds, PrescanCounters

_INTROSPECTION: Final = re.compile(r"__(?:schema|type)(?![_0-9A-Za-z])")
_SMALL: Final = 400
"""Tokens of a document that is cheap to measure."""
_OWN_IN_INTROSPECTION: Final = (signals.TOO_MANY_ALIASES, signals.QUERY_TOO_DEEP)

MAX_SELECTION_NESTING: Final = 100
MAX_LITERAL_NESTING: Final = 40
"""What a recursive parser stands whatever is configured: five frames a level, of the thousand that Python allows."""


@dataclass(frozen=True, slots=True)
class Prescan:
    """What was counted. ``fault`` is the number of the token that is none or that closes what is not open.

    ``read`` are the tokens as far as anybody looked; with END as the last one they are all.
    """

    tokens: int
    selection_nesting: int
    literal_nesting: int
    directives: int
    fault: int | None
    shape: PrescanCounters
    read: list[str]


class _Counter:
    """What is counted token by token: the brackets that are open, the deepest that they were, and the shape.

    ``handlers`` are those of the punctuators that mean something where the scan stands: outside of values, or in them.
    In parentheses, and in brackets outside of them, everything is a value or a type.
    """

    __slots__ = ("deepest_literal", "deepest_selection", "expected", "handlers", "literals", "read", "shape", "wrong")

    def __init__(self, shape: PrescanCounters) -> None:
        self.shape = shape
        self.read: list[str] = []
        self.expected: list[str] = []
        self.handlers = _OUTSIDE
        self.wrong = False
        self.literals = self.deepest_selection = self.deepest_literal = 0

    def open_selection(self, _: int) -> bool:
        """Whether to stop at a selection that opens."""
        self.expected.append("}")
        self.deepest_selection = max(self.deepest_selection, len(self.expected))
        return self.shape.open()

    def close_selection(self, number: int) -> bool:
        """The same at one that closes. An empty selection is none: graphql-core 3.3 parses it, the specification does
        not know it."""
        if not self.expected or self.expected.pop() != "}" or self.read[number - 1] == "{":
            self.wrong = True
            return True
        self.shape.close()
        return False

    def open_literal(self, closing: str) -> bool:
        """A value or a list of arguments opens, which ``closing`` will close."""
        self.expected.append(closing)
        self.literals += 1
        self.deepest_literal = max(self.deepest_literal, self.literals)
        self.handlers = _IN_LITERAL
        return False

    def close_literal(self, bracket: str) -> bool:
        """Whether to stop at a bracket that closes something else."""
        if not self.expected or self.expected.pop() != bracket:
            self.wrong = True
            return True
        self.literals -= 1
        if not self.literals:
            self.handlers = _OUTSIDE
        return False


_Handlers = Mapping[str, Callable[[_Counter, int], bool]]
_IN_LITERAL: Final[_Handlers] = {
    "(": lambda counter, _: counter.open_literal(")"),
    "[": lambda counter, _: counter.open_literal("]"),
    "{": lambda counter, _: counter.open_literal("}"),
    ")": lambda counter, _: counter.close_literal(")"),
    "]": lambda counter, _: counter.close_literal("]"),
    "}": lambda counter, _: counter.close_literal("}"),
}
_OUTSIDE: Final[_Handlers] = {
    **_IN_LITERAL,
    "{": _Counter.open_selection,
    "}": _Counter.close_selection,
    ":": lambda counter, _: counter.shape.colon(),
    "...": lambda counter, _: counter.shape.spread(),
    "@": lambda counter, _: counter.shape.directive(),
}


def count(
    text: str, max_tokens: int, bounds: PrescanBounds = UNBOUNDED, *, edges_node_one_level: bool = True
) -> Prescan:
    """Count what stands in a text, up to ``max_tokens`` tokens or until its shape is out of bounds."""
    shape = PrescanCounters(bounds, plain="@" not in text, edges_node_one_level=edges_node_one_level)
    counter = _Counter(shape)
    read, handlers = counter.read, counter.handlers
    lexeme, number = END, 0
    for number, lexeme in enumerate(islice(chain.from_iterable(_noted(text, read)), max_tokens)):
        if lexeme in handlers:
            if handlers[lexeme](counter, number):
                break
            handlers = counter.handlers
        elif handlers is _OUTSIDE and lexeme.isidentifier() and shape.name(lexeme):
            break
    wrong = counter.wrong or shape.stray
    if not wrong:
        shape.cut()
    unfinished = lexeme is FAULT or (lexeme == END and bool(counter.expected))
    tokens = number if lexeme in (END, FAULT) else number + 1
    return Prescan(
        tokens=tokens,
        selection_nesting=counter.deepest_selection,
        literal_nesting=counter.deepest_literal,
        directives=read[:tokens].count("@"),
        fault=number if wrong or unfinished else None,
        shape=shape,
        read=read,
    )


def _noted(text: str, read: list[str]) -> Iterator[list[str]]:
    """The tokens in chunks, kept for the parser."""
    for chunk in chunks(text):
        read += chunk
        yield chunk


@dataclass(frozen=True, slots=True)
class _PrescanLimit:
    setting: str
    code: Code
    actual: Callable[[PrescanCounters], int]
    offends: bool = True
    path: Callable[[PrescanCounters], tuple[str, ...]] = lambda _: ()


_SHAPES: Final = (
    _PrescanLimit("max_operations", signals.TOO_MANY_OPERATIONS, lambda shape: shape.operations, offends=False),
    _PrescanLimit("max_fragments", signals.TOO_MANY_FRAGMENTS, lambda shape: shape.fragments, offends=False),
    _PrescanLimit("max_query_depth", signals.QUERY_TOO_DEEP, lambda shape: shape.depth),
    _PrescanLimit("max_aliases", signals.TOO_MANY_ALIASES, lambda shape: shape.aliases),
    _PrescanLimit("max_root_fields", signals.TOO_MANY_ROOT_FIELDS, lambda shape: shape.root_fields),
    _PrescanLimit(
        "max_duplicate_keys",
        signals.TOO_MANY_DUPLICATE_KEYS,
        lambda shape: shape.repetitions,
        path=lambda shape: shape.path,
    ),
)


class Prescanner:
    """Refuses what would be expensive to parse. The limits come from the settings.

    A document of at most ``small_tokens`` tokens that is not grossly over a limit is left to be measured in full.
    """

    __slots__ = (
        "_bounds",
        "_bounds_of_introspection",
        "_chars",
        "_directives",
        "_edges_node_one_level",
        "_literal_limit",
        "_nesting",
        "_nesting_limit",
        "_shapes",
        "_small_tokens",
        "_tokens",
    )

    def __init__(self, settings: Settings, *, small_tokens: int = _SMALL) -> None:
        self._small_tokens = small_tokens
        self._chars = settings.max_query_chars
        self._tokens = settings.max_tokens
        self._directives = settings.max_directives
        self._edges_node_one_level = settings.edges_node_one_level
        # Inline fragments nest braces without nesting fields, so the text may be deeper than the operation.
        self._nesting = min(2 * settings.max_query_depth + 20, MAX_SELECTION_NESTING)
        self._nesting_limit = min(settings.max_query_depth, self._nesting)
        # The parentheses around the arguments are one level of their own.
        self._literal_limit = min(settings.max_literal_depth, MAX_LITERAL_NESTING)
        self._shapes = tuple((row, int(getattr(settings, row.setting))) for row in _SHAPES)
        self._bounds = PrescanBounds(
            aliases=_gross(settings.max_aliases),
            root_fields=_gross(settings.max_root_fields),
            repetitions=_gross(settings.max_duplicate_keys),
            operations=settings.max_operations + 1,
            fragments=settings.max_fragments + 1,
            nesting=2 * self._nesting,
        )
        # An introspection has aliases of its own.
        self._bounds_of_introspection = replace(self._bounds, aliases=2 * self._bounds.aliases)

    @property
    def max_nesting(self) -> int:
        """Levels of braces that are parsed at all."""
        return self._nesting

    def check(self, text: str) -> Denial | None:
        """The first lexical limit that ``text`` exceeds, or where it is no GraphQL."""
        found = self.read(text)
        return found if isinstance(found, Denial) else None

    def read(self, text: str) -> list[str] | Denial:
        """The tokens of a text within the limits, with END behind them."""
        if len(text) > self._chars:
            return over(signals.QUERY_TOO_LONG, self._chars, len(text), offends=True)
        introspects = _INTROSPECTION.search(text) is not None
        bounds = self._bounds_of_introspection if introspects else self._bounds
        scan = count(text, self._tokens + 1, bounds, edges_node_one_level=self._edges_node_one_level)
        literal_nesting = scan.literal_nesting - 1
        if scan.tokens > self._tokens:  # counted up to twice the limit, to know what is an offence
            tokens = count_tokens(text, 2 * self._tokens)
            return over(signals.QUERY_TOO_MANY_TOKENS, self._tokens, tokens, offends=True)
        if scan.selection_nesting > self._nesting:
            return over(signals.QUERY_TOO_DEEP, self._nesting_limit, scan.selection_nesting, offends=True)
        if literal_nesting > self._literal_limit:
            return over(signals.LITERAL_TOO_DEEP, self._literal_limit, literal_nesting, offends=True)
        if scan.directives > self._directives:
            return over(signals.TOO_MANY_DIRECTIVES, self._directives, scan.directives)
        if denial := self._misshapen(scan, introspects=introspects):
            return denial
        if scan.shape.foreign:
            return contradiction(FOREIGN)
        return scan.read if scan.fault is None else syntax_error(text, offset_of(text, scan.fault))

    def _misshapen(self, scan: Prescan, *, introspects: bool) -> Denial | None:
        """What the shape makes certain. A small document that is not grossly over is measured, to know all numbers."""
        found = [
            (row, limit, actual)
            for row, limit in self._shapes
            if (actual := self._actual(row, scan.shape, introspects=introspects)) > limit
        ]
        gross = any(actual >= _gross(limit) or not row.offends for row, limit, actual in found)
        if not found or not (gross or scan.tokens > self._small_tokens):
            return None
        exceeded = [
            over(row.code, limit, actual, offends=row.offends and not introspects, path=".".join(row.path(scan.shape)))
            for row, limit, actual in found
        ]
        offence = next((item.offence for item in exceeded if item.offence), None)
        return replace(exceeded[0], path=exceeded[0].path or None, offence=offence)

    @staticmethod
    def _actual(row: _PrescanLimit, shape: PrescanCounters, *, introspects: bool) -> int:
        """What is certain: of the aliases and the depth, an introspection has its own."""
        actual = row.actual(shape)
        if not introspects or row.code not in _OWN_IN_INTROSPECTION:
            return actual
        return (actual + 1) // 2 if row.code is signals.TOO_MANY_ALIASES else 0


def _gross(limit: int) -> int:
    return max(2 * limit, limit + 1)

"""The lexical scan: what a document costs to parse, bounded before any parser sees it.

One anchored regular expression, matched token by token. Every repetition is possessive, so no input makes it go back,
and the first text that is no token ends the scan: the work is linear in the length of the text, whatever the text.
(``finditer`` would search on from every quote of ``\"\"\"\"\"\"...`` and be quadratic.)

Escapes are checked here as well: the lexer of graphql-core 3.2.7 reads beyond the end of ``{a(x:"\\u")}``.

Source of the grammar: GraphQL specification, October 2021, section 2.1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from fraiseql_guard import signals
from fraiseql_guard.context import Denial
from fraiseql_guard.graphql.refusals import FOREIGN, contradiction, over, syntax_error
from fraiseql_guard.graphql.shape import UNBOUNDED, Bounds, Shape
from fraiseql_guard.settings import Settings
from fraiseql_guard.signals import Code

KINDS: Final = ("", "name", "open", "close", "at", "punctuator", "number", "string", "block string", "end")
"""Kind of a token by the number of its group."""
NAME, OPEN, CLOSE, AT, PUNCTUATOR, NUMBER, STRING, BLOCK_STRING, END = range(1, 10)

TOKEN: Final = re.compile(
    r"""(?:[ \t\r\n,\ufeff]++|\#[^\r\n\ud800-\udfff]*+)*+
    (?:([_A-Za-z][_0-9A-Za-z]*+)
    |([{(\[])
    |([})\]])
    |(@)
    |(\.\.\.|[!$&:=|])
    |(-?+(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?+[0-9]++)?+(?![_.0-9A-Za-z]))
    |("(?!"")[^"\\\r\n\ud800-\udfff]*+
      (?:\\(?:["\\/bfnrt]|u(?:[0-9A-Fa-f]{4}|\{[0-9A-Fa-f]++\}))[^"\\\r\n\ud800-\udfff]*+)*+")
    |(\"\"\"[^"\\\ud800-\udfff]*+(?:(?:\\(?:\"\"\")?+|"(?!""))[^"\\\ud800-\udfff]*+)*+\"\"\")
    |(\Z))""",
    re.VERBOSE,
)
_CLOSING: Final = {"{": "}", "(": ")", "[": "]"}

_INTROSPECTION: Final = re.compile(r"__(?:schema|type)(?![_0-9A-Za-z])")
_SMALL: Final = 400
"""Tokens of a document that is cheap to measure."""
_OWN_IN_INTROSPECTION: Final = (signals.TOO_MANY_ALIASES, signals.QUERY_TOO_DEEP)

MAX_SELECTION_NESTING: Final = 100
MAX_LITERAL_NESTING: Final = 40
"""What a recursive parser stands whatever is configured: five frames a level, of the thousand that Python allows."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What was counted. ``fault`` is the offset of the first text that is no token or closes what is not open."""

    tokens: int
    selection_nesting: int
    literal_nesting: int
    directives: int
    fault: int | None
    shape: Shape


def lex(text: str) -> Iterator[tuple[str, str]]:
    """Kind and text of each token; ends early at text that is no token."""
    match = cast("Any", TOKEN).scanner(text).match
    while (found := match()) and found.lastindex != END:
        yield KINDS[found.lastindex], found[found.lastindex]


def count(text: str, max_tokens: int, bounds: Bounds = UNBOUNDED) -> Scan:
    """Count what stands in a text, up to ``max_tokens`` tokens or until its shape is out of bounds."""
    match = cast("Any", TOKEN).scanner(text).match
    shape = Shape(bounds, plain="@" not in text)
    tokens = directives = selections = literals = deepest_selection = deepest_literal = end = 0
    expected: list[str] = []
    fault: int | None = None
    stop = False
    kind = before = 0
    while fault is None and not stop and tokens < max_tokens and (found := match()):
        before, kind = kind, found.lastindex
        if kind == END:
            break
        tokens += 1
        end = found.end()
        if kind == NAME:
            stop = not literals and shape.name(found[NAME])
            fault = found.start(NAME) if shape.stray else None
        elif kind == PUNCTUATOR:
            stop = not literals and shape.punctuator(found[PUNCTUATOR])
        elif kind == OPEN:
            expected.append(_CLOSING[found[OPEN]])
            if expected[-1] == "}" and not literals:
                selections += 1
                deepest_selection = max(deepest_selection, selections)
                stop = shape.open()
            else:  # inside parentheses everything is a value or a type
                literals += 1
                deepest_literal = max(deepest_literal, literals)
        elif kind == CLOSE:
            # Nothing between braces: graphql-core 3.3 parses it, the specification does not know it.
            if not expected or expected.pop() != found[CLOSE] or (before == OPEN and not literals):
                fault = end - 1
            elif literals:
                literals -= 1
            else:
                selections -= 1
                shape.close()
        elif kind == AT:
            directives += 1
            if not literals:
                shape.directive()
    if fault is None:
        shape.cut()
        fault = None if stop or tokens >= max_tokens or (kind == END and not expected) else end
    return Scan(tokens, deepest_selection, deepest_literal, directives, fault, shape)


@dataclass(frozen=True, slots=True)
class _Limit:
    setting: str
    code: Code
    actual: Callable[[Shape], int]
    offends: bool = True
    path: Callable[[Shape], tuple[str, ...]] = lambda _: ()


_SHAPES: Final = (
    _Limit("max_operations", signals.TOO_MANY_OPERATIONS, lambda shape: shape.operations, offends=False),
    _Limit("max_fragments", signals.TOO_MANY_FRAGMENTS, lambda shape: shape.fragments, offends=False),
    _Limit("max_query_depth", signals.QUERY_TOO_DEEP, lambda shape: shape.depth),
    _Limit("max_aliases", signals.TOO_MANY_ALIASES, lambda shape: shape.aliases),
    _Limit("max_root_fields", signals.TOO_MANY_ROOT_FIELDS, lambda shape: shape.root_fields),
    _Limit(
        "max_duplicate_keys",
        signals.TOO_MANY_DUPLICATE_KEYS,
        lambda shape: shape.repetitions,
        path=lambda shape: shape.path,
    ),
)


class Scanner:
    """Refuses what would be expensive to parse. The limits come from the settings."""

    __slots__ = (
        "_bounds",
        "_chars",
        "_directives",
        "_literal_limit",
        "_nesting",
        "_nesting_limit",
        "_shapes",
        "_tokens",
    )

    def __init__(self, settings: Settings) -> None:
        self._chars = settings.max_query_chars
        self._tokens = settings.max_tokens
        self._directives = settings.max_directives
        # Inline fragments nest braces without nesting fields, so the text may be deeper than the operation.
        self._nesting = min(2 * settings.max_query_depth + 20, MAX_SELECTION_NESTING)
        self._nesting_limit = min(settings.max_query_depth, self._nesting)
        # The parentheses around the arguments are one level of their own.
        self._literal_limit = min(settings.max_literal_depth, MAX_LITERAL_NESTING)
        self._shapes = tuple((row, int(getattr(settings, row.setting))) for row in _SHAPES)
        self._bounds = Bounds(
            aliases=2 * _gross(settings.max_aliases),  # twice, since an introspection has its own
            root_fields=_gross(settings.max_root_fields),
            repetitions=_gross(settings.max_duplicate_keys),
            operations=settings.max_operations + 1,
            fragments=settings.max_fragments + 1,
            nesting=2 * self._nesting,
        )

    @property
    def max_nesting(self) -> int:
        """Levels of braces that are parsed at all."""
        return self._nesting

    def check(self, text: str) -> Denial | None:
        """The first lexical limit that ``text`` exceeds, or where it is no GraphQL."""
        if len(text) > self._chars:
            return over(signals.QUERY_TOO_LONG, self._chars, len(text), offends=True)
        introspects = _INTROSPECTION.search(text) is not None
        bounds = self._bounds if introspects else replace(self._bounds, aliases=self._bounds.aliases // 2)
        scan = count(text, 2 * self._tokens, bounds)  # twice, to know what is an offence
        literal_nesting = scan.literal_nesting - 1
        if scan.tokens > self._tokens:
            return over(signals.QUERY_TOO_MANY_TOKENS, self._tokens, scan.tokens, offends=True)
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
        return None if scan.fault is None else syntax_error(text, scan.fault)

    def _misshapen(self, scan: Scan, *, introspects: bool) -> Denial | None:
        """What the shape makes certain. A small document that is not grossly over is measured, to know all numbers."""
        found = [(row, limit, self._actual(row, scan.shape, introspects=introspects)) for row, limit in self._shapes]
        exceeded = [
            over(row.code, limit, actual, offends=row.offends and not introspects, path=".".join(row.path(scan.shape)))
            for row, limit, actual in found
            if actual > limit
        ]
        gross = any(actual >= _gross(limit) or not row.offends for row, limit, actual in found if actual > limit)
        if not exceeded or not (gross or scan.tokens > _SMALL):
            return None
        offence = next((item.offence for item in exceeded if item.offence), None)
        return replace(exceeded[0], path=exceeded[0].path or None, offence=offence)

    @staticmethod
    def _actual(row: _Limit, shape: Shape, *, introspects: bool) -> int:
        """What is certain: of the aliases and the depth, an introspection has its own."""
        actual = row.actual(shape)
        if not introspects or row.code not in _OWN_IN_INTROSPECTION:
            return actual
        return (actual + 1) // 2 if row.code is signals.TOO_MANY_ALIASES else 0


def _gross(limit: int) -> int:
    return max(2 * limit, limit + 1)

"""Refuses documents that would be expensive to parse, by the counts of the scan and the limits of the settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from fraiseql_guard.core import signals
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import Code
from fraiseql_guard.graphql.denials import FOREIGN, contradiction, over, syntax_error
from fraiseql_guard.graphql.syntax.lexer import count_tokens, offset_of
from fraiseql_guard.graphql.syntax.prescan import Prescan, count
from fraiseql_guard.graphql.syntax.prescan_counters import PrescanBounds, PrescanCounters

_INTROSPECTION: Final = re.compile(r"__(?:schema|type)(?![_0-9A-Za-z])")
_SMALL: Final = 400
"""Most tokens of a document that is cheap to measure."""
_OWN_IN_INTROSPECTION: Final = (signals.TOO_MANY_ALIASES, signals.QUERY_TOO_DEEP)

MAX_SELECTION_NESTING: Final = 100
MAX_LITERAL_NESTING: Final = 40
"""Deepest nesting that is parsed, whatever the settings say: five frames a level, of the thousand that Python
allows."""


@dataclass(frozen=True, slots=True)
class _PrescanLimit:
    setting: str
    code: Code
    actual: Callable[[PrescanCounters], int]
    offends: bool = True
    path: Callable[[PrescanCounters], tuple[str, ...]] = lambda _: ()

    def is_gross(self, limit: int, actual: int) -> bool:
        """Whether the limit is exceeded so far that even a small document is refused unmeasured."""
        return actual >= _gross(limit) or not self.offends


_LIMITS: Final = (
    _PrescanLimit("max_operations", signals.TOO_MANY_OPERATIONS, lambda counters: counters.operations, offends=False),
    _PrescanLimit("max_fragments", signals.TOO_MANY_FRAGMENTS, lambda counters: counters.fragments, offends=False),
    _PrescanLimit("max_query_depth", signals.QUERY_TOO_DEEP, lambda counters: counters.depth),
    _PrescanLimit("max_aliases", signals.TOO_MANY_ALIASES, lambda counters: counters.aliases),
    _PrescanLimit("max_root_fields", signals.TOO_MANY_ROOT_FIELDS, lambda counters: counters.root_fields),
    _PrescanLimit(
        "max_duplicate_keys",
        signals.TOO_MANY_DUPLICATE_KEYS,
        lambda counters: counters.repetitions,
        path=lambda counters: counters.path,
    ),
)


class Prescanner:
    """Refuses documents that would be expensive to parse. The limits come from the settings.

    A document of at most ``small_tokens`` tokens that is not grossly over a limit passes: the analysis refuses it, with
    all its numbers.
    """

    __slots__ = (
        "_bounds",
        "_bounds_of_introspection",
        "_chars",
        "_directives",
        "_edges_node_one_level",
        "_limits",
        "_literal_limit",
        "_nesting",
        "_nesting_limit",
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
        self._limits = tuple((row, int(getattr(settings, row.setting))) for row in _LIMITS)
        self._bounds = PrescanBounds(
            aliases=_gross(settings.max_aliases),
            root_fields=_gross(settings.max_root_fields),
            repetitions=_gross(settings.max_duplicate_keys),
            operations=settings.max_operations + 1,
            fragments=settings.max_fragments + 1,
            nesting=2 * self._nesting,
        )
        # Aliases in an introspection have a limit of their own.
        self._bounds_of_introspection = replace(self._bounds, aliases=2 * self._bounds.aliases)

    @property
    def max_nesting(self) -> int:
        """Most levels of braces in a document that is parsed."""
        return self._nesting

    def check(self, text: str) -> Denial | None:
        """The refusal of a text by :meth:`read`, or None."""
        found = self.read(text)
        return found if isinstance(found, Denial) else None

    def read(self, text: str) -> list[str] | Denial:
        """The tokens of a text within the limits, with END as the last; else its refusal."""
        # 1. The length, which costs nothing to ask.
        if len(text) > self._chars:
            return over(signals.QUERY_TOO_LONG, self._chars, len(text), offends=True)
        # 2. Scan the tokens, with more room for aliases where the document asks about the schema.
        introspects = _INTROSPECTION.search(text) is not None
        bounds = self._bounds_of_introspection if introspects else self._bounds
        scan = count(text, self._tokens + 1, bounds, edges_node_one_level=self._edges_node_one_level)
        literal_nesting = scan.literal_nesting - 1
        if scan.tokens > self._tokens:  # counted up to twice the limit, to know what is an offence
            tokens = count_tokens(text, 2 * self._tokens)
            return over(signals.QUERY_TOO_MANY_TOKENS, self._tokens, tokens, offends=True)
        # 3. The nesting, which the recursion of the parser follows.
        if scan.selection_nesting > self._nesting:
            return over(signals.QUERY_TOO_DEEP, self._nesting_limit, scan.selection_nesting, offends=True)
        if literal_nesting > self._literal_limit:
            return over(signals.LITERAL_TOO_DEEP, self._literal_limit, literal_nesting, offends=True)
        if scan.directives > self._directives:
            return over(signals.TOO_MANY_DIRECTIVES, self._directives, scan.directives)
        # 4. Counts that need no parser.
        if denial := self._over_a_count(scan, introspects=introspects):
            return denial
        # 5. Faults come last, so that they hide no offence.
        if scan.counters.foreign:
            return contradiction(FOREIGN)
        return scan.read if scan.fault is None else syntax_error(text, offset_of(text, scan.fault))

    def _over_a_count(self, scan: Prescan, *, introspects: bool) -> Denial | None:
        """The refusal of a document for its counts, or None. A small document that is not grossly over a limit is left
        to the analysis, which knows all numbers."""
        found = self._exceeded(scan.counters, introspects=introspects)
        small = scan.tokens <= self._small_tokens
        if not found or (small and not any(row.is_gross(limit, actual) for row, limit, actual in found)):
            return None
        return _denial_of(found, scan.counters, introspects=introspects)

    def _exceeded(self, counters: PrescanCounters, *, introspects: bool) -> list[tuple[_PrescanLimit, int, int]]:
        """The limits that are certainly exceeded, each with the limit and what was counted."""
        counted = [(row, limit, self._actual(row, counters, introspects=introspects)) for row, limit in self._limits]
        return [(row, limit, actual) for row, limit, actual in counted if actual > limit]

    @staticmethod
    def _actual(row: _PrescanLimit, counters: PrescanCounters, *, introspects: bool) -> int:
        """The part of a count that certainly counts against this limit: aliases and depth of an introspection have
        limits of their own."""
        actual = row.actual(counters)
        if not introspects or row.code not in _OWN_IN_INTROSPECTION:
            return actual
        # Aliases inside and outside of the introspection have a limit each: half of them exceed one for certain.
        return (actual + 1) // 2 if row.code is signals.TOO_MANY_ALIASES else 0


def _denial_of(
    found: Sequence[tuple[_PrescanLimit, int, int]], counters: PrescanCounters, *, introspects: bool
) -> Denial:
    """The refusal for the first of the exceeded limits; an offence if exceeding any of them is one."""
    denials = [over(row.code, limit, actual, offends=row.offends and not introspects) for row, limit, actual in found]
    path = ".".join(found[0][0].path(counters))
    offence = next((item.offence for item in denials if item.offence), None)
    return replace(denials[0], path=path or None, offence=offence)


def _gross(limit: int) -> int:
    # A limit of 0 is grossly exceeded from 1 on.
    return max(2 * limit, limit + 1)

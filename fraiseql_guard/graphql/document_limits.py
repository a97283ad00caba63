"""Finds the limit that a measured request exceeds, by one table in the order in which refusals are named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from fraiseql_guard.core import signals
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.rule_candidates import RuleInForce
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import Code
from fraiseql_guard.graphql.analyzed_document import AnalyzedDocument, DocumentVariant
from fraiseql_guard.graphql.cost.pricing import Path, Prices
from fraiseql_guard.graphql.denials import over


@dataclass(frozen=True, slots=True)
class Measurements:
    """Everything that was measured of one request."""

    document: AnalyzedDocument
    variant: DocumentVariant
    prices: Prices


@dataclass(frozen=True, slots=True)
class _QueryLimit:
    setting: str
    code: Code
    actual: Callable[[Measurements], int]
    path: Callable[[Measurements], Path] = lambda _: ()
    offends: bool = True
    sure: Callable[[Measurements], int] | None = None  # the number without guesses; None: nothing is guessed


# Introspection comes last, so that it cannot hide an expensive query, and is never an offence.
QUERY_LIMITS: Final = (
    _QueryLimit("max_query_depth", signals.QUERY_TOO_DEEP, lambda n: n.variant.depth, lambda n: n.variant.deepest),
    _QueryLimit(
        "max_query_complexity",
        signals.QUERY_TOO_COMPLEX,
        lambda n: n.prices.complexity,
        lambda n: n.variant.plan.dearest_path(n.prices),
        sure=lambda n: n.prices.sure_complexity,
    ),
    _QueryLimit("max_list_size", signals.LIST_TOO_LARGE, lambda n: n.prices.list_size, lambda n: n.prices.list_path),
    _QueryLimit(
        "max_offset",
        signals.OFFSET_TOO_LARGE,
        lambda n: n.prices.offset,
        lambda n: n.prices.offset_path,
        sure=lambda n: n.prices.sure_offset,
    ),
    _QueryLimit("max_aliases", signals.TOO_MANY_ALIASES, lambda n: n.document.repetition.aliases),
    _QueryLimit("max_root_fields", signals.TOO_MANY_ROOT_FIELDS, lambda n: n.variant.most_root_fields),
    _QueryLimit(
        "max_duplicate_keys",
        signals.TOO_MANY_DUPLICATE_KEYS,
        lambda n: n.document.repetition.times,
        lambda n: n.document.repetition.path,
    ),
    _QueryLimit("max_aliases", signals.TOO_MANY_ALIASES, lambda n: n.document.repetition.meta_aliases, offends=False),
    _QueryLimit(
        "introspection_max_list_depth",
        signals.INTROSPECTION_TOO_DEEP,
        lambda n: n.document.counts.introspection,
        offends=False,
    ),
)


class LimitChecker:
    """Compares measurements with the limits of the settings.

    ``max_nesting`` is the number of levels of braces that are parsed. ``rule`` is the rule whose limits the settings
    have; a refusal by one of them names it.
    """

    __slots__ = ("_introspection", "_limits", "_max_nesting", "_rule")

    def __init__(self, settings: Settings, max_nesting: int, rule: RuleInForce | None = None) -> None:
        self._rule = rule
        self._limits = tuple((row, int(getattr(settings, row.setting))) for row in QUERY_LIMITS)
        self._introspection = settings.introspection_policy
        self._max_nesting = max_nesting

    def compare(self, numbers: Measurements) -> list[tuple[str, Code, int, int]]:
        """Setting, code, limit and actual number of every limit."""
        return [(row.setting, row.code, limit, row.actual(numbers)) for row, limit in self._limits]

    def decide(self, numbers: Measurements, *, authenticated: bool) -> Denial | None:
        """The refusal for the first exceeded limit, in the order of the table; else that of a policy; else None."""
        prices, counts = numbers.prices, numbers.document.counts
        if prices.invalid_path is not None:
            return Denial(signals.LIST_SIZE_INVALID, path=".".join(prices.invalid_path))
        # Numbers come before policies: they may be offences, and a policy's refusal would hide that.
        if (denial := self._over_a_limit(numbers)) is not None:
            return denial
        if counts.depth > self._max_nesting:  # @skip may take it out of the execution, not out of the validation
            return over(signals.QUERY_TOO_DEEP, self._max_nesting, counts.depth)
        if prices.unsliced_path is not None:
            return Denial(signals.LIST_UNSLICED, path=".".join(prices.unsliced_path))
        if counts.introspection >= 0 and not self._may_introspect(authenticated=authenticated):
            return Denial(signals.INTROSPECTION_DENIED)
        return None

    def _over_a_limit(self, numbers: Measurements) -> Denial | None:
        """The refusal for the first exceeded limit, an offence if exceeding any of them is one; None if none is
        exceeded.
        """
        exceeded = [
            self._named(row, _denial(row, limit, actual, numbers))
            for row, limit in self._limits
            if (actual := row.actual(numbers)) > limit
        ]
        if not exceeded:
            return None
        # The client reads the first refusal; the worst of all decides about a sanction.
        offence = next((item.offence for item in exceeded if item.offence), None)
        return replace(exceeded[0], offence=offence)

    def _named(self, row: _QueryLimit, denial: Denial) -> Denial:
        """The denial with the name of the rule, if the limit is the rule's own."""
        rule = self._rule
        return denial if rule is None or row.setting not in rule.limits else replace(denial, rule=rule.name)

    def _may_introspect(self, *, authenticated: bool) -> bool:
        return self._introspection == "allow" or (self._introspection == "authenticated" and authenticated)


def _denial(row: _QueryLimit, limit: int, actual: int, numbers: Measurements) -> Denial:
    path = ".".join(row.path(numbers))
    return over(row.code, limit, actual, offends=_offends(row, limit, numbers), path=path or None)


def _offends(row: _QueryLimit, limit: int, numbers: Measurements) -> bool:
    """Whether exceeding the limit may be an offence: only by what is measured, not by what is guessed."""
    if not row.offends:
        return False
    return row.sure is None or over(row.code, limit, row.sure(numbers), offends=True).offence is not None

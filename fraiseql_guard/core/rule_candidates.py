"""The rules that a request may have once its head is known, and the one that what it asks for leaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from fraiseql_guard.core.measured import Measured
from fraiseql_guard.core.rules import ALL, ENFORCE, FAILURES, MONITOR, RuleMatch
from fraiseql_guard.core.token_buckets import Rate

_OTHER: Final = ""
"""Stands for methods that no rule names."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RuleInForce:
    """What holds for a request that a rule matches: the rule, in full or in its strict form.

    ``rate`` is paid from the rule's own bucket, in place of the caller's other rates or, if ``beside``, together with
    them. Each token that the request takes without the rule becomes ``cost`` tokens; if ``beside``, no fewer than one.
    ``timeout_seconds``: where ``caps``, no more than the settings allow. Two of them are the same only if they are one.
    """

    name: str
    rate: Rate | None = None
    beside: bool = False
    cost: int | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    timeout_seconds: float | None = None
    caps: bool = False
    mode: str | None = None
    count: str | None = None

    @property
    def monitors(self) -> bool:
        """Whether its refusals are only noted."""
        return self.mode == MONITOR

    @property
    def spares(self) -> bool:
        """Whether a request may pass although the caller's other buckets are empty."""
        return (self.rate is not None and not self.beside) or self.cost == 0 or self.monitors or self.count == FAILURES


@dataclass(frozen=True, slots=True)
class RuleShare:
    """What one rule (None: the settings alone) is for in a batch of operations with different ones."""

    rule: RuleInForce | None
    tokens: int
    """Those that they take by the settings."""
    root_field_count: int


@dataclass(frozen=True, slots=True)
class NamedRule:
    """A candidate that matches by what a document says."""

    match: RuleMatch
    full: RuleInForce
    strict: RuleInForce

    def of(self, measured: Measured) -> RuleInForce | None:
        if not self.match.fits(measured):
            return None
        return self.full if self.match.for_certain(measured) else self.strict


class Candidates:
    """The rules that a request may have by its head, in their order. Two are equal only if they are the same.

    ``by_head``: the rule that holds already, None if what the request asks for is still to decide. ``spares``: whether
    the caller may be asked to pay from other buckets than without rules, once more is known.
    """

    __slots__ = ("_named", "_otherwise", "by_head", "spares", "unmeasured")

    def __init__(self, named: Sequence[NamedRule], otherwise: RuleInForce | None, strict: RuleInForce | None) -> None:
        self._named = tuple(named)
        self._otherwise = otherwise
        self.by_head: Final = None if self._named else otherwise
        possible = [*(each.full for each in self._named), *([otherwise] if otherwise is not None else ())]
        if self._named:
            self.spares = any(rule.spares for rule in possible)
            last = [strict] if strict is not None else []
            self.unmeasured: RuleInForce | None = _strictest([*(each.strict for each in self._named), *last])
        else:
            self.spares = otherwise is not None and (otherwise.monitors or otherwise.cost == 0)
            self.unmeasured = otherwise

    def of(self, measured: Measured | None) -> RuleInForce | None:
        """The rule of an operation. What could not be measured may be any of them, and profits from none."""
        if not self._named:
            return self._otherwise
        if measured is None or not measured.complete:
            return self.unmeasured
        for each in self._named:
            if (found := each.of(measured)) is not None:
                return found
        return self._otherwise


def _strictest(rules: Sequence[RuleInForce]) -> RuleInForce | None:
    """What holds for a request that may be meant by any of these: the smallest rate, the shortest time, the highest
    cost; and it counts whatever becomes of it, if one of them says so."""
    rated = [rule for rule in rules if rule.rate is not None]
    tightest = min(rated, key=lambda rule: sustained(rule.rate), default=None)
    costs = [rule.cost for rule in rules if rule.cost is not None]
    times = [rule.timeout_seconds for rule in rules if rule.timeout_seconds is not None]
    counts = {rule.count for rule in rules}
    if tightest is None and not costs and not times and ALL not in counts:
        return None
    return RuleInForce(
        name="" if tightest is None else tightest.name,
        rate=None if tightest is None else tightest.rate,
        beside=True,
        cost=max(costs, default=None),
        timeout_seconds=min(times, default=None),
        caps=True,
        count=ALL if ALL in counts else None,
    )


def sustained(rate: Rate | None) -> float:
    """How many requests a second a rate lets pass in the long run; without one, all."""
    return float("inf") if rate is None else min(limit.tokens_per_second for limit in rate.limits)


class PathRules:
    """The candidates of one class of paths: those that the same rules' paths match.

    ``find`` makes those of a method, a tier, and of operations or other requests; ``methods`` and ``tiers`` are those
    that rules name.
    """

    __slots__ = ("_find", "_known", "_methods", "_tiers")

    def __init__(
        self,
        find: Callable[[str, str | None, bool], Candidates],
        *,
        methods: frozenset[str],
        tiers: frozenset[str],
    ) -> None:
        self._find = find
        self._methods = methods
        self._tiers = tiers
        self._known: dict[tuple[str, str | None, bool], Candidates] = {}

    def of(self, method: str, tier: str | None, operation: bool) -> Candidates:
        """Those of a request with this method, of a caller of this tier; ``operation``: it asks for a document."""
        found = self._known.get((method, tier, operation))
        if found is None:
            # Methods and tiers that no rule names are all the same, so that no caller makes this grow.
            method = method if method in self._methods else _OTHER
            tier = tier if tier in self._tiers else None
            found = self._known.get((method, tier, operation))
        if found is None:
            found = self._known[method, tier, operation] = self._find(method, tier, operation)
        return found


def joined(rules: frozenset[RuleInForce | None]) -> RuleInForce:
    """What holds for a batch as a whole, whose operations have these rules: nothing that one of them does not allow."""
    known = sorted((rule for rule in rules if rule is not None), key=lambda rule: rule.name)
    times = [rule.timeout_seconds for rule in known if rule.timeout_seconds is not None]
    modes, counts = {rule.mode for rule in known}, {rule.count for rule in known}
    everywhere = None not in rules
    return RuleInForce(
        name="+".join(dict.fromkeys(rule.name for rule in known if rule.name)),
        beside=True,
        timeout_seconds=min(times, default=None),
        caps=not everywhere or len(times) < len(known) or any(rule.caps for rule in known),
        mode=ENFORCE if ENFORCE in modes else MONITOR if everywhere and modes == {MONITOR} else None,
        count=ALL if ALL in counts else FAILURES if everywhere and counts == {FAILURES} else None,
    )

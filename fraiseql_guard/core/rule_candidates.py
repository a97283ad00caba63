"""The rules that a request's head leaves as candidates, and the one that its operation selects."""

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
    """A rule in the form that holds for a request which it matches: in full, or strict.

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
        """Whether the rule is in monitor mode: refusals are only noted."""
        return self.mode == MONITOR

    @property
    def spares(self) -> bool:
        """Whether a request may pass although the caller's other buckets are empty."""
        return (self.rate is not None and not self.beside) or self.cost == 0 or self.monitors or self.count == FAILURES


@dataclass(frozen=True, slots=True)
class RuleShare:
    """The share of one rule (None: of the settings alone) in a batch whose operations have different rules."""

    rule: RuleInForce | None
    tokens: int
    """The tokens that the rule's operations take by the settings."""
    root_field_count: int


@dataclass(frozen=True, slots=True)
class NamedRule:
    """A candidate that matches by the content of the document."""

    match: RuleMatch
    full: RuleInForce
    strict: RuleInForce

    def of(self, measured: Measured) -> RuleInForce | None:
        if not self.match.fits(measured):
            return None
        return self.full if self.match.for_certain(measured) else self.strict


class Candidates:
    """The rules that a request may have by its head, in their order. Compared by identity.

    ``by_head``: the rule that the head decides, None if the operation has still to decide. ``spares``: whether a rule
    may let the request pass although the caller's other buckets are empty.
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
        """The rule of an operation. An operation that could not be measured may be meant by any candidate, and gets the
        strictest of their values."""
        if not self._named:
            return self._otherwise
        if measured is None or not measured.complete:
            return self.unmeasured
        for each in self._named:
            if (found := each.of(measured)) is not None:
                return found
        return self._otherwise


def _strictest(rules: Sequence[RuleInForce]) -> RuleInForce | None:
    """The rule for a request that any of these rules may match: the smallest rate, the shortest time, the highest cost;
    it always counts if one of them says so."""
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
    """Requests a second that a rate lets pass in the long run; infinity without a rate."""
    return float("inf") if rate is None else min(limit.tokens_per_second for limit in rate.limits)


class PathRules:
    """The candidates of one class of paths, which the paths of the same rules match.

    ``find`` makes the candidates of a method, a tier, and of operations or other requests; ``methods`` and ``tiers``
    are those that rules name.
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
        """The candidates of a request with this method, of a caller of this tier; ``operation``: whether it is a
        GraphQL request."""
        found = self._known.get((method, tier, operation))
        if found is None:
            # Methods and tiers that no rule names share one entry, so that no caller makes the table grow.
            method = method if method in self._methods else _OTHER
            tier = tier if tier in self._tiers else None
            found = self._known.get((method, tier, operation))
        if found is None:
            found = self._known[method, tier, operation] = self._find(method, tier, operation)
        return found


def joined(rules: frozenset[RuleInForce | None]) -> RuleInForce:
    """The rule for a batch whose operations have these rules: it allows only what each of them allows."""
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

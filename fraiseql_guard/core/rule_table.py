"""Finds the rule of a request in two steps: its head leaves a few candidates, and its operation selects one.

The candidates of a path, a method and a tier are found once and remembered. A table is made from the settings in force,
and belongs to one runtime.

A rule has two forms. The full form loosens as well as tightens. The strict form only tightens: limits and times only
become smaller, and the rate is paid beside the caller's own. It holds for requests that may merely pretend to match, by
a path or by names in a document that the client has chosen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.lru import Lru
from fraiseql_guard.core.rule_candidates import Candidates, NamedRule, PathRules, RuleInForce, joined
from fraiseql_guard.core.rules import ENFORCE, FAILURES, Rule, RuleMatch
from fraiseql_guard.core.settings import Settings

_UNLIMITED: Final = 2**53
"""Value of a document limit that limits nothing."""
_MOST: Final = 1_024
"""Most classes of paths, lists of candidates, and combinations of rules in a batch that are remembered."""


class RuleTable:
    """The rules of the settings in force. Names in documents count in full where all documents are ``trusted``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._rules = settings.rules.entries
        self._trusted = settings.trusted_documents == "require"
        self._full = tuple(_in_full(rule) for rule in self._rules)
        self._strict = tuple(self._strictly(rule) for rule in self._rules)
        self.methods = frozenset().union(*(_answering(rule.match.methods) for rule in self._rules))
        self.tiers = frozenset().union(*(rule.match.tiers for rule in self._rules))
        self._classes: Lru[tuple[tuple[int, bool], ...], PathRules] = Lru(_MOST)
        self._made: Lru[tuple[tuple[int, bool], ...], Candidates] = Lru(_MOST)
        self._joined: Lru[frozenset[RuleInForce | None], RuleInForce] = Lru(_MOST)

    @classmethod
    def of(cls, settings: Settings) -> RuleTable | None:
        """The table of these settings; None without a rule."""
        return cls(settings) if settings.rules else None

    @property
    def in_force(self) -> Iterable[RuleInForce]:
        """Every rule in its full and its strict form."""
        return (*self._full, *self._strict)

    @property
    def times(self) -> bool:
        """Whether any rule sets a timeout for requests that are no GraphQL operations."""
        return any(rule.timeout is not None and not rule.match.needs_operation for rule in self._rules)

    @property
    def counts(self) -> bool:
        """Whether any rule says which of its requests count."""
        return any(rule.count is not None for rule in self._rules)

    @property
    def greatest_depth(self) -> int:
        """The greatest depth that any rule allows, 0 if no rule sets one. Deeper documents need not be parsed."""
        if any(rule.monitors for rule in self._full):
            return _UNLIMITED
        return max((rule.limits.get("max_query_depth", 0) for rule in self._full), default=0)

    def narrow(self, ctx: RequestContext) -> None:
        """Set ``ctx.rules`` to the candidates that the request's head leaves, and ``ctx.rule`` as far as it is
        decided."""
        place, identity = ctx.place, ctx.identity
        if place.rules is None:
            return
        candidates = place.rules.of(ctx.method, None if identity is None else identity.tier, ctx.operation)
        ctx.rules, ctx.rule = candidates, candidates.by_head

    # --- candidates of a path, a method and a tier -------------------------------------------------------------------

    def at(self, read: Iterable[str], plain: Iterable[str], graphql: str | None) -> PathRules:
        """The rules of a path: ``read`` are all its readings, ``plain`` those that every app shares. ``graphql`` is the
        configured GraphQL path that covers it; None without one."""
        read, plain = tuple(read), tuple(path for path in plain if _is_plain(path))
        key = tuple(
            (number, _any_matches(rule.match.paths, plain, graphql))
            for number, rule in enumerate(self._rules)
            if _any_matches(rule.match.paths, (*read, *plain), graphql)
        )
        found = self._classes.get(key)
        if found is None:
            found = PathRules(partial(self._candidates, key), methods=self.methods, tiers=self.tiers)
            self._classes.put(key, found)
        return found

    def _candidates(
        self, rules: Sequence[tuple[int, bool]], method: str, tier: str | None, operation: bool
    ) -> Candidates:
        """The fitting ones among these rules, up to the first that the head alone decides. Each is a number, and
        whether its path is certain."""
        fitting = [
            (number, certain)
            for number, certain in rules
            if self._fits_head(self._rules[number].match, method, tier, operation)
        ]
        named: list[NamedRule] = []
        otherwise = strict = None
        key: list[tuple[int, bool]] = []
        for number, certain in fitting:
            key.append((number, certain))
            match = self._rules[number].match
            full = self._full[number] if certain else self._strict[number]
            if not match.needs_operation:
                otherwise, strict = full, self._strict[number]
                break
            pretended = match.pretended and not self._trusted
            named.append(NamedRule(match, self._strict[number] if pretended else full, self._strict[number]))
        # Tiers and methods with the same rules share one Candidates, and with it the rules found for documents.
        found = self._made.get(tuple(key))
        if found is None:
            found = Candidates(named, otherwise, strict)
            self._made.put(tuple(key), found)
        return found

    @staticmethod
    def _fits_head(match: RuleMatch, method: str, tier: str | None, operation: bool) -> bool:
        if match.methods and method not in _answering(match.methods):
            return False
        if match.tiers and tier not in match.tiers:
            return False
        return operation or not match.needs_operation

    def _strictly(self, rule: Rule) -> RuleInForce:
        """The strict form of a rule."""
        settings = self._settings
        return RuleInForce(
            name=rule.name,
            rate=rule.rate,
            beside=True,
            cost=None if rule.cost is None else max(1, rule.cost),
            limits={option: limit for option, limit in rule.limits.items() if limit < getattr(settings, option)},
            timeout_seconds=rule.timeout,
            caps=True,
            mode=rule.mode if rule.mode == ENFORCE else None,
            count=None if rule.count == FAILURES else rule.count,
        )

    # --- batches -----------------------------------------------------------------------------------------------------

    def joined(self, rules: Sequence[RuleInForce | None]) -> RuleInForce | None:
        """The rule for a batch whose operations have these rules: it allows only what each of them allows."""
        distinct = frozenset(rules)
        if len(distinct) == 1:
            return rules[0]
        found = self._joined.get(distinct)
        if found is None:
            found = joined(distinct)
            self._joined.put(distinct, found)
        return found


def _in_full(rule: Rule) -> RuleInForce:
    return RuleInForce(
        name=rule.name,
        rate=rule.rate,
        cost=rule.cost,
        limits=rule.limits,
        timeout_seconds=rule.timeout,
        mode=rule.mode,
        count=rule.count,
    )


def _answering(methods: frozenset[str]) -> frozenset[str]:
    """The methods that a rule for ``methods`` matches: HEAD as well where GET is one, since apps answer both alike."""
    return methods | {"HEAD"} if "GET" in methods else methods


def _any_matches(patterns: Sequence[str], paths: Sequence[str], graphql: str | None) -> bool:
    """Whether any reading of a path matches a rule's patterns; a rule without paths matches all. A GraphQL path covers
    all paths below it."""
    if not patterns:
        return True
    return any(_matches(pattern, path, graphql) for pattern in patterns for path in paths)


def _matches(pattern: str, path: str, graphql: str | None) -> bool:
    if pattern.endswith("/*"):
        return path.startswith(pattern[:-1])
    if pattern == graphql:
        return pattern in ("/", path) or path.startswith(pattern + "/")
    return path == pattern or (path.endswith("/") and path.rstrip("/") == pattern)


def _is_plain(path: str) -> bool:
    """Whether all apps and routers read a path alike: it has no segment that some of them resolve."""
    if "//" in path or "%" in path or "\\" in path or ";" in path:
        return False
    return {".", ".."}.isdisjoint(path.split("/"))

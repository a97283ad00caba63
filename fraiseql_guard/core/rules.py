"""Rules: what holds for some requests in place of the settings, and which requests those are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson

from fraiseql_guard.core.measured import Measured
from fraiseql_guard.core.token_buckets import Rate

MONITOR: Final = "monitor"
ENFORCE: Final = "enforce"
FAILURES: Final = "failures"
ALL: Final = "all"

LIMITS_OF_RULES: Final[Mapping[str, str]] = {
    "max_depth": "max_query_depth",
    "max_complexity": "max_query_complexity",
    "max_list_size": "max_list_size",
}
"""The keys of a rule that are limits of documents, and the settings in whose place they stand."""
_TYPENAME: Final = frozenset({"__typename"})
"""Asks for nothing, and says nothing about what else is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleMatch:
    """Which requests a rule is for: those that fit everything that is given here.

    ``paths`` are exact, or ``/api/*`` for all below; ``root_fields``: any of the request's is among them;
    ``only_root_fields``: all are.
    """

    paths: tuple[str, ...] = ()
    methods: frozenset[str] = frozenset()
    operations: frozenset[str] = frozenset()
    root_fields: frozenset[str] = frozenset()
    only_root_fields: frozenset[str] = frozenset()
    tiers: frozenset[str] = frozenset()

    @property
    def needs_operation(self) -> bool:
        """Whether the head of a request does not tell: its document does."""
        return bool(self.operations or self.root_fields or self.only_root_fields)

    @property
    def pretended(self) -> bool:
        """Whether clients may come to match by names that they choose: an operation is called as they like, and a field
        is soon added. Neither tells what else a request asks for; a tier, or all fields, do."""
        return bool(self.operations or self.root_fields) and not (self.only_root_fields or self.tiers)

    def fits(self, measured: Measured) -> bool:
        """Whether a document fits, whose head does."""
        if self.operations and self.operations.isdisjoint(measured.names):
            return False
        if self.root_fields and self.root_fields.isdisjoint(measured.root_fields):
            return False
        return not self.only_root_fields or self._asks_for_nothing_else(measured)

    def _asks_for_nothing_else(self, measured: Measured) -> bool:
        asked = measured.root_fields - _TYPENAME or measured.root_fields
        return bool(asked) and asked <= self.only_root_fields

    def for_certain(self, measured: Measured) -> bool:
        """Whether every operation of a document that fits is one of those named."""
        return not self.operations or self.operations.issuperset(measured.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule: its name, its requests, and what holds for them. None: what the settings say.

    ``cost`` is in tokens, ``timeout`` in seconds, ``limits`` by their setting (``max_query_depth``). ``mode`` is
    ``monitor`` or ``enforce``, ``count`` is ``all`` or ``failures``.
    """

    name: str
    match: RuleMatch
    rate: Rate | None = None
    cost: int | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    timeout: float | None = None
    mode: str | None = None
    count: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Rules:
    """Rules in their order, of which the first that matches holds. Its text is JSON, in the form of a rules file."""

    entries: tuple[Rule, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.entries)

    def __repr__(self) -> str:
        return f"Rules({self})"  # the same in every process: workers compare digests of their settings

    def __str__(self) -> str:
        return orjson.dumps({"rules": [as_written(rule) for rule in self.entries]}).decode() if self.entries else ""


NO_RULES: Final = Rules()


def as_written(rule: Rule) -> dict[str, object]:
    """A rule as a rules file has it."""
    match = rule.match
    lists = {
        "methods": match.methods,
        "operations": match.operations,
        "root_fields": match.root_fields,
        "only_root_fields": match.only_root_fields,
        "tiers": match.tiers,
    }
    paths = {"path": match.paths[0] if len(match.paths) == 1 else list(match.paths)} if match.paths else {}
    limits = {key: rule.limits[option] for key, option in LIMITS_OF_RULES.items() if option in rule.limits}
    effects = {
        "rate": None if rule.rate is None else str(rule.rate),
        "cost": rule.cost,
        **limits,
        "timeout": rule.timeout,
        "mode": rule.mode,
        "count": rule.count,
    }
    return {
        "name": rule.name,
        "match": {**paths, **{key: sorted(names) for key, names in lists.items() if names}},
        **{key: value for key, value in effects.items() if value is not None},
    }

"""Measures a batch of operations as a whole: costs add up, every other number is that of the worst operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from typing import TypeVar

from fraiseql_guard.core import signals
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.measured import Measured
from fraiseql_guard.core.rule_candidates import Candidates, RuleInForce, RuleShare
from fraiseql_guard.core.rule_table import RuleTable
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.graphql.analyzed_document import gravest
from fraiseql_guard.graphql.analyzer import RequestAnalysis
from fraiseql_guard.graphql.denials import malformed, over
from fraiseql_guard.graphql.syntax.values import MAX_COUNT

_T = TypeVar("_T")


def join_batch(
    analyses: Sequence[RequestAnalysis],
    settings: Settings,
    rules: RuleTable | None = None,
    candidates: Candidates | None = None,
) -> RequestAnalysis:
    """Join the analyses of a batch into one: the first refusal, and the sum of the operations that could be measured.
    Each operation has its own rule among the ``candidates``."""
    denial = _first(analyses, lambda item: item.denial)
    noted = _first(analyses, lambda item: item.noted)
    text = _first(analyses, lambda item: item.text)
    # Every hash, also of operations that could not be measured: an operator may search the log for each.
    hashes = tuple(chain.from_iterable(item.hashes for item in analyses))
    parts = [item.measured for item in analyses if item.measured]
    if not parts:
        # Nothing was measured: each operation was refused before, or there is none.
        return RequestAnalysis(None, denial or malformed("The batch is empty."), hashes=hashes, text=text)
    measured = _sum(parts, unmeasured=len(analyses) - len(parts))
    # The operations may be within the limit one by one, and above it together.
    limit = settings.max_query_complexity if rules is None else _complexity_limit(analyses, settings)
    if denial is None and measured.complexity > limit:
        denial, noted = _too_complex(measured.complexity, limit, settings, noted)
    analysis = RequestAnalysis(measured, denial, noted=noted, hashes=hashes, text=text)
    return analysis if rules is None or candidates is None else _with_rules(analysis, analyses, rules, candidates)


def _complexity_limit(analyses: Sequence[RequestAnalysis], settings: Settings) -> int:
    """The largest complexity limit of any operation, which holds for the sum of all."""
    option, default = "max_query_complexity", settings.max_query_complexity
    rules = [item.rule for item in analyses if item.measured]
    return max([default if rule is None else rule.limits.get(option, default) for rule in rules])


def _with_rules(
    analysis: RequestAnalysis, analyses: Sequence[RequestAnalysis], rules: RuleTable, candidates: Candidates
) -> RequestAnalysis:
    """The analysis with its rule and the share of each rule; unchanged if no operation has a rule."""
    found = [item.rule if item.measured else candidates.unmeasured for item in analyses]
    if not any(rule is not None for rule in found):
        return analysis
    shares = tuple(
        _share(rule, [item for item, each in zip(analyses, found, strict=True) if each is rule])
        for rule in dict.fromkeys(found)
    )
    return replace(analysis, rule=rules.joined(found), shares=shares)


def _share(rule: RuleInForce | None, analyses: Sequence[RequestAnalysis]) -> RuleShare:
    """The tokens and root fields that the operations of one rule take from its limits. Under a rule each operation
    takes at least one token; without a rule (None) all queries of the batch together take one."""
    mutating = [item.measured.mutation_root_fields if item.measured else 1 for item in analyses]
    fields = sum([item.measured.root_field_count if item.measured else 1 for item in analyses])
    tokens = max(1, sum(mutating)) if rule is None else sum([max(1, each) for each in mutating])
    return RuleShare(rule, tokens, min(fields, MAX_COUNT))


def _first(analyses: Sequence[RequestAnalysis], part: Callable[[RequestAnalysis], _T | None]) -> _T | None:
    return next(filter(None, map(part, analyses)), None)


def _too_complex(
    complexity: int, limit: int, settings: Settings, noted: Denial | None
) -> tuple[Denial | None, Denial | None]:
    """``denial`` and ``noted`` of a batch whose summed complexity exceeds the limit."""
    if "max_query_complexity" in settings.monitor_limits:
        # Without an offence: a monitored limit may not lead to a sanction.
        return None, over(signals.QUERY_TOO_COMPLEX, limit, complexity)
    return over(signals.QUERY_TOO_COMPLEX, limit, complexity, offends=True), noted


def _sum(parts: Sequence[Measured], *, unmeasured: int) -> Measured:
    """The numbers of all operations; sums stop where JSON readers lose the last digit."""
    return replace(
        _with_all_names(parts),
        kind=gravest([part.kind for part in parts]),
        root_field_count=min(sum([part.root_field_count for part in parts]), MAX_COUNT),
        mutation_root_fields=sum([part.mutation_root_fields for part in parts]),
        depth=max([part.depth for part in parts]),
        complexity=min(sum([part.complexity for part in parts]), MAX_COUNT),
        list_size=max([part.list_size for part in parts]),
        offset=max([part.offset for part in parts]),
        aliases=max([part.aliases for part in parts]),
        most_root_fields=max([part.most_root_fields for part in parts]),
        # Faster than any() with a generator, and each value is a bool.
        introspection=True in [part.introspection for part in parts],
        unmeasured=unmeasured,
    )


def _with_all_names(parts: Sequence[Measured]) -> Measured:
    """The first of the parts, with the names, kinds and near limits of all parts."""
    return replace(
        parts[0],
        name=None,
        root_fields=frozenset().union(*[part.root_fields for part in parts]),
        kinds=frozenset().union(*[part.kinds for part in parts]),
        near=tuple(dict.fromkeys(chain.from_iterable(part.near for part in parts))),
        names=tuple(dict.fromkeys(chain.from_iterable(part.names for part in parts))),
    )

"""A document analyzed once for all its requests: what does not depend on their variables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from fraiseql_guard.core import signals
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.measured import OperationKind
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.graphql.cost.cost_plan import CostPlan
from fraiseql_guard.graphql.cost.cost_planner import plan_costs
from fraiseql_guard.graphql.cost.cost_rules import CostRules
from fraiseql_guard.graphql.cost.pricing import Path
from fraiseql_guard.graphql.cost.static_types import UnknownArgumentError, UnknownFieldError, static_types
from fraiseql_guard.graphql.denials import contradiction, over, unknown_field
from fraiseql_guard.graphql.syntax.ast import DocumentNode
from fraiseql_guard.graphql.syntax.conflicts import ContradictedError, check_conflicts
from fraiseql_guard.graphql.syntax.counts import Occurrences, SelectionCounts, root_occurrences, unfold
from fraiseql_guard.graphql.syntax.document import read_document
from fraiseql_guard.graphql.syntax.field_merging import SelectionMerger, TooEntangledError
from fraiseql_guard.graphql.syntax.repetition import (
    RepeatedKey,
    RepetitionCounts,
    count_apart,
    count_repetitions,
    most_repeated,
)
from fraiseql_guard.graphql.syntax.skip_include import Positions, switch_positions
from fraiseql_guard.graphql.syntax.values import MAX_COUNT

_GRAVITY: Final[tuple[OperationKind, ...]] = ("mutation", "subscription", "query")
_MAX_VARIANTS: Final = 8
_UNMEASURABLE: Final = "Its selections merge in too many ways to be measured."


def gravest(kinds: Iterable[OperationKind]) -> OperationKind:
    """A mutation if there is any, else a subscription, else a query."""
    return min(kinds, key=_GRAVITY.index)


@dataclass(frozen=True, slots=True)
class DocumentVariant:
    """A document with its switches (the variables of @skip and @include) in one position."""

    positions: tuple[tuple[str, bool], ...]
    depth: int
    deepest: Path
    root_field_count: int  # of all operations
    most_root_fields: int  # of one operation
    mutation_root_fields: int
    plan: CostPlan


@dataclass(frozen=True, slots=True)
class AnalyzedDocument:
    """A document that does not contradict itself. ``variants`` is a bounded memory."""

    document: DocumentNode
    kind: OperationKind
    kinds: frozenset[OperationKind]
    names: frozenset[str | None]
    root_fields: frozenset[str]  # every name at the root of any operation, whatever is removed
    counts: SelectionCounts  # over all operations, whatever is removed
    repetition: RepetitionCounts
    rules: CostRules
    variants: dict[tuple[tuple[str, bool], ...], DocumentVariant]

    def variant(self, variables: Mapping[str, Any]) -> DocumentVariant | Denial:
        """The document as these variables switch it. The Denial is about what only this position shows."""
        positions = {}
        if self.document.switches:
            positions = switch_positions(self.document.switches, self.document.defaults, variables)
        key = tuple(positions.items())
        variant = self.variants.get(key)
        if variant is None:
            occurrences = root_occurrences(self.document, positions)
            made = _variant(self.document, self.rules, positions, SelectionMerger(self.document), occurrences)
            if isinstance(made, Denial):
                return made
            if len(self.variants) >= _MAX_VARIANTS:
                self.variants.clear()
            variant = self.variants[key] = made
        return variant


def analyze_document(
    text: str, settings: Settings, rules: CostRules, tokens: list[str] | None = None
) -> AnalyzedDocument | Denial:
    """Parse and check a text that passed the scan, which may have its ``tokens``."""
    document = read_document(
        text,
        tokens,
        max_operations=settings.max_operations,
        max_fragments=settings.max_fragments,
        nested_switches=rules.nested_switches,
    )
    if isinstance(document, Denial):
        return document
    counts = _total(document, None, rules)
    if denial := _far_too_deep(document, counts, settings.max_query_depth):
        return denial
    merging = SelectionMerger(document)
    repetition = _checked(document, merging, counts, settings, rules)
    if isinstance(repetition, Denial):
        return repetition
    written = root_occurrences(document, None)
    kinds = frozenset([operation.kind for operation in document.operations])
    analyzed = AnalyzedDocument(
        document=document,
        kind=gravest(kinds),
        kinds=kinds,
        names=frozenset([operation.name for operation in document.operations]),
        root_fields=_names_in(written),
        counts=counts,
        repetition=repetition,
        rules=rules,
        variants={},
    )
    if not document.switches:  # then there is one variant alone, and half of its work is done
        occurrences = root_occurrences(document, {}) if document.removes else written
        made = _variant(document, rules, {}, merging, occurrences, counts)
        if isinstance(made, Denial):
            return made
        analyzed.variants[()] = made
    return analyzed


def _names_in(occurrences: Sequence[Occurrences]) -> frozenset[str]:
    return frozenset([field.name for found in occurrences for field, _ in found])


def _checked(
    document: DocumentNode, merging: SelectionMerger, counts: SelectionCounts, settings: Settings, rules: CostRules
) -> RepetitionCounts | Denial:
    """What is repeated in a document, or why the document contradicts itself or the schema."""
    try:
        types = static_types(document, rules.table, judges_fields=rules.judges_fields) if rules.table else {}
        most = most_repeated(document, merging)
        if most.differs:
            check_conflicts(document, merging.selections, rules.possible_types, types)
        return _repeated(document, merging, most, counts, settings, rules)
    except UnknownFieldError as error:
        return unknown_field(error.owner, error.name, error.path)
    except UnknownArgumentError as error:
        return contradiction("A field is given an argument that it does not have.", error.path)
    except ContradictedError as error:
        return contradiction("One response key asks for different things.", error.path)
    except TooEntangledError:
        return _unmeasurable(settings.max_query_complexity)


def _repeated(
    document: DocumentNode,
    merging: SelectionMerger,
    most: RepeatedKey,
    counts: SelectionCounts,
    settings: Settings,
    rules: CostRules,
) -> RepetitionCounts:
    """How often one object is asked for the same; where that is too often, without what is below other types."""
    counted = count_repetitions(document, merging, aliased=counts.aliases + counts.meta_aliases > 0)
    found = replace(counted, times=most.times, path=most.path)
    aliases = max(found.aliases, found.meta_aliases)
    if not found.mixed or (found.times <= settings.max_duplicate_keys and aliases <= settings.max_aliases):
        return found
    try:
        return count_apart(document, rules.possible_types)
    except TooEntangledError:
        return found


def _far_too_deep(document: DocumentNode, counts: SelectionCounts, limit: int) -> Denial | None:
    """Depth needs no prices, so what is an offence for its depth is refused before it is priced."""
    if document.removes or counts.depth <= limit or counts.depth < 2 * limit:
        return None
    return over(signals.QUERY_TOO_DEEP, limit, counts.depth, offends=True, path=".".join(unfold(counts.deepest)))


def _variant(
    document: DocumentNode,
    rules: CostRules,
    positions: Mapping[str, bool],
    merging: SelectionMerger,
    occurrences: Sequence[Occurrences],
    everything: SelectionCounts | None = None,
) -> DocumentVariant | Denial:
    """``everything`` are the counts of all that is written, if they were taken before."""
    try:
        plan = plan_costs(document, rules, positions, merging, occurrences)
    except TooEntangledError:
        return _unmeasurable(rules.max_complexity)
    counts = everything
    if counts is None or document.removes:
        counts = _total(document, positions, rules)
    roots = [sum([times for _, times in found]) for found in occurrences]
    mutations = [count for item, count in zip(document.operations, roots, strict=True) if item.kind == "mutation"]
    return DocumentVariant(
        positions=tuple(positions.items()),
        depth=counts.depth,
        deepest=unfold(counts.deepest),
        root_field_count=min(sum(roots), MAX_COUNT),
        most_root_fields=min(max(roots), MAX_COUNT),
        mutation_root_fields=min(max(mutations, default=0), MAX_COUNT),
        plan=plan,
    )


def _total(document: DocumentNode, positions: Positions, rules: CostRules) -> SelectionCounts:
    """The extremes of all operations. Aliases also count in fragments that are never spread: hosts validate them."""
    everything = rules.counter.counts_of(document, positions)
    found = everything[: len(document.operations)]
    deepest = max(found, key=lambda item: item.depth)
    return SelectionCounts(
        depth=deepest.depth,
        deepest=deepest.deepest,
        aliases=max([item.aliases for item in everything]),
        meta_aliases=max([item.meta_aliases for item in found]),
        introspection=max([item.introspection for item in found]),
    )


def _unmeasurable(limit: int) -> Denial:
    denial = over(signals.QUERY_TOO_COMPLEX, limit, MAX_COUNT, offends=True)
    return Denial(denial.code, detail=_UNMEASURABLE, limit=limit, offence=denial.offence)

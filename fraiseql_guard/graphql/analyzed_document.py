"""Analyzes a document once for all its requests: everything that does not depend on their variables."""

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
    """The gravest kind of several operations: mutation before subscription before query."""
    return min(kinds, key=_GRAVITY.index)


@dataclass(frozen=True, slots=True)
class DocumentVariant:
    """The numbers of a document with its switches (the variables of @skip and @include) in one position."""

    positions: tuple[tuple[str, bool], ...]
    depth: int
    deepest: Path
    root_field_count: int  # of all operations together
    most_root_fields: int  # of the operation that has most
    mutation_root_fields: int  # of the mutation that has most
    plan: CostPlan


@dataclass(frozen=True, slots=True)
class AnalyzedDocument:
    """A document that does not contradict itself, with its numbers. ``variants`` caches at most 8 variants, keyed by
    the positions of the switches."""

    document: DocumentNode
    kind: OperationKind
    kinds: frozenset[OperationKind]
    names: frozenset[str | None]
    root_fields: frozenset[str]  # names of the root fields of all operations, @skip and @include ignored
    counts: SelectionCounts  # the largest of any operation, @skip and @include ignored
    repetition: RepetitionCounts
    rules: CostRules
    variants: dict[tuple[tuple[str, bool], ...], DocumentVariant]

    def variant(self, variables: Mapping[str, Any]) -> DocumentVariant | Denial:
        """The variant of the document that these variables select; a Denial if it cannot be measured."""
        positions = {}
        if self.document.switches:
            positions = switch_positions(self.document.switches, self.document.defaults, variables)
        key = tuple(positions.items())
        variant = self.variants.get(key)
        if variant is None:
            occurrences = root_occurrences(self.document, positions)
            made = _measure_variant(self.document, self.rules, positions, SelectionMerger(self.document), occurrences)
            if isinstance(made, Denial):
                return made
            if len(self.variants) >= _MAX_VARIANTS:
                self.variants.clear()
            variant = self.variants[key] = made
        return variant


def analyze_document(
    text: str, settings: Settings, rules: CostRules, tokens: list[str] | None = None
) -> AnalyzedDocument | Denial:
    """Parse and check a text that passed the scan; the Denial says why it is refused. ``tokens`` are those that the
    scan has read; None if there was none."""
    document = read_document(
        text,
        tokens,
        max_operations=settings.max_operations,
        max_fragments=settings.max_fragments,
        nested_switches=rules.nested_switches,
    )
    if isinstance(document, Denial):
        return document
    counts = _largest_counts(document, None, rules)
    if denial := _far_too_deep(document, counts, settings.max_query_depth):
        return denial
    merging = SelectionMerger(document)
    repetition = _check_and_count(document, merging, counts, settings, rules)
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
    if not document.switches:  # a document without switches has one variant, whose counts are known by now
        occurrences = root_occurrences(document, {}) if document.removes else written
        made = _measure_variant(document, rules, {}, merging, occurrences, counts)
        if isinstance(made, Denial):
            return made
        analyzed.variants[()] = made
    return analyzed


def _names_in(occurrences: Sequence[Occurrences]) -> frozenset[str]:
    return frozenset([field.name for found in occurrences for field, _ in found])


def _check_and_count(
    document: DocumentNode, merging: SelectionMerger, counts: SelectionCounts, settings: Settings, rules: CostRules
) -> RepetitionCounts | Denial:
    """How often the document repeats keys and aliases; a Denial if it contradicts itself or the schema."""
    try:
        types = static_types(document, rules.table, judges_fields=rules.judges_fields) if rules.table else {}
        most = most_repeated(document, merging)
        if most.differs:
            check_conflicts(document, merging.selections, rules.possible_types, types)
        return _repetition_of(document, merging, most, counts, settings, rules)
    except UnknownFieldError as error:
        return unknown_field(error.owner, error.name, error.path)
    except UnknownArgumentError as error:
        return contradiction("A field is given an argument that it does not have.", error.path)
    except ContradictedError as error:
        return contradiction("One response key asks for different things.", error.path)
    except TooEntangledError:
        return _unmeasurable(settings.max_query_complexity)


def _repetition_of(
    document: DocumentNode,
    merging: SelectionMerger,
    most: RepeatedKey,
    counts: SelectionCounts,
    settings: Settings,
    rules: CostRules,
) -> RepetitionCounts:
    """How often the document asks one object for the same field. Where that exceeds a limit, selections on different
    types are counted apart."""
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
    """The refusal of a document whose depth is an offence, before it is priced; None for any other."""
    if document.removes or counts.depth <= limit or counts.depth < 2 * limit:
        return None
    return over(signals.QUERY_TOO_DEEP, limit, counts.depth, offends=True, path=".".join(unfold(counts.deepest)))


def _measure_variant(
    document: DocumentNode,
    rules: CostRules,
    positions: Mapping[str, bool],
    merging: SelectionMerger,
    occurrences: Sequence[Occurrences],
    everything: SelectionCounts | None = None,
) -> DocumentVariant | Denial:
    """Measure one variant; a Denial if that takes too much work. ``everything`` holds the counts without @skip and
    @include, if they are known."""
    try:
        plan = plan_costs(document, rules, positions, merging, occurrences)
    except TooEntangledError:
        return _unmeasurable(rules.max_complexity)
    counts = everything
    if counts is None or document.removes:
        counts = _largest_counts(document, positions, rules)
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


def _largest_counts(document: DocumentNode, positions: Positions, rules: CostRules) -> SelectionCounts:
    """The largest numbers of any operation. Aliases of unused fragments count as well: hosts validate these, too."""
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

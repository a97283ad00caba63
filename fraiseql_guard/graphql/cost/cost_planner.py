"""Plans a document: walks it once, and makes the plan that prices every request for it.

A level is a set of selections that execution merges, with its type if there is a schema. Each level is visited once,
however many paths lead to it, so the work is bounded although fragments spread each other. Terms (fields) are then
ordered so that each comes after its children, and are priced in one pass (``pricing``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain

from fraiseql_guard.core.measured import OperationKind
from fraiseql_guard.graphql.cost.cost_plan import CostPlan, make_plan
from fraiseql_guard.graphql.cost.cost_rules import ROOT_TYPES, CostRules
from fraiseql_guard.graphql.cost.plan_levels import LevelDraft, PlanLevels, TermDraft
from fraiseql_guard.graphql.cost.pricing import Term
from fraiseql_guard.graphql.syntax.ast import DocumentNode, FieldNode, SelectionNode
from fraiseql_guard.graphql.syntax.counts import META_FIELDS, Occurrences
from fraiseql_guard.graphql.syntax.field_merging import Collected, SelectionMerger, VisitBudget, anything, collect
from fraiseql_guard.graphql.syntax.skip_include import Positions
from fraiseql_guard.graphql.syntax.values import Bindings


def plan_costs(
    document: DocumentNode,
    rules: CostRules,
    positions: Positions,
    merging: SelectionMerger,
    occurrences: Sequence[Occurrences],
) -> CostPlan:
    """The plan of a document whose switches stand at ``positions``, with the ``occurrences`` of fields at the root of
    each operation. TooEntangledError."""
    walk = _PlanningWalk(document, rules, positions, merging)
    # Draft the fields from the roots downwards, then number them, children first.
    roots = [
        list(walk.root(operation.kind, found))
        for operation, found in zip(document.operations, occurrences, strict=True)
    ]
    ordered = walk.drafts([draft for draft, _ in chain.from_iterable(roots)])
    numbers = {draft: number for number, draft in enumerate(ordered)}
    # Number the levels as the pages above them divide them.
    levels = PlanLevels(rules, numbers)
    terms = [_term(draft, rules, levels) for draft in ordered]
    counted = [[(numbers[draft], times) for draft, times in root] for root in roots]
    return make_plan(terms, levels.levels, counted, rules, Bindings({}, document.defaults))


class _PlanningWalk:
    def __init__(
        self, document: DocumentNode, rules: CostRules, positions: Positions, merging: SelectionMerger
    ) -> None:
        self._document = document
        # The merger ignores @skip and @include: a document with these collects the fields of each variant anew.
        self._merging = None if document.removes else merging
        self._rules = rules
        self._positions = positions
        self._levels: dict[tuple[str | None, frozenset[SelectionNode]], LevelDraft] = {}
        self._pending: list[LevelDraft] = []
        self._budget = VisitBudget()

    def root(self, kind: OperationKind, occurrences: Occurrences) -> Iterator[tuple[TermDraft, int]]:
        """The terms at an operation's root, with how often each counts: equal keys add up there."""
        table = self._rules.table
        # Without a schema the root types are called as the specification calls them by default.
        owner = table.roots.get(kind) if table else ROOT_TYPES[kind]
        for item, times in occurrences:
            if item.name not in META_FIELDS:
                yield self._draft([item], owner, (item.key,), at_root=True), times

    def drafts(self, roots: list[TermDraft]) -> list[TermDraft]:
        """The drafts of all terms, each after those of its children."""
        while self._pending:
            level = self._pending.pop()
            # Drafting a level finds the levels below it, which are appended to `_pending`.
            level.alternatives = [tuple(self._merged(level, *found)) for found in self._alternatives(level)]
        # Order the terms from the roots downwards, then reverse the order.
        ready = list(roots)
        found: list[TermDraft] = []
        while ready:
            draft = ready.pop()
            found.append(draft)
            if draft.level is not None:
                # Kahn's topological sort: the terms of a level follow once all terms that lead to it are ordered.
                draft.level.parents -= 1
                if not draft.level.parents:
                    ready.extend(chain.from_iterable(draft.level.alternatives))
        found.reverse()
        return found

    def _alternatives(self, level: LevelDraft) -> Iterable[tuple[str | None, Collected]]:
        """The collected fields of a level for each of its object types; of types with equal costs only for one."""
        owners = self._rules.objects(level.owner)
        # One object type at most: nothing to divide.
        if len(owners) < 2:
            owner = next(iter(owners), None)
            return [(owner, self._collect(level, owner))]
        # 1. Divide the object types by the fragments that apply to them, and collect for each group.
        everything, groups = self._alike_in_conditions(level)
        if len(groups) > 1:
            return self._distinct(level, [(alike, self._collect(level, min(alike))) for alike in groups])
        # 2. The same fragments apply to all, but a field may still cost more in one type than in another.
        if any(self._uneven(level, everything)):
            return self._distinct(level, [(groups[0], everything)])
        return [(owners[0], everything)]  # most selections on a wide interface

    def _distinct(
        self, level: LevelDraft, groups: Iterable[tuple[frozenset[str], Collected]]
    ) -> Iterable[tuple[str, Collected]]:
        """One type, with its collected fields, for each price that a level may have. Types are alike if they collect
        the same fields, and each of these costs the same in them."""
        distinct: dict[object, tuple[str, Collected]] = {}
        for alike, found in groups:
            fields = tuple([id(item) for members in found.values() for item, _ in members])
            uneven = self._uneven(level, found)
            # Types times fields: a union of many types must not multiply the work without bound.
            self._budget.spend(len(alike) * len(uneven))
            # Sorted, so that each process makes the same plan. Where all fields cost the same, one type stands for all.
            for owner in sorted(alike) if uneven else (min(alike),):
                costs = tuple([self._rules.likeness(owner, item) for item in uneven or _by_name(found)])
                distinct.setdefault((fields, costs), (owner, found))
        return distinct.values()

    def _uneven(self, level: LevelDraft, found: Collected) -> list[FieldNode]:
        """The fields whose cost differs between the object types of a level."""
        return [item for item in _by_name(found) if not self._rules.is_uniform(level.owner, item)]

    def _alike_in_conditions(self, level: LevelDraft) -> tuple[Collected, list[frozenset[str]]]:
        """The fields of a level with all type conditions ignored, and its object types in groups to which the same
        fragments apply."""
        conditions: dict[str, bool] = {}

        def note(on: str | None) -> bool:
            return on is None or conditions.setdefault(on, True)

        found = collect(level.selections, self._document.fragments, self._positions, note, self._budget)
        members = self._rules.table.members if self._rules.table else {}
        # Each condition divides the types into those that it holds for and the others.
        groups = [members.get(level.owner or "", frozenset())]
        for on in filter(members.__contains__, conditions):
            # Set operations are fast: ten of them count as one visit.
            self._budget.spend(len(groups) // 10)
            groups = _divided(groups, members[on])
        return found, groups

    def _collect(self, level: LevelDraft, owner: str | None) -> Collected:
        table = self._rules.table
        applies = partial(table.applies, owner) if table and owner else anything
        if self._merging is not None:
            merged = self._merging.merged(level.selections, level.distinct, self._budget)
            # Where every condition holds for this type, what was merged once serves all such types.
            if applies is anything or all(map(applies, merged.conditions)):
                return merged.fields
        return collect(level.selections, self._document.fragments, self._positions, applies, self._budget)

    def _merged(self, level: LevelDraft, owner: str | None, found: Collected) -> Iterator[TermDraft]:
        for key, fields in found.items():
            path = (*level.path, key)
            for group in _alike([item for item, _ in fields]):
                if group[0].name not in META_FIELDS and not self._rules.is_free(group[0], owner):
                    yield self._draft(group, owner, path, at_root=False)

    def _draft(self, group: list[FieldNode], owner: str | None, path: tuple[str, ...], *, at_root: bool) -> TermDraft:
        first = group[0]
        rule = self._rules.rule(owner, first)
        if rule is not None and not first.arguments.keys() <= rule.arguments.keys():
            rule = None  # it stands below a type condition that never holds here, and is priced by its name
        selections = tuple(item.selection for item in group if item.selection)
        level = self._level(selections, rule.returns if rule else None, path) if selections else None
        return TermDraft(first, rule, owner, path, at_root, level)

    def _level(self, selections: tuple[SelectionNode, ...], owner: str | None, path: tuple[str, ...]) -> LevelDraft:
        # Equal selections at one type are one level: fragments that many fields spread are planned once.
        key = owner, frozenset(selections)
        level = self._levels.get(key)
        if level is None:
            level = self._levels[key] = LevelDraft(selections, key[1], owner, path)
            self._pending.append(level)
        level.parents += 1
        return level


def _divided(groups: list[frozenset[str]], holding: frozenset[str]) -> list[frozenset[str]]:
    """The groups, each divided into the types for which a condition holds and the others."""
    return list(filter(None, chain.from_iterable((group & holding, group - holding) for group in groups)))


def _by_name(found: Collected) -> Iterable[FieldNode]:
    """One field of each name, on which its cost in a type depends."""
    return {members[0][0].name: members[0][0] for members in found.values()}.values()


def _alike(fields: list[FieldNode]) -> list[list[FieldNode]]:
    """The fields of one response key in groups of equal name and arguments; several only below different types.

    The first field stands for its group. It is one with a selection if there is any, so that a repetition without one
    cannot make a list a leaf.
    """
    if len(fields) == 1:
        return [fields]
    groups: dict[tuple[str, str], list[FieldNode]] = {}
    for item in sorted(fields, key=lambda item: item.selection is None):
        groups.setdefault((item.name, item.asks), []).append(item)
    return list(groups.values())


def _term(draft: TermDraft, rules: CostRules, levels: PlanLevels) -> Term:
    item, rule, owner = draft.field, draft.rule, draft.owner
    paging = rules.paging(owner, item, rule, lambda: levels.children(draft.level))
    assumed = rules.assumed(item, rule, paging)
    writes = draft.at_root and owner == rules.mutation_type
    return Term(
        path=draft.path,
        field=f"{owner}.{item.name}" if owner else item.name,
        weight=rules.weight(item, owner, rule, at_root=draft.at_root),
        assumed=assumed,
        page=paging.page,
        arguments=rules.argument_plan(owner, item, rule, paging, assumed, writes=writes),
        level=levels.number(draft.level, paging),
    )

"""The levels of a document as pages divide them: what a page multiplies, and what it holds beside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from fraiseql_guard.graphql.cost.cost_plan import Alternative
from fraiseql_guard.graphql.cost.cost_rules import ChildField, CostRules, PageSize, Paging
from fraiseql_guard.graphql.cost.schema import FieldRule
from fraiseql_guard.graphql.syntax.ast import FieldNode, SelectionNode


@dataclass(slots=True, eq=False)
class LevelDraft:
    selections: tuple[SelectionNode, ...]
    distinct: frozenset[SelectionNode]
    owner: str | None
    path: tuple[str, ...]
    alternatives: list[tuple[TermDraft, ...]] = field(default_factory=list)
    parents: int = 0


@dataclass(slots=True, eq=False)
class TermDraft:
    """A term whose children are not numbered yet."""

    field: FieldNode
    rule: FieldRule | None
    owner: str | None
    path: tuple[str, ...]
    at_root: bool
    level: LevelDraft | None


class PlanLevels:
    """The levels of the plan: those of the walk, each as often as pages divide its children in another way."""

    def __init__(self, rules: CostRules, numbers: Mapping[TermDraft, int]) -> None:
        self._rules = rules
        self._numbers = numbers
        self._known: dict[tuple[LevelDraft, frozenset[str], bool], int] = {}
        self._children: dict[LevelDraft, list[list[tuple[int, ChildField]]]] = {}
        self.levels: list[tuple[Alternative, ...]] = []

    def children(self, level: LevelDraft | None) -> list[list[tuple[int, ChildField]]]:
        """What a level selects, for each type, with the numbers of their terms."""
        if level is None:
            return []
        found = self._children.get(level)
        if found is None:
            found = [[(self._numbers[draft], self._child(draft)) for draft in way] for way in level.alternatives]
            self._children[level] = found
        return found

    def _child(self, draft: TermDraft) -> ChildField:
        below = [child for way in draft.level.alternatives for child in way] if draft.level else []
        # What has children is looked at for them; a leaf of no weight does not come so far without arguments.
        weight = self._rules.weight(draft.field, draft.owner, draft.rule, at_root=False) if draft.level is None else 1
        return ChildField(draft.field, draft.rule, weight, all(child.level is None for child in below))

    def number(self, level: LevelDraft | None, paging: Paging) -> int:
        """The level as a field sees it whose size reaches so far; -1 for none."""
        if level is None:
            return -1
        key = level, paging.names, paging.page is PageSize.GUESSED
        if key not in self._known:
            self._known[key] = len(self.levels)
            self.levels.append(tuple(self._divided(level, paging)))
        return self._known[key]

    def _divided(self, level: LevelDraft, paging: Paging) -> Iterator[Alternative]:
        if paging.page is PageSize.NEVER:
            for drafts in level.alternatives:
                yield (), tuple([self._numbers[draft] for draft in drafts])
            return
        for way in self.children(level):
            held: list[int] = []
            others: list[int] = []
            for number, child in way:
                (held if paging.holds(child) else others).append(number)
            yield tuple(held), tuple(others)

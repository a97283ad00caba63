"""Numbers the levels of a plan, with the children of each divided into those that a page multiplies and the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain

from fraiseql_guard.graphql.cost.cost_rules import ChildField, CostRules, PageSize, Paging
from fraiseql_guard.graphql.cost.pricing import Alternative
from fraiseql_guard.graphql.cost.schema_table import FieldRule
from fraiseql_guard.graphql.syntax.ast import FieldNode, SelectionNode


@dataclass(slots=True, eq=False)
class LevelDraft:
    """Merged selections at a type. ``alternatives`` has the terms of each object type that it may be; ``parents`` is
    the number of terms that lead to the level and are not ordered yet."""

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
    """Numbers the levels of a plan. A level has a number for each way in which pages divide its children."""

    def __init__(self, rules: CostRules, numbers: Mapping[TermDraft, int]) -> None:
        self._rules = rules
        self._numbers = numbers
        self._known: dict[tuple[LevelDraft, frozenset[str], bool], int] = {}
        self._children: dict[LevelDraft, list[list[tuple[int, ChildField]]]] = {}
        self.levels: list[tuple[Alternative, ...]] = []

    def children(self, level: LevelDraft | None) -> list[list[tuple[int, ChildField]]]:
        """The children in a level for each type, with the numbers of their terms; empty for None."""
        if level is None:
            return []
        found = self._children.get(level)
        if found is None:
            # Cached, since each field that leads to the level asks for its children twice.
            found = [
                [(self._numbers[draft], _child(draft, self._rules)) for draft in way] for way in level.alternatives
            ]
            self._children[level] = found
        return found

    def number(self, level: LevelDraft | None, paging: Paging) -> int:
        """The number of a level below a field with this paging; -1 without a level."""
        if level is None:
            return -1
        # Fields whose pages divide the level in the same way share one number.
        key = level, paging.names, paging.page is PageSize.GUESSED
        if key not in self._known:
            # The number is the index of what is appended next.
            self._known[key] = len(self.levels)
            self.levels.append(tuple(self._divided(level, paging)))
        return self._known[key]

    def _divided(self, level: LevelDraft, paging: Paging) -> Iterable[Alternative]:
        if paging.page is PageSize.NEVER:
            # No page multiplies some children alone.
            return [((), tuple([self._numbers[draft] for draft in drafts])) for drafts in level.alternatives]
        return [_divide(children, paging) for children in self.children(level)]


def _divide(children: Iterable[tuple[int, ChildField]], paging: Paging) -> Alternative:
    """The children of one type that hold the items of a page, and the others."""
    held: list[int] = []
    others: list[int] = []
    for number, child in children:
        if paging.holds(child):
            held.append(number)
        else:
            others.append(number)
    return tuple(held), tuple(others)


def _child(draft: TermDraft, rules: CostRules) -> ChildField:
    if draft.level is None:
        weight = rules.weight(draft.field, draft.owner, draft.rule, at_root=False)
        return ChildField(draft.field, draft.rule, weight, leaves_only=True)
    # The weight of a child with children does not matter here: 1 stands for any.
    leaves_only = all(child.level is None for child in chain.from_iterable(draft.level.alternatives))
    return ChildField(draft.field, draft.rule, 1, leaves_only)

"""Merges selections as execution does: into their fields by response key.

Mostly @skip, @include and type conditions remove nothing. Then each fragment is read once, however many selections
spread it, and the result of a merge is cached by the selections that went into it. A budget bounds all other work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Final

from fraiseql_guard.graphql.syntax.ast import DocumentNode, FieldNode, FragmentNode, SelectionNode
from fraiseql_guard.graphql.syntax.skip_include import Positions, removed

MAX_VISITS: Final = 20_000
"""Most fields and fragments visited in one walk: fragments on an interface with many types could take any time."""
_COMBINED_AT_LEAST: Final = 300
_COMBINED_PER_PLACE: Final = 2
"""Most keys visited to combine selections, for each field and fragment of the document. A hostile document combines
selections in ever new ways; documents that people write take less than one key a field."""

Collected = dict[str, list[tuple[FieldNode, str | None]]]
"""Fields by response key, each with the innermost type that it is conditional on."""
Children = dict[str, tuple[SelectionNode, ...]]
"""The subselections of the fields by response key; without keys that have none."""


class TooEntangledError(Exception):
    """The selections of the document merge in more ways than the budget of a walk allows."""


@dataclass(slots=True)
class VisitBudget:
    """Counts down the visits that a walk has left."""

    left: int = MAX_VISITS

    def spend(self, visits: int) -> None:
        """Take visits from the budget; TooEntangledError if they exceed what is left."""
        self.left -= visits
        if self.left < 0:
            raise TooEntangledError


@dataclass(slots=True, eq=False)
class MergedSelection:
    """The fields of merged selections, their subselections, and the type conditions that some of the fields stand
    below.

    It is never changed, but not frozen, because a hostile document makes many.
    """

    fields: Collected
    children: Children
    conditions: frozenset[str]


@dataclass(slots=True, eq=False)
class _MergedPart:
    """The fields of one selection, inline fragments included, and the names of the fragments that it spreads."""

    fields: Collected
    children: Children
    conditions: frozenset[str]
    spreads: tuple[str, ...]


class SelectionMerger:
    """Merges the selections of one document, and caches the results. ``selections`` are all of the document."""

    __slots__ = ("_combined", "_fragments", "_merged", "_of_fragments", "_parts", "selections")

    def __init__(self, document: DocumentNode) -> None:
        self.selections = _selections(document)
        places = sum([len(each.fields) + len(each.spreads) + len(each.inlines) for each in self.selections])
        self._combined = VisitBudget(min(_COMBINED_AT_LEAST + _COMBINED_PER_PLACE * places, MAX_VISITS))
        self._fragments = document.fragments
        self._of_fragments: dict[str, _MergedPart] = {}
        self._parts: dict[SelectionNode, _MergedPart] = {}
        self._merged: dict[frozenset[SelectionNode], MergedSelection] = {}

    @property
    def is_conditional(self) -> bool:
        """Whether the document has fragments or inline fragments."""
        return bool(self._fragments) or any(each.inlines for each in self.selections)

    def merged(
        self, selections: tuple[SelectionNode, ...], distinct: frozenset[SelectionNode], budget: VisitBudget
    ) -> MergedSelection:
        """Merge selections as execution does, each fragment once. ``distinct`` is the set of the ``selections``, which
        are in the order of the text. TooEntangledError."""
        found = self._merged.get(distinct)
        if found is None:
            found = self._merged[distinct] = self._merge(selections, budget)
        budget.spend(1 + len(found.fields))
        return found

    def _merge(self, selections: tuple[SelectionNode, ...], budget: VisitBudget) -> MergedSelection:
        parts = self._reached_by(selections)
        # Drop parts without fields, which only spread fragments, but keep one if there is no other.
        filled = sorted([part for part in parts if part.fields] or parts[:1], key=_size, reverse=True)
        # The largest part is copied as a whole; only the keys of the others are visited.
        visits = len(parts) + sum([len(part.fields) for part in filled[1:]])
        # One selection is merged once; combinations of several have a budget of their own.
        if len(selections) == 1:
            budget.spend(visits)
        else:
            self._combined.spend(visits)
        conditions = frozenset().union(*[part.conditions for part in parts])
        if len(filled) == 1:
            return MergedSelection(filled[0].fields, filled[0].children, conditions)
        fields, children = _united(filled)
        return MergedSelection(fields, children, conditions)

    def _reached_by(self, selections: tuple[SelectionNode, ...]) -> list[_MergedPart]:
        """The parts of the selections, and of each fragment that they reach, once."""
        parts = [self._part(selection) for selection in selections]
        reached: set[str] = set()
        for part in parts:  # it grows: fragments are appended where they are first spread
            for name in part.spreads:
                if name not in reached:
                    reached.add(name)
                    parts.append(self._of_fragment(name))
        return parts

    def _part(self, selection: SelectionNode) -> _MergedPart:
        part = self._parts.get(selection)
        if part is None:
            part = self._parts[selection] = _look_through(selection, None)
        return part

    def _of_fragment(self, name: str) -> _MergedPart:
        part = self._of_fragments.get(name)
        if part is None:
            fragment = self._fragments[name]
            part = self._of_fragments[name] = _look_through(fragment.selection, fragment.on)
        return part


def _size(part: _MergedPart) -> int:
    return len(part.fields)


def _united(parts: list[_MergedPart]) -> tuple[Collected, Children]:
    """The fields of all parts by response key, and their subselections. The parts are not changed."""
    fields, children = parts[0].fields.copy(), parts[0].children.copy()
    for part in parts[1:]:
        for key, members in part.fields.items():
            # Addition copies: the lists of a part belong to every selection that spreads it.
            fields[key] = fields[key] + members if key in fields else members
        for key, below in part.children.items():
            children[key] = children[key] + below if key in children else below
    return fields, children


def _look_through(selection: SelectionNode, on: str | None) -> _MergedPart:
    fields: Collected = {}
    spreads: list[str] = []
    conditions = {on} if on else set()
    pending = [(selection, on)]
    while pending:
        selection, on = pending.pop()
        for field in selection.fields:
            # Faster than setdefault, which would make a list for each field.
            if field.key in fields:
                fields[field.key].append((field, on))
            else:
                fields[field.key] = [(field, on)]
        spreads += [spread.name for spread in selection.spreads]
        # Reversed, since the stack takes the last first, to keep the order of the text.
        for inline in reversed(selection.inlines):
            pending.append((inline.selection, inline.on or on))
            if inline.on:
                conditions.add(inline.on)
    return _MergedPart(fields, children_of(fields), frozenset(conditions), tuple(spreads))


def children_of(fields: Collected) -> Children:
    """The subselections of collected fields."""
    below = {key: tuple([item.selection for item, _ in members if item.selection]) for key, members in fields.items()}
    return {key: selections for key, selections in below.items() if selections}


def alike(fields: Sequence[tuple[FieldNode, object]]) -> bool:
    """Whether all fields of one response key have the same name and arguments, as they mostly do."""
    first, _ = fields[0]
    name, asks = first.name, first.asks
    # asks is made only for fields with arguments: most have none.
    return all(field.name == name and (field.asks if field.arguments else "") == asks for field, _ in fields)


def _selections(document: DocumentNode) -> list[SelectionNode]:
    found = [operation.selection for operation in document.operations]
    found += [fragment.selection for fragment in document.fragments.values()]
    for selection in found:  # it grows: what a selection holds is appended behind it
        found += [field.selection for field in selection.fields if field.selection]
        found += [inline.selection for inline in selection.inlines]
    return found


def root_selections(document: DocumentNode, selections: Iterable[SelectionNode]) -> list[SelectionNode]:
    """The selections from which a walk reaches the whole document: those of operations and of fragments that nothing
    spreads. ``selections`` are all of the document."""
    spread = {item.name for selection in selections for item in selection.spreads}
    roots = [operation.selection for operation in document.operations]
    roots += [fragment.selection for name, fragment in document.fragments.items() if name not in spread]
    return roots


def anything(_: str | None) -> bool:
    """True for every type condition, as is assumed without a schema."""
    return True


def collect(
    selections: tuple[SelectionNode, ...],
    fragments: Mapping[str, FragmentNode],
    positions: Positions,
    applies: Callable[[str | None], bool],
    budget: VisitBudget,
) -> Collected:
    """The fields of merged selections as execution collects them, each fragment once (GraphQL spec, CollectFields)."""
    found: Collected = {}
    spread: set[str] = set()
    pending: list[tuple[SelectionNode, str | None]] = [*zip(reversed(selections), repeat(None))]
    while pending:
        selection, on = pending.pop()
        # Spend before the work, so that a step exceeds the budget by one selection at most.
        budget.spend(1 + len(selection.fields) + len(selection.inlines) + len(selection.spreads))
        _add_fields(found, selection, on, positions)
        pending += [
            (inline.selection, inline.on or on)
            for inline in selection.inlines
            if applies(inline.on) and not removed(inline.removal, positions)
        ]
        for item in selection.spreads:
            fragment = fragments[item.name]
            # GraphQL spec, CollectFields: a fragment that was visited is not visited again.
            if item.name not in spread and applies(fragment.on) and not removed(item.removal, positions):
                spread.add(item.name)
                pending.append((fragment.selection, fragment.on))
    return found


def _add_fields(found: Collected, selection: SelectionNode, on: str | None, positions: Positions) -> None:
    """Add the fields directly in a selection, except those that @skip or @include removes."""
    for field in selection.fields:
        if field.removal and removed(field.removal, positions):
            continue
        if field.key in found:
            found[field.key].append((field, on))
        else:
            found[field.key] = [(field, on)]

"""Equal response keys that ask for different things, where one object would have to answer both.

Fields below types that exclude each other never meet in one object, and neither does anything below them. With a
schema that is the specification's rule (Field Selection Merging, 5.3.2): two different object types exclude each other.
Without one, two types may be such unless one condition stands directly inside the other: then some object is both. What
stands in a selection without a condition has that selection's type, which may differ from that of a selection it is
merged with if their fields stand below different conditions.

The fields of a key are put into groups of which all members may meet, and what a group selects is compared as one
selection. So the work grows with the document, and not with the pairs of its fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from fraiseql_guard.graphql.syntax.ast import DocumentNode, FieldNode, PossibleTypes, SelectionNode, StaticTypes
from fraiseql_guard.graphql.syntax.field_merging import MAX_VISITS, VisitBudget, alike, root_selections

_VISITS_AT_LEAST: Final = 300
_VISITS_PER_PLACE: Final = 4
"""Fields compared, by the fields and fragments that a document holds. What people write takes one or two."""

_UNKNOWN: Final = "{"
"""First character of the mark that stands for a selection's type without a schema: no name begins with it."""

_TypeName = str | None
_Group = list[tuple[FieldNode, _TypeName]]
_Members = dict[str, _Group]
"""Fields by response key, each with the type that the text gives its parent; None for one that is not known."""
_Nested = set[tuple[_TypeName, _TypeName]]
"""Pairs of types (outer, inner): a condition on the inner one stands directly inside the outer one."""


class ContradictedError(Exception):
    """Equal response keys ask for different things."""

    def __init__(self, path: tuple[str, ...]) -> None:
        self.path = path


def check_conflicts(
    document: DocumentNode, selections: Sequence[SelectionNode], possible: PossibleTypes | None, types: StaticTypes
) -> None:
    """Compare all fields of a document that execution merges.

    ``selections`` are all that it holds, ``types`` their types where a schema tells them (``possible``).
    ContradictedError, or TooEntangledError if the selections merge in too many ways.
    """
    walk = _ConflictWalk(document, selections, possible, types)
    pending: list[tuple[_MergedPlace, tuple[str, ...]]] = [
        (_MergedPlace(frozenset((root,))), ()) for root in root_selections(document, selections)
    ]
    # Places that were compared once are the same from every path, so that the walk ends.
    seen = {merged for merged, _ in pending}
    while pending:
        merged, path = pending.pop()
        for key, below in walk.below(merged, path):
            if below not in seen:
                seen.add(below)
                pending.append((below, (*path, key)))


@dataclass(frozen=True, slots=True)
class _MergedPlace:
    """Selections that are merged. ``apart``: their fields stand below different conditions, so that their types may
    differ."""

    selections: frozenset[SelectionNode]
    apart: bool = False


@dataclass(slots=True, eq=False)
class _ComparedPart:
    """What one selection holds itself, inline fragments included, and what it spreads with the types around that."""

    fields: _Members
    nested: _Nested
    spreads: list[tuple[_TypeName, str]]


class _ConflictWalk:
    def __init__(
        self,
        document: DocumentNode,
        selections: Sequence[SelectionNode],
        possible: PossibleTypes | None,
        types: StaticTypes,
    ) -> None:
        places = sum([len(each.fields) + len(each.spreads) + len(each.inlines) for each in selections])
        self._budget = VisitBudget(min(_VISITS_AT_LEAST + _VISITS_PER_PLACE * places, MAX_VISITS))
        self._fragments = document.fragments
        self._possible = possible
        self._types = types
        self._parts: dict[SelectionNode, _ComparedPart] = {}

    def below(self, merged: _MergedPlace, path: tuple[str, ...]) -> Iterator[tuple[str, _MergedPlace]]:
        """What the keys of merged selections select, for each group of fields that may meet. ContradictedError."""
        members, nested = self._collected(merged.selections)
        if not merged.apart:
            # The merged fields have one parent type, so that their marks must not tell them apart.
            members, nested = _as_one(members, nested)
        for key, fields in members.items():
            for group in self._groups(fields, nested):
                self._budget.spend(len(group))
                if len(group) > 1 and not alike(group):
                    raise ContradictedError((*path, key))
                # Children of fields that may meet are compared as one selection, not pair by pair.
                if distinct := frozenset([field.selection for field, _ in group if field.selection]):
                    yield key, _MergedPlace(distinct, merged.apart or self._may_differ(group))

    def _may_differ(self, group: _Group) -> bool:
        """Whether the parents of these fields may be of different types although the fields are merged."""
        # With a schema the static types say it, selection by selection.
        return self._possible is None and len({owner for _, owner in group}) > 1

    def _collected(self, selections: Iterable[SelectionNode]) -> tuple[_Members, _Nested]:
        parts = [self._part(each, self._own_type(each)) for each in selections]
        members: _Members = {}
        nested: _Nested = set()
        reached: set[str] = set()
        for part in parts:  # it grows: fragments are appended where they are first spread
            for key, fields in part.fields.items():
                # A new list: the parts are shared by every place that spreads them.
                members[key] = members[key] + fields if key in members else fields
            nested |= part.nested
            for around, name in part.spreads:
                fragment = self._fragments[name]
                on = self._named(fragment.on)
                nested.add((around, on))
                if name not in reached:
                    reached.add(name)
                    parts.append(self._part(fragment.selection, on))
        # The work is paid for after it is done: one place cannot take more than the document holds.
        self._budget.spend(len(parts) + len(members))
        return members, nested

    def _part(self, selection: SelectionNode, owner: _TypeName) -> _ComparedPart:
        part = self._parts.get(selection)
        if part is None:
            part = self._parts[selection] = self._look_through(selection, owner)
        return part

    def _look_through(self, selection: SelectionNode, owner: _TypeName) -> _ComparedPart:
        part = _ComparedPart({}, set(), [])
        pending = [(selection, owner)]
        while pending:
            selection, owner = pending.pop()
            for field in selection.fields:
                part.fields.setdefault(field.key, []).append((field, owner))
            part.spreads += [(owner, spread.name) for spread in selection.spreads]
            for inline in selection.inlines:
                # Without a condition an inline fragment has the type of what it stands in.
                on = self._named(inline.on) if inline.on else owner
                part.nested.add((owner, on))
                pending.append((inline.selection, on))
        return part

    def _own_type(self, selection: SelectionNode) -> _TypeName:
        """The static type of a selection; without a schema a mark of its own, which is no name."""
        return f"{_UNKNOWN}{id(selection)}" if self._possible is None else self._types.get(selection)

    def _named(self, name: str) -> _TypeName:
        """The type of a condition; None for one that the schema does not have."""
        return name if self._possible is None or name in self._possible else None

    def _groups(self, fields: _Group, nested: _Nested) -> Iterable[_Group]:
        by_type: dict[_TypeName, _Group] = {}
        for member in fields:
            by_type.setdefault(member[1], []).append(member)
        # The usual case: all members stand under one type, and form one group.
        if len(by_type) == 1:
            return by_type.values()
        if self._possible is None:
            return _by_nesting(by_type, nested)
        return _by_object(by_type, self._possible)


def _as_one(members: _Members, nested: _Nested) -> tuple[_Members, _Nested]:
    """The same where all selections have one type: their marks become one."""

    def one(owner: _TypeName) -> _TypeName:
        return None if _is_unknown(owner) else owner

    merged = {key: [(field, one(owner)) for field, owner in fields] for key, fields in members.items()}
    return merged, {(one(outer), one(inner)) for outer, inner in nested}


def _is_unknown(owner: _TypeName) -> bool:
    """Whether this is the mark of a selection whose type no schema tells."""
    return owner is not None and owner.startswith(_UNKNOWN)


def _by_object(by_type: Mapping[_TypeName, _Group], possible: PossibleTypes) -> Iterable[_Group]:
    """Those of each object type, with those of all types that are none."""
    groups: list[_Group] = []
    others: _Group = []
    for owner, fields in by_type.items():
        if owner is not None and possible[owner] == {owner}:
            groups.append(fields)
        else:
            others += fields
    # Interfaces and unions may be any of the object types, so that their fields belong to each group.
    return [fields + others for fields in groups] or [others]


def _by_nesting(by_type: Mapping[_TypeName, _Group], nested: _Nested) -> Iterable[_Group]:
    """Those of each two types of which one stands directly inside the other; of each other type alone; and those
    without a condition, because one object answers them all."""
    # A condition inside its own type pairs nothing.
    pairs = [(outer, inner) for outer, inner in nested if outer != inner and outer in by_type and inner in by_type]
    paired = frozenset(chain.from_iterable(pairs))
    alone = [fields for owner, fields in by_type.items() if owner not in paired]
    groups = [by_type[outer] + by_type[inner] for outer, inner in pairs] + alone
    unknown = _of_unknown_types(by_type)
    return [*groups, unknown] if unknown else groups


def _of_unknown_types(by_type: Mapping[_TypeName, _Group]) -> _Group:
    """The fields that stand in selections without a condition."""
    return [field for owner, fields in by_type.items() if _is_unknown(owner) for field in fields]

"""Finds equal response keys that ask one object for different fields or arguments.

Two fields meet if some object may answer both. Fields on types that exclude each other never meet, and neither do their
subfields. With a schema the specification's rule holds (Field Selection Merging, 5.3.2): two different object types
exclude each other. Without one, any two types are taken to exclude each other, unless a condition on one stands
directly inside a condition on the other: then some object has both types. A field below no type condition has the type
of its selection. Merged selections have one type, unless the fields that they belong to stand below different
conditions.

The fields of a response key are divided into groups of which all members may meet, and the subfields of a group are
compared as one selection. So the work grows with the document, and not with the pairs of its fields.
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
"""Most visits for each field and fragment of a document. Documents that people write take one or two."""

_UNKNOWN: Final = "{"
"""First character of the marks that stand for the types of selections without a schema. No name begins with it."""

_TypeName = str | None
_Group = list[tuple[FieldNode, _TypeName]]
_Members = dict[str, _Group]
"""Fields by response key, each with the type that the text gives its parent; None if that is unknown."""
_Nested = set[tuple[_TypeName, _TypeName]]
"""Pairs of types (outer, inner): a condition on the inner one stands directly inside the outer one."""


class ContradictedError(Exception):
    """Equal response keys ask one object for different fields or arguments; ``path`` leads to the key."""

    def __init__(self, path: tuple[str, ...]) -> None:
        self.path = path


def check_conflicts(
    document: DocumentNode, selections: Sequence[SelectionNode], possible: PossibleTypes | None, types: StaticTypes
) -> None:
    """Raise ContradictedError if fields that execution merges differ, TooEntangledError if there are too many to
    compare.

    ``selections`` are all of the document. ``possible`` and ``types`` are the possible types of the schema and the
    types of the selections; None and empty without a schema.
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
    """Selections that are merged. ``apart``: their types may differ, since the fields that they belong to stand below
    different conditions."""

    selections: frozenset[SelectionNode]
    apart: bool = False


@dataclass(slots=True, eq=False)
class _ComparedPart:
    """The fields of one selection, inline fragments included, and the fragments that it spreads, each with the type
    around it."""

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
        """Compare the fields of merged selections. Yield for each group of fields that may meet its response key and
        its merged subselections. ContradictedError."""
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
        """Whether the subselections of these merged fields may have different types."""
        # With a schema the static types tell the type of each selection.
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
        """The static type of a selection; without a schema a mark that is unique to it."""
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
    """The collected fields and pairs of merged selections that have one type: their marks become None."""

    def one(owner: _TypeName) -> _TypeName:
        return None if _is_unknown(owner) else owner

    merged = {key: [(field, one(owner)) for field, owner in fields] for key, fields in members.items()}
    return merged, {(one(outer), one(inner)) for outer, inner in nested}


def _is_unknown(owner: _TypeName) -> bool:
    """Whether a type is the mark of a selection without a schema."""
    return owner is not None and owner.startswith(_UNKNOWN)


def _by_object(by_type: Mapping[_TypeName, _Group], possible: PossibleTypes) -> Iterable[_Group]:
    """One group for each object type: its fields, and those of all interfaces and unions."""
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
    """Groups without a schema: one for each two types of which one stands directly inside the other, one for each other
    type, and one for all fields without a condition, which one object answers."""
    # A condition inside a condition on the same type makes no pair.
    pairs = [(outer, inner) for outer, inner in nested if outer != inner and outer in by_type and inner in by_type]
    paired = frozenset(chain.from_iterable(pairs))
    alone = [fields for owner, fields in by_type.items() if owner not in paired]
    groups = [by_type[outer] + by_type[inner] for outer, inner in pairs] + alone
    unknown = _of_unknown_types(by_type)
    return [*groups, unknown] if unknown else groups


def _of_unknown_types(by_type: Mapping[_TypeName, _Group]) -> _Group:
    """The fields that stand in selections without a condition."""
    return [field for owner, fields in by_type.items() if _is_unknown(owner) for field in fields]

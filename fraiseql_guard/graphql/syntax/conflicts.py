"""Equal response keys that ask for different things, where one object would have to answer both.

Fields below types that exclude each other never meet in one object, and neither does anything below them. With a
schema that is the specification's rule (Field Selection Merging, 5.3.2): two different object types exclude each other.
Without one, two types may be such unless one condition stands directly inside the other: then some object is both. What
stands in a selection without a condition has that selection's type, which may differ from that of a selection it is
merged with if their fields stand below different conditions.

Fields of a key are put into groups of which all members may meet, and what a group selects is looked at as one
selection. So the work grows with the document, and not with the pairs of its fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fraiseql_guard.graphql.cost.schema import SchemaTable
from fraiseql_guard.graphql.cost.static_types import StaticTypes, known_type
from fraiseql_guard.graphql.syntax.ast import DocumentNode, FieldNode, SelectionNode
from fraiseql_guard.graphql.syntax.conflicts_found import ContradictedError
from fraiseql_guard.graphql.syntax.field_merging import MAX_VISITS, Budget

_VISITS_AT_LEAST: Final = 300
_VISITS_PER_PLACE: Final = 4
"""Fields looked at, by the fields and fragments that a document holds. What people write takes one or two."""

_UNKNOWN: Final = "{"
"""Begins the mark of a type that no schema tells: no name does."""

_TypeName = str | None
_Group = list[tuple[FieldNode, _TypeName]]
_Members = dict[str, _Group]
"""Fields by response key, each with the type that the text gives its parent; None for one that is not known."""
_Nested = set[tuple[_TypeName, _TypeName]]
"""Types whose conditions stand directly inside that of another, or in the selection itself."""


def check_conflicts(
    document: DocumentNode, selections: Sequence[SelectionNode], table: SchemaTable | None, types: StaticTypes
) -> None:
    """Look at all that merges in a document. ``selections`` are all that it holds, ``types`` those of the table.

    ContradictedError, or TooEntangledError if the selections merge in too many ways.
    """
    walk = _ConflictWalk(document, selections, table, types)
    spread = {item.name for selection in selections for item in selection.spreads}
    roots = [item.selection for item in document.operations]
    roots += [item.selection for name, item in document.fragments.items() if name not in spread]
    pending: list[tuple[_Merged, tuple[str, ...]]] = [(_Merged(frozenset((root,))), ()) for root in roots]
    seen = {merged for merged, _ in pending}
    while pending:
        merged, path = pending.pop()
        for key, below in walk.below(merged, path):
            if below not in seen:
                seen.add(below)
                pending.append((below, (*path, key)))


@dataclass(frozen=True, slots=True)
class _Merged:
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
        self, document: DocumentNode, selections: Sequence[SelectionNode], table: SchemaTable | None, types: StaticTypes
    ) -> None:
        places = sum([len(each.fields) + len(each.spreads) + len(each.inlines) for each in selections])
        self._budget = Budget(min(_VISITS_AT_LEAST + _VISITS_PER_PLACE * places, MAX_VISITS))
        self._fragments = document.fragments
        self._table = table
        self._types = types
        self._parts: dict[SelectionNode, _ComparedPart] = {}

    def below(self, merged: _Merged, path: tuple[str, ...]) -> Iterator[tuple[str, _Merged]]:
        """What the keys of merged selections select, for each group of fields that may meet. ContradictedError."""
        members, nested = self._collected(merged.selections)
        if not merged.apart:
            members, nested = _as_one(members, nested)
        for key, fields in members.items():
            for group in self._groups(fields, nested):
                self._budget.spend(len(group))
                if len(group) > 1 and not _alike([field for field, _ in group]):
                    raise ContradictedError((*path, key))
                if distinct := frozenset([field.selection for field, _ in group if field.selection]):
                    owners = {owner for _, owner in group}
                    yield key, _Merged(distinct, apart=merged.apart or (self._table is None and len(owners) > 1))

    def _collected(self, selections: Iterable[SelectionNode]) -> tuple[_Members, _Nested]:
        parts = [self._part(each, self._own_type(each)) for each in selections]
        members: _Members = {}
        nested: _Nested = set()
        reached: set[str] = set()
        for part in parts:  # it grows
            for key, fields in part.fields.items():
                members[key] = members[key] + fields if key in members else fields
            nested |= part.nested
            for around, name in part.spreads:
                fragment = self._fragments[name]
                on = self._named(fragment.on)
                nested.add((around, on))
                if name not in reached:
                    reached.add(name)
                    parts.append(self._part(fragment.selection, on))
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
                on = self._named(inline.on) if inline.on else owner
                part.nested.add((owner, on))
                pending.append((inline.selection, on))
        return part

    def _own_type(self, selection: SelectionNode) -> _TypeName:
        """The static type of a selection; without a schema a mark of its own, which is no name."""
        return self._types.get(selection) if self._table else f"{_UNKNOWN}{id(selection)}"

    def _named(self, name: str) -> _TypeName:
        return known_type(name, self._table) if self._table else name

    def _groups(self, fields: _Group, nested: _Nested) -> Iterable[_Group]:
        by_type: dict[_TypeName, _Group] = {}
        for member in fields:
            by_type.setdefault(member[1], []).append(member)
        if len(by_type) == 1:
            return by_type.values()
        return _by_object(by_type, self._table) if self._table else _by_nesting(by_type, nested)


def _as_one(members: _Members, nested: _Nested) -> tuple[_Members, _Nested]:
    """The same where all selections have one type: their marks are one."""

    def one(owner: _TypeName) -> _TypeName:
        return None if owner is not None and owner.startswith(_UNKNOWN) else owner

    merged = {key: [(field, one(owner)) for field, owner in fields] for key, fields in members.items()}
    return merged, {(one(outer), one(inner)) for outer, inner in nested}


def _by_object(by_type: Mapping[_TypeName, _Group], table: SchemaTable) -> Iterable[_Group]:
    """Those of each object type, with those of all types that are none."""
    objects = [owner for owner in by_type if owner is not None and table.possible[owner] == (owner,)]
    others = [field for owner, fields in by_type.items() if owner not in objects for field in fields]
    return [by_type[owner] + others for owner in objects] or [others]


def _by_nesting(by_type: Mapping[_TypeName, _Group], nested: _Nested) -> Iterable[_Group]:
    """Those of each two types of which one stands directly inside the other; of each other type alone; and those
    without a condition, because one object answers them all."""
    unknown = [each for owner, fields in by_type.items() if owner and owner.startswith(_UNKNOWN) for each in fields]
    pairs = [(outer, inner) for outer, inner in nested if outer != inner and outer in by_type and inner in by_type]
    paired = {owner for pair in pairs for owner in pair}
    alone = [fields for owner, fields in by_type.items() if owner not in paired]
    return [by_type[outer] + by_type[inner] for outer, inner in pairs] + alone + ([unknown] if unknown else [])


def _alike(fields: list[FieldNode]) -> bool:
    """Whether all ask for the same, as they mostly do."""
    name, asks = fields[0].name, fields[0].asks
    return all(field.name == name and (field.asks if field.arguments else "") == asks for field in fields)

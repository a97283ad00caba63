"""How often one object is asked for the same: equal response keys, and aliases that ask for a field again.

What stands below types of which an object can be only one is not added up. To keep them apart costs more than to add
up everything, so this is done for documents alone that would be over a limit otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from fraiseql_guard.graphql.cost.list_sizes import MOST
from fraiseql_guard.graphql.syntax.ast import DocumentNode, FieldNode, SelectionNode
from fraiseql_guard.graphql.syntax.counts import INTROSPECTION
from fraiseql_guard.graphql.syntax.field_merging import Budget, Collected, Merging, children_of

Types = frozenset[str | None]
"""Type conditions that hold together for some object, None among them: no condition."""
Members = Mapping[str, frozenset[str]]
"""The object types of each type, if a schema tells."""
_Place = frozenset[SelectionNode]


@dataclass(frozen=True, slots=True)
class Repeated:
    """The response key that is repeated most often in one selection, and the aliases by which a field of one selection
    is asked for more than once: of an operation, and of its introspection. ``mixed``: somewhere fields of different
    types stand side by side."""

    times: int = 0
    path: tuple[str, ...] = ()
    aliases: int = 0
    meta_aliases: int = 0
    mixed: bool = True


@dataclass(slots=True, eq=False)
class _Way:
    """What a place holds for one kind of object, and the places below: inside an introspection or not."""

    aliases: int
    meta_aliases: int
    below: list[tuple[_Place, bool]] = field(default_factory=list)


def count_repetitions(document: DocumentNode, merging: Merging, *, aliased: bool) -> Repeated:
    """Everything added up, whatever its type. TooEntangledError. Nothing is ``aliased``: then there is less to do."""
    return _RepetitionCount(merging, apart=False).of(document) if aliased else Repeated(mixed=merging.is_conditional)


def count_apart(document: DocumentNode, members: Members | None) -> Repeated:
    """The same, but what is below different types counts for itself: by the schema's ``members``, else any two types
    are taken for different. TooEntangledError."""
    return _RepetitionCount(Merging(document), members, apart=True).of(document)


class _RepetitionCount:
    def __init__(self, merging: Merging, members: Members | None = None, *, apart: bool) -> None:
        self._merging = merging
        self._members = members
        self._apart = apart
        self._budget = Budget()
        self._places: dict[_Place, list[_Way]] = {}
        self._worst: tuple[int, tuple[str, ...]] = (0, ())
        self._mixed = False

    def of(self, document: DocumentNode) -> Repeated:
        used = {spread.name for selection in self._merging.selections for spread in selection.spreads}
        roots = [item.selection for item in document.operations]
        roots += [item.selection for name, item in document.fragments.items() if name not in used]
        self._walk(roots)
        totals = self._totals()
        found = [totals[frozenset((root,))] for root in roots]
        times, path = self._worst
        aliases, meta = max(aliases for aliases, _ in found), max(meta for _, meta in found)
        return Repeated(times, path, aliases, meta, self._mixed)

    def _walk(self, roots: Iterable[SelectionNode]) -> None:
        pending: list[tuple[tuple[SelectionNode, ...], tuple[str, ...]]] = [((root,), ()) for root in roots]
        while pending:
            selections, path = pending.pop()
            place = frozenset(selections)
            if place in self._places:
                continue
            ways = self._places[place] = []
            merged = self._merging.merged(selections, place, self._budget)
            for types in self._ways(merged.conditions):
                fields = merged.fields if types is None else self._among(merged.fields, types)
                children = merged.children if types is None else children_of(fields)
                way = _Way(*asked_again(fields))
                ways.append(way)
                for key, members in fields.items():
                    if len(members) > self._worst[0]:
                        self._worst = len(members), (*path, key)
                for key, below in children.items():
                    way.below.append((frozenset(below), fields[key][0][0].name in INTROSPECTION))
                    pending.append((below, (*path, key)))

    def _ways(self, conditions: frozenset[str]) -> Iterable[Types | None]:
        """Types that hold together; None: all that stands there."""
        if len(conditions) < 2:
            return (None,)
        self._mixed = True
        if not self._apart:
            return (None,)
        return together(conditions, self._members)

    def _among(self, fields: Collected, types: Types) -> Collected:
        self._budget.spend(len(fields))
        among = {key: [each for each in members if each[1] in types] for key, members in fields.items()}
        return {key: members for key, members in among.items() if members}

    def _totals(self) -> dict[_Place, tuple[int, int]]:
        """The aliases of each place with all below it, for the kind of object that has most."""
        totals: dict[_Place, tuple[int, int]] = {}
        pending = list(self._places)
        while pending:
            place = pending[-1]
            if place in totals:
                pending.pop()
                continue
            # No fragment spreads itself, so that no place is below itself.
            waiting = [below for way in self._places[place] for below, _ in way.below if below not in totals]
            if waiting:
                pending += waiting
            else:
                totals[place] = self._total(self._places[place], totals)
        return totals

    @staticmethod
    def _total(ways: Iterable[_Way], totals: Mapping[_Place, tuple[int, int]]) -> tuple[int, int]:
        most = meta_most = 0
        for way in ways:
            aliases, meta = way.aliases, way.meta_aliases
            for place, introspects in way.below:
                inside, meta_inside = totals[place]
                aliases += 0 if introspects else inside
                meta += meta_inside + (inside if introspects else 0)
            most, meta_most = max(most, min(aliases, MOST)), max(meta_most, min(meta, MOST))
        return most, meta_most


def asked_again(fields: Mapping[str, list[tuple[FieldNode, str | None]]]) -> tuple[int, int]:
    """The aliases by which a field of one selection is asked for more than once; with those of an introspection."""
    keys: dict[str, tuple[int, int]] = {}  # by name: response keys, and those of them that are aliases
    for key, members in fields.items():
        for name in {item.name for item, _ in members} if len(members) > 1 else (members[0][0].name,):
            asked, aliases = keys.get(name, (0, 0))
            keys[name] = asked + 1, aliases + (key != name)
    again = [(name in INTROSPECTION, aliases) for name, (asked, aliases) in keys.items() if asked > 1]
    return sum(aliases for meta, aliases in again if not meta), sum(aliases for meta, aliases in again if meta)


def together(conditions: frozenset[str], members: Members | None) -> Iterator[Types]:
    """The sets of type conditions that can hold for one object. A type that no schema explains stands for itself."""
    known = [on for on in conditions if members is not None and on in members]
    yield from (frozenset((None, on)) for on in conditions.difference(known))
    if members is not None and known:
        objects = frozenset[str]().union(*(members[on] for on in known))
        yield from {frozenset([None, *(on for on in known if name in members[on])]) for name in objects}

"""Counts how often a document asks one object for the same field: by equal response keys, and by aliases.

@skip and @include are ignored: hosts validate the whole document, and their work grows with the square of the
repetitions. Fields on types that exclude each other are not added up. To keep them apart costs more than to add up all
fields, so this is done only for documents that would otherwise be over a limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from fraiseql_guard.graphql.syntax.ast import DocumentNode, FieldNode, PossibleTypes, SelectionNode
from fraiseql_guard.graphql.syntax.conflicts import ContradictedError
from fraiseql_guard.graphql.syntax.counts import INTROSPECTION
from fraiseql_guard.graphql.syntax.field_merging import (
    Children,
    Collected,
    MergedSelection,
    SelectionMerger,
    VisitBudget,
    alike,
    children_of,
    root_selections,
)
from fraiseql_guard.graphql.syntax.values import MAX_COUNT

Types = frozenset[str | None]
"""Type conditions that can hold together for one object. None stands for no condition, which always holds."""
_Place = frozenset[SelectionNode]
_Path = tuple[str, ...]


# --- response keys ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RepeatedKey:
    """The response key that is repeated most often in one selection."""

    times: int = 0
    path: _Path = ()
    differs: bool = False
    """Whether any equal keys ask for different fields or arguments, type conditions ignored."""


def most_repeated(document: DocumentNode, merging: SelectionMerger) -> RepeatedKey:
    """Find the response key that is repeated most often, visiting each set of merged selections once.

    TooEntangledError; ContradictedError if equal keys of one selection differ below one type condition, or none.
    """
    pending: list[tuple[tuple[SelectionNode, ...], _Place, _Path]] = [
        ((root,), frozenset((root,)), ()) for root in root_selections(document, merging.selections)
    ]
    seen = {distinct for _, distinct, _ in pending}
    worst = RepeatedKey()
    budget = VisitBudget()
    # A stack in place of recursion; each set of merged selections is visited once.
    while pending:
        selections, distinct, path = pending.pop()
        merged = merging.merged(selections, distinct, budget)
        worst = _worse(worst, merged, path, alone=len(selections) == 1)
        for key, children in merged.children.items():
            distinct = frozenset(children)
            if distinct not in seen:
                seen.add(distinct)
                pending.append((children, distinct, (*path, key)))
    return worst


def _worse(worst: RepeatedKey, merged: MergedSelection, path: _Path, *, alone: bool) -> RepeatedKey:
    """``worst``, or a key of this selection that is repeated more often. ``alone``: it is one selection, not several
    merged ones."""
    for key, fields in merged.fields.items():
        if len(fields) == 1:
            continue
        if not alike(fields):
            # All stand below one condition, or none: no type keeps these fields apart.
            if alone and len({on for _, on in fields}) == 1:
                raise ContradictedError((*path, key))
            worst = replace(worst, differs=True)
        if len(fields) > worst.times:
            worst = RepeatedKey(len(fields), (*path, key), worst.differs)
    return worst


# --- aliases ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RepetitionCounts:
    """The response key that is repeated most often in one selection, and the number of aliases that ask again for a
    field of one selection, outside of introspections and in them (``meta_aliases``).

    ``mixed``: some selection may have fields on different types.
    """

    times: int = 0
    path: _Path = ()
    aliases: int = 0
    meta_aliases: int = 0
    mixed: bool = True


def count_repetitions(document: DocumentNode, merging: SelectionMerger, *, aliased: bool) -> RepetitionCounts:
    """Count the repetitions with all fields added up, type conditions ignored. TooEntangledError.

    A document without aliases (``aliased``) is not walked: of its result only ``mixed`` is meaningful.
    """
    if not aliased:
        return RepetitionCounts(mixed=merging.is_conditional)
    return _RepetitionWalk(merging, apart=False).of(document)


def count_apart(document: DocumentNode, possible: PossibleTypes | None) -> RepetitionCounts:
    """Count the repetitions with types kept apart that exclude each other: by the ``possible`` types of the schema, or
    any two types without one (None). TooEntangledError."""
    return _RepetitionWalk(SelectionMerger(document), possible, apart=True).of(document)


@dataclass(slots=True, eq=False)
class _ObjectAliases:
    """The aliases of a place for one kind of object, and the places below it, each with whether it is an
    introspection."""

    aliases: int
    meta_aliases: int
    below: list[tuple[_Place, bool]] = field(default_factory=list)


class _RepetitionWalk:
    def __init__(self, merging: SelectionMerger, possible: PossibleTypes | None = None, *, apart: bool) -> None:
        self._merging = merging
        self._possible = possible
        self._apart = apart
        self._budget = VisitBudget()
        self._places: dict[_Place, list[_ObjectAliases]] = {}
        self._worst: tuple[int, _Path] = (0, ())
        self._mixed = False

    def of(self, document: DocumentNode) -> RepetitionCounts:
        roots = root_selections(document, self._merging.selections)
        self._walk(roots)
        totals = self._totals()
        found = [totals[frozenset((root,))] for root in roots]
        times, path = self._worst
        # Fragments that nothing spreads are roots as well: hosts validate them.
        aliases, meta = max(aliases for aliases, _ in found), max(meta for _, meta in found)
        return RepetitionCounts(times, path, aliases, meta, self._mixed)

    def _walk(self, roots: Iterable[SelectionNode]) -> None:
        pending: list[tuple[tuple[SelectionNode, ...], _Path]] = [((root,), ()) for root in roots]
        while pending:
            selections, path = pending.pop()
            place = frozenset(selections)
            if place in self._places:
                continue
            kinds = self._places[place] = []
            merged = self._merging.merged(selections, place, self._budget)
            for types in self._kinds(merged.conditions):
                fields, children = self._of_types(merged, types)
                kind = _ObjectAliases(*asked_again(fields))
                kinds.append(kind)
                self._note_repeated(fields, path)
                for key, below in children.items():
                    # Fields of one response key that can meet have one name, which is that of the first.
                    kind.below.append((frozenset(below), fields[key][0][0].name in INTROSPECTION))
                    pending.append((below, (*path, key)))

    def _note_repeated(self, fields: Collected, path: _Path) -> None:
        for key, members in fields.items():
            if len(members) > self._worst[0]:
                self._worst = len(members), (*path, key)

    def _kinds(self, conditions: frozenset[str]) -> Iterable[Types | None]:
        """The sets of type conditions to count apart; only None to count all fields together."""
        if len(conditions) < 2:
            return (None,)
        self._mixed = True
        if not self._apart:
            # The first walk only notes that types stand side by side; to keep them apart costs a walk of its own.
            return (None,)
        return together(conditions, self._possible)

    def _of_types(self, merged: MergedSelection, types: Types | None) -> tuple[Collected, Children]:
        """The fields below these type conditions (all for None), and their subselections."""
        if types is None:
            return merged.fields, merged.children
        fields = self._among(merged.fields, types)
        return fields, children_of(fields)

    def _among(self, fields: Collected, types: Types) -> Collected:
        self._budget.spend(len(fields))
        among = {key: [each for each in members if each[1] in types] for key, members in fields.items()}
        return {key: members for key, members in among.items() if members}

    def _totals(self) -> dict[_Place, tuple[int, int]]:
        """For each place the aliases and meta aliases in it and below it, of the kind of object that has most."""
        totals: dict[_Place, tuple[int, int]] = {}
        pending = list(self._places)
        while pending:
            place = pending[-1]
            if place in totals:
                pending.pop()
                continue
            # No fragment spreads itself, so that no place is below itself.
            waiting = [below for kind in self._places[place] for below, _ in kind.below if below not in totals]
            if waiting:
                pending += waiting
            else:
                totals[place] = _total(self._places[place], totals)
        return totals


def _total(kinds: Iterable[_ObjectAliases], totals: Mapping[_Place, tuple[int, int]]) -> tuple[int, int]:
    most = meta_most = 0
    for kind in kinds:
        aliases, meta = kind.aliases, kind.meta_aliases
        for place, introspects in kind.below:
            inside, meta_inside = totals[place]
            meta += meta_inside
            if introspects:
                meta += inside
            else:
                aliases += inside
        # An object is of one kind, so that the kinds are not added up.
        most, meta_most = max(most, min(aliases, MAX_COUNT)), max(meta_most, min(meta, MAX_COUNT))
    return most, meta_most


def asked_again(fields: Mapping[str, list[tuple[FieldNode, str | None]]]) -> tuple[int, int]:
    """The number of aliases of fields that one selection asks for more than once: outside of introspections, and of
    introspections."""
    keys: dict[str, tuple[int, int]] = {}  # by field: the number of its response keys, and of its aliases
    for key, members in fields.items():
        for name in _names(members):
            asked, aliases = keys.get(name, (0, 0))
            keys[name] = asked + 1, aliases + (key != name)
    again = meta = 0
    for name, (asked, aliases) in keys.items():
        # One alias of a field that is asked for once renames it, and costs nothing.
        if asked == 1:
            continue
        if name in INTROSPECTION:
            meta += aliases
        else:
            again += aliases
    return again, meta


def _names(members: list[tuple[FieldNode, str | None]]) -> Iterable[str]:
    """The names of the fields of one response key: nearly always one."""
    return (members[0][0].name,) if len(members) == 1 else {item.name for item, _ in members}


def together(conditions: frozenset[str], possible: PossibleTypes | None) -> Iterator[Types]:
    """The sets of type conditions that can hold for one object. A type that the schema does not know is a set of its
    own.
    """
    known = {} if possible is None else {on: possible[on] for on in conditions if on in possible}
    for on in conditions.difference(known):
        yield frozenset((None, on))
    objects = frozenset[str]().union(*known.values())
    # A set, since many object types have the same conditions.
    yield from {frozenset([None, *(on for on in known if name in known[on])]) for name in objects}

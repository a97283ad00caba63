"""Counts that need no prices: depth, aliases, root fields, introspection.

Each fragment is counted once and its numbers are added wherever it is spread, so the work is linear in the document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fraiseql_guard.graphql.syntax.ast import DocumentNode, FieldNode, SelectionNode
from fraiseql_guard.graphql.syntax.skip_include import Positions, removed
from fraiseql_guard.graphql.syntax.values import MAX_COUNT

INTROSPECTION: Final = frozenset({"__schema", "__type"})
META_FIELDS: Final = INTROSPECTION | {"__typename"}
"""Fields that a schema has without defining them. They cost nothing."""
_INTROSPECTION_LISTS: Final = frozenset(
    {"types", "fields", "args", "interfaces", "possibleTypes", "inputFields", "enumValues", "directives"}
)

_EDGES: Final = "edges"
_NODE: Final = "node"
SDL_FIELD: Final = "_service"
"""The root field by which Apollo Federation returns the text of the schema."""

Trail = tuple[str, "Trail"] | None
"""The response keys of a path, outermost first, as a linked list of which paths share the ends."""


@dataclass(slots=True)
class SelectionCounts:
    """Counts of a selection, fragments included. ``introspection`` is the list depth of an introspection, -1 without
    one.

    ``depth`` leaves out fields called ``node``, of which ``node_depth`` is the depth, until it is known whether they
    stand below ``edges``. Not frozen: the counts of a selection become those of the field around it.
    """

    depth: int = 0
    deepest: Trail = None
    node_depth: int = 0
    deepest_node: Trail = None
    aliases: int = 0
    meta_aliases: int = 0  # inside an introspection
    lists: int = 0  # the list depth that the selection has if it stands inside an introspection
    introspection: int = -1

    def add(self, part: SelectionCounts) -> None:
        """Add the counts of another part of the same selection."""
        if part.depth > self.depth:
            self.depth, self.deepest = part.depth, part.deepest
        if part.node_depth > self.node_depth:
            self.node_depth, self.deepest_node = part.node_depth, part.deepest_node
        if part.aliases:
            self.aliases = min(self.aliases + part.aliases, MAX_COUNT)
        if part.meta_aliases:
            self.meta_aliases = min(self.meta_aliases + part.meta_aliases, MAX_COUNT)
        if part.lists > self.lists:
            self.lists = part.lists
        if part.introspection > self.introspection:
            self.introspection = part.introspection

    def below(self, *, edges: bool) -> None:
        """Merge ``node_depth`` into ``depth``: below ``edges`` one level less, since ``node`` is no level there."""
        # The bool edges counts as 0 or 1.
        if self.node_depth - edges > self.depth:
            self.depth, self.deepest = self.node_depth - edges, self.deepest_node
        self.node_depth = 0


@dataclass(frozen=True, slots=True)
class SelectionCounter:
    """Counts documents. ``edges_node_one_level``: ``edges`` and ``node`` in it count as one level of depth."""

    edges_node_one_level: bool = True

    def counts_of(self, document: DocumentNode, positions: Positions) -> list[SelectionCounts]:
        """The counts of each operation, then those of each fragment. With ``positions`` None, @skip and @include remove
        nothing."""
        fragments: dict[str, SelectionCounts] = {}
        # Each fragment comes after those that it spreads, so that their numbers are known here.
        for name, fragment in document.fragments.items():
            fragments[name] = self._count(fragment.selection, fragments, positions)
        operations = [self._count(item.selection, fragments, positions) for item in document.operations]
        for each in operations:
            each.below(edges=False)
        return [*operations, *fragments.values()]

    def _count(
        self, selection: SelectionNode, fragments: Mapping[str, SelectionCounts], positions: Positions
    ) -> SelectionCounts:
        total = SelectionCounts()
        for field in selection.fields:
            if field.removal and removed(field.removal, positions):
                continue
            # Most fields are leaves, and take this way without a call.
            if field.selection is None and field.name not in META_FIELDS:
                # A leaf: the deepest if nothing else stands here.
                if not total.depth:
                    total.depth, total.deepest = 1, (field.key, None)
                total.aliases += field.aliased
            else:
                total.add(self._of_field(field, fragments, positions))
        if selection.spreads or selection.inlines:
            self._add_fragments(total, selection, fragments, positions)
        return total

    def _add_fragments(
        self,
        total: SelectionCounts,
        selection: SelectionNode,
        fragments: Mapping[str, SelectionCounts],
        positions: Positions,
    ) -> None:
        for spread in selection.spreads:
            if not removed(spread.removal, positions):
                total.add(fragments[spread.name])
        for inline in selection.inlines:
            if not removed(inline.removal, positions):
                total.add(self._count(inline.selection, fragments, positions))

    def _of_field(
        self, field: FieldNode, fragments: Mapping[str, SelectionCounts], positions: Positions
    ) -> SelectionCounts:
        if field.name == "__typename":
            return SelectionCounts(aliases=field.aliased)
        inside = self._count(field.selection, fragments, positions) if field.selection else SelectionCounts()
        # An introspection has aliases and depth of its own.
        if field.name in INTROSPECTION:
            return SelectionCounts(
                meta_aliases=min(field.aliased + inside.aliases + inside.meta_aliases, MAX_COUNT),
                introspection=max(inside.lists, inside.introspection),
            )
        if inside.node_depth:
            inside.below(edges=field.name == _EDGES and self.edges_node_one_level)
        # Whether node is a level is decided by the field around it; until then its depth is kept apart.
        trail = field.key, inside.deepest
        if field.name == _NODE:
            inside.node_depth, inside.deepest_node = inside.depth + 1, trail
            inside.depth, inside.deepest = 0, None
        else:
            inside.depth, inside.deepest = inside.depth + 1, trail
        inside.aliases = min(inside.aliases + field.aliased, MAX_COUNT)
        # Each nested list multiplies the size of an introspection, so list depth is limited there.
        inside.lists += field.selection is not None and field.name in _INTROSPECTION_LISTS
        if field.name == SDL_FIELD:  # it gives away the schema, as an introspection does
            inside.introspection = max(inside.introspection, 0)
        return inside


def unfold(trail: Trail) -> tuple[str, ...]:
    """The keys of a trail, outermost first."""
    keys: list[str] = []
    while trail is not None:
        key, trail = trail
        keys.append(key)
    return tuple(keys)


Occurrences = Sequence[tuple[FieldNode, int]]
"""Fields, each with how often it stands in a selection once fragments are spread."""


def root_occurrences(document: DocumentNode, positions: Positions) -> list[Occurrences]:
    """The root fields of each operation, those in fragments included.

    A fragment counts once for each spread: some hosts run a root field as often as it stands there.
    """
    return [list(_occurrences(document, operation.selection, positions)) for operation in document.operations]


def _occurrences(
    document: DocumentNode, selection: SelectionNode, positions: Positions
) -> Iterator[tuple[FieldNode, int]]:
    times: dict[str, int] = {}
    yield from _level(selection, 1, times, positions)
    for name in reversed(document.fragments):  # reversed, so that those that spread a fragment come before it
        # By now all spreads of this fragment have been counted.
        if name in times:
            yield from _level(document.fragments[name].selection, times[name], times, positions)


def _level(
    selection: SelectionNode, times: int, spread: dict[str, int], positions: Positions
) -> Iterator[tuple[FieldNode, int]]:
    pending = [selection]
    while pending:
        selection = pending.pop()
        for field in selection.fields:
            if not removed(field.removal, positions):
                yield field, times
        for item in selection.spreads:
            if not removed(item.removal, positions):
                # Fragments that spread each other twice double at each step, so that the count is capped.
                spread[item.name] = min(spread.get(item.name, 0) + times, MAX_COUNT)
        pending.extend(
            inline.selection for inline in reversed(selection.inlines) if not removed(inline.removal, positions)
        )

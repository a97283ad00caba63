"""State of the scan: the blocks between two braces, and the response keys and aliases in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fraiseql_guard.graphql.syntax.counts import Trail


@dataclass(slots=True, eq=False)
class PrescanLevel:
    """Selections that execution merges for one object. ``keys`` has for each response key how often it stands there,
    and the level of its subfields or None. ``aliased`` counts the aliases of each field. ``typed`` has the level of
    each type condition, which are kept apart since an object may have one of the types only."""

    keys: dict[str, list[Any]] = field(default_factory=dict)
    aliased: dict[str, int] | None = None
    typed: dict[str, PrescanLevel] | None = None

    def on(self, type_name: str) -> PrescanLevel:
        """The level of the fields that are conditional on a type."""
        if self.typed is None:
            self.typed = {}
        return self.typed.setdefault(type_name, PrescanLevel())


@dataclass(slots=True, eq=False)
class AliasTotals:
    """Aliases of a definition, or of a block on a type in it: ``aliases`` outside of inner blocks on a type, ``typed``
    of the inner block that has most. ``outer`` has the totals of the block around it; None for a definition."""

    outer: AliasTotals | None = None
    aliases: int = 0
    typed: int = 0

    def close(self) -> AliasTotals:
        """The totals of the block around this one, with these taken into account."""
        outer = self.outer or AliasTotals()
        outer.typed = max(outer.typed, self.aliases + self.typed)
        return outer


@dataclass(slots=True, eq=False)
class PrescanBlock:
    """A selection between two braces. An inline fragment without a type shares the level of the block around it."""

    level: PrescanLevel
    depth: int  # of its fields; 1 at the root
    trail: Trail  # the keys that lead to it, innermost first
    certain: bool  # no directive around it can remove it
    counts: bool  # its fields are root fields of an operation
    of_edges: bool = False  # node in it adds no level of depth
    typed: bool = False  # it is an inline fragment on a type

"""The blocks of a document between two braces, as far as the tokens tell."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fraiseql_guard.graphql.syntax.counts import Trail


@dataclass(slots=True, eq=False)
class PrescanLevel:
    """Selections that execution merges for one object. ``keys`` says of each response key how often it stands there,
    and its level inside or None; ``aliased`` by field the aliases; ``typed`` holds what is conditional on a type: an
    object may be of one of them only."""

    keys: dict[str, list[Any]] = field(default_factory=dict)
    aliased: dict[str, int] | None = None
    typed: dict[str, PrescanLevel] | None = None

    def on(self, type_name: str) -> PrescanLevel:
        """What is conditional on a type."""
        if self.typed is None:
            self.typed = {}
        return self.typed.setdefault(type_name, PrescanLevel())


@dataclass(slots=True, eq=False)
class AliasTotals:
    """Aliases of a definition, or of what is conditional on a type in it: ``aliases`` of all that is not conditional on
    another type, ``typed`` the most of what is. ``outer`` are the totals of the types further out."""

    outer: AliasTotals | None = None
    aliases: int = 0
    typed: int = 0

    def close(self) -> AliasTotals:
        """What is further out, with what was found here."""
        outer = self.outer or AliasTotals()
        outer.typed = max(outer.typed, self.aliases + self.typed)
        return outer


@dataclass(slots=True, eq=False)
class PrescanBlock:
    """What stands between two braces. Inline fragments without a type share the level of what they stand in."""

    level: PrescanLevel
    depth: int  # of the fields in it
    trail: Trail  # of its keys, innermost first
    certain: bool  # no directive further out can take it away
    counts: bool  # its fields are root fields of an operation
    of_edges: bool = False  # node is no level of its own here
    typed: bool = False  # it is conditional on a type

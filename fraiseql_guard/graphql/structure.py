"""What stands side by side in a document: equal response keys, how many, and whether they contradict each other.

Counted over everything that is written, whatever @skip, @include or a type takes out later: hosts validate all of it,
and their work grows with the square of the repetitions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from fraiseql_guard.graphql.switches import Positions, removed
from fraiseql_guard.graphql.tree import Document, Field, Fragment, Selection

MAX_VISITS: Final = 20_000
"""Fields and fragments looked at in one walk. Merging selections in ever new combinations, or many fragments on an
interface of many types, could otherwise take any time."""

Collected = dict[str, list[tuple[Field, str | None]]]
"""Fields by response key, each with the innermost type that it is conditional on."""


class ContradictedError(Exception):
    """Equal response keys ask for different things."""

    def __init__(self, path: tuple[str, ...]) -> None:
        self.path = path


class TooEntangledError(Exception):
    """The selections of the document merge in more ways than anybody can look at."""


@dataclass(slots=True)
class Budget:
    """Visits that are left to one walk."""

    left: int = MAX_VISITS

    def spend(self, visits: int) -> None:
        """TooEntangledError if there is nothing left."""
        self.left -= visits
        if self.left < 0:
            raise TooEntangledError


@dataclass(frozen=True, slots=True)
class Repetition:
    """The response key that is repeated most often in one selection."""

    times: int = 0
    path: tuple[str, ...] = ()


def anything(_: str | None) -> bool:
    """Every type condition holds: what to assume without a schema."""
    return True


def collect(
    selections: tuple[Selection, ...],
    fragments: Mapping[str, Fragment],
    positions: Positions,
    applies: Callable[[str | None], bool],
    budget: Budget,
) -> Collected:
    """The fields of merged selections as execution collects them, each fragment once (GraphQL spec, CollectFields)."""
    found: Collected = {}
    spread: set[str] = set()
    pending: list[tuple[Selection, str | None]] = [(item, None) for item in reversed(selections)]
    while pending:
        selection, on = pending.pop()
        budget.spend(1 + len(selection.fields) + len(selection.inlines) + len(selection.spreads))
        for field in selection.fields:
            if not (field.removal and removed(field.removal, positions)):
                if field.key in found:
                    found[field.key].append((field, on))
                else:
                    found[field.key] = [(field, on)]
        pending += [
            (inline.selection, inline.on or on)
            for inline in selection.inlines
            if applies(inline.on) and not (inline.removal and removed(inline.removal, positions))
        ]
        for item in selection.spreads:
            fragment = fragments[item.name]
            if item.name not in spread and applies(fragment.on) and not removed(item.removal, positions):
                spread.add(item.name)
                pending.append((fragment.selection, fragment.on))
    return found


def most_repeated(document: Document) -> Repetition:
    """Walk every selection once in each way in which it is merged. ContradictedError or TooEntangledError."""
    used = {spread.name for selection in _selections(document) for spread in selection.spreads}
    roots = [item.selection for item in document.operations]
    roots += [item.selection for name, item in document.fragments.items() if name not in used]
    pending: list[tuple[tuple[Selection, ...], tuple[str, ...]]] = [((root,), ()) for root in roots]
    seen: set[frozenset[Selection]] = {frozenset((root,)) for root in roots}
    worst = Repetition()
    budget = Budget()
    while pending:
        selections, path = pending.pop()
        for key, fields in collect(selections, document.fragments, None, anything, budget).items():
            if len(fields) > 1:
                _agree(fields, (*path, key))
                if len(fields) > worst.times:
                    worst = Repetition(len(fields), (*path, key))
            children = tuple(field.selection for field, _ in fields if field.selection)
            if children and (merged := frozenset(children)) not in seen:
                seen.add(merged)
                pending.append((children, (*path, key)))
    return worst


def _agree(fields: list[tuple[Field, str | None]], path: tuple[str, ...]) -> None:
    """Fields under two different types may differ: an object can only be one of them."""
    by_type: dict[str | None, tuple[str, str]] = {}
    for field, on in fields:
        asked = (field.name, field.asks)
        if by_type.setdefault(on, asked) != asked:
            raise ContradictedError(path)
    if None in by_type and any(asked != by_type[None] for asked in by_type.values()):
        raise ContradictedError(path)


def _selections(document: Document) -> list[Selection]:
    found: list[Selection] = []
    pending = [item.selection for item in document.operations]
    pending += [item.selection for item in document.fragments.values()]
    while pending:
        selection = pending.pop()
        found.append(selection)
        pending.extend(field.selection for field in selection.fields if field.selection)
        pending.extend(inline.selection for inline in selection.inlines)
    return found

"""What stands side by side in a document: equal response keys, how many, and whether they contradict each other.

Counted over everything that is written, whatever @skip, @include or a type takes out later: hosts validate all of it,
and their work grows with the square of the repetitions.
"""

from __future__ import annotations

from dataclasses import dataclass

from fraiseql_guard.graphql.merging import Budget, Merging
from fraiseql_guard.graphql.tree import Document, Field, Selection

class ContradictedError(Exception):
    """Equal response keys ask for different things."""

    def __init__(self, path: tuple[str, ...]) -> None:
        self.path = path


@dataclass(frozen=True, slots=True)
class Repetition:
    """The response key that is repeated most often in one selection."""

    times: int = 0
    path: tuple[str, ...] = ()


def most_repeated(document: Document, merging: Merging) -> Repetition:
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
        for key, fields in merging.merged(selections, budget).fields.items():
            if len(fields) > 1:
                _agree(fields, (*path, key))
                if len(fields) > worst.times:
                    worst = Repetition(len(fields), (*path, key))
            children = tuple([field.selection for field, _ in fields if field.selection])
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

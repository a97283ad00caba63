"""What stands side by side in a document: equal response keys, how many, and whether they contradict each other.

Counted over everything that is written, whatever @skip, @include or a type takes out later: hosts validate all of it,
and their work grows with the square of the repetitions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fraiseql_guard.graphql.syntax.ast import DocumentNode, FieldNode, SelectionNode
from fraiseql_guard.graphql.syntax.field_merging import Budget, Merging


class ContradictedError(Exception):
    """Equal response keys ask for different things."""

    def __init__(self, path: tuple[str, ...]) -> None:
        self.path = path


@dataclass(frozen=True, slots=True)
class Repetition:
    """The response key that is repeated most often in one selection."""

    times: int = 0
    path: tuple[str, ...] = ()
    differs: bool = False
    """Whether any equal keys ask for different things, should all types be one."""


def most_repeated(document: DocumentNode, merging: Merging) -> Repetition:
    """Walk every selection once in each way in which it is merged. TooEntangledError; ContradictedError where it needs
    no look at types, as ``check_conflicts`` takes: equal keys of one selection below one type differ."""
    used = {spread.name for selection in merging.selections for spread in selection.spreads}
    roots = [item.selection for item in document.operations]
    roots += [item.selection for name, item in document.fragments.items() if name not in used]
    pending: list[tuple[tuple[SelectionNode, ...], frozenset[SelectionNode], tuple[str, ...]]]
    pending = [((root,), frozenset((root,)), ()) for root in roots]
    seen = {distinct for _, distinct, _ in pending}
    worst = Repetition()
    differs = False
    budget = Budget()
    while pending:
        selections, distinct, path = pending.pop()
        merged = merging.merged(selections, distinct, budget)
        for key, fields in merged.fields.items():
            if len(fields) > 1:
                if not _alike(fields):
                    differs = True
                    if len(selections) == 1 and len({on for _, on in fields}) == 1:
                        raise ContradictedError((*path, key))
                if len(fields) > worst.times:
                    worst = Repetition(len(fields), (*path, key))
        for key, children in merged.children.items():
            distinct = frozenset(children)
            if distinct not in seen:
                seen.add(distinct)
                pending.append((children, distinct, (*path, key)))
    return replace(worst, differs=True) if differs else worst


def _alike(fields: list[tuple[FieldNode, str | None]]) -> bool:
    """Whether all ask for the same, as they mostly do."""
    name, asks = fields[0][0].name, fields[0][0].asks
    return all(field.name == name and (field.asks if field.arguments else "") == asks for field, _ in fields)

"""@skip and @include: tells which selections they certainly remove from an operation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fraiseql_guard.graphql.syntax.values import Value

Removal = tuple[tuple[str | None, bool], ...]
"""The conditions of which each removes a selection: a variable with the value that does, or (None, True) for always."""
Positions = Mapping[str, bool] | None
"""The values of the switches by the variable's name; None: nothing is removed, the whole text counts."""


def switch_positions(
    switches: Iterable[str], defaults: Mapping[str, tuple[Value, ...]], sent: Mapping[str, object]
) -> dict[str, bool]:
    """The switches that are certainly true or false in a request, with their values."""
    positions: dict[str, bool] = {}
    for name in switches:
        # A document with switches has one operation (see document.py), so that there is one default at most.
        value = sent[name] if name in sent else defaults[name][0]
        # The host refuses any other value; until then nothing counts as removed.
        if isinstance(value, bool):
            positions[name] = value
    return positions


def removed(removal: Removal, positions: Positions) -> bool:
    """Whether a selection is certainly removed."""
    if not removal or positions is None:
        return False
    # A variable without a position is None here, which is neither True nor False.
    return any(name is None or positions.get(name) is taken for name, taken in removal)

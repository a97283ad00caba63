"""@skip and @include: what takes something out of an operation, and when that is certain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fraiseql_guard.graphql.syntax.values import Value

Removal = tuple[tuple[str | None, bool], ...]
"""What takes something out: a variable with the value that does, or (None, True): always."""
Positions = Mapping[str, bool] | None
"""How the switches stand; None: nothing is taken out, all that is written counts."""


def switch_positions(
    switches: Iterable[str], defaults: Mapping[str, tuple[Value, ...]], sent: Mapping[str, object]
) -> dict[str, bool]:
    """The switches that are certainly true or false in a request."""
    positions: dict[str, bool] = {}
    for name in switches:
        # A document with switches has one operation (see document.py), so that there is one default at most.
        value = sent[name] if name in sent else defaults[name][0]
        # The host refuses anything else; until then nothing counts as taken out.
        if isinstance(value, bool):
            positions[name] = value
    return positions


def removed(removal: Removal, positions: Positions) -> bool:
    """Whether something is certainly taken out."""
    if not removal or positions is None:
        return False
    # A variable without a position is None here, which is neither True nor False.
    return any(name is None or positions.get(name) is taken for name, taken in removal)

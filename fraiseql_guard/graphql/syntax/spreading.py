"""Which fragment spreads which: an order for them, or why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class OrderError(Exception):
    """A fragment that is spread does not exist, or one spreads itself."""


def in_order(inside: Mapping[str, Iterable[str]], spread: Iterable[str]) -> list[str]:
    """The names of the fragments, each after all that it spreads. ``spread`` are the names that operations spread.

    Depth first without recursion; a fragment met again while it is open spreads itself.
    """
    if any(name not in inside for names in (spread, *inside.values()) for name in names):
        raise OrderError("A fragment that is spread is not defined.")
    done: dict[str, None] = {}
    opened: set[str] = set()
    pending = list(inside)
    while pending:
        name = pending[-1]
        if name in done:
            pending.pop()
        elif name in opened:
            done[pending.pop()] = None
        else:
            opened.add(name)
            for used in inside[name]:
                if used in opened and used not in done:
                    raise OrderError("A fragment spreads itself.")
                pending.append(used)
    return list(done)

"""Walks nested lists and dicts without recursion and without looking at every plain value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

_CONTAINERS: Final = frozenset({dict, list})
_SHORT: Final = 8


def generations(value: Any) -> Iterator[list[Any]]:
    """The non-empty containers in a value, level by level: the value itself, the containers in it, those in these.
    None at all for a plain or empty value."""
    generation = [value] if type(value) in _CONTAINERS and value else []
    while generation:
        yield generation
        # Empty containers hold nothing to look at, and leaves() counts them as one value of their parent.
        generation = [item for container in generation for item in containers_of(container) if item]


def containers_of(container: Any) -> Iterable[Any]:
    """The containers directly inside of a dict or a list."""
    values = container.values() if type(container) is dict else container
    # Long containers mostly hold plain values: the test of all their types is much faster than a look at each value.
    if len(container) > _SHORT and _CONTAINERS.isdisjoint(map(type, values)):
        return ()
    return [item for item in values if type(item) is dict or type(item) is list]


def values_of(container: Any) -> Iterable[Any]:
    """The values of a dict, or the items of a list."""
    return container.values() if type(container) is dict else container


def leaves(layers: Iterable[list[Any]]) -> int:
    """The number of plain values in a value, whose ``layers`` are its :func:`generations`. An empty container counts as
    one."""
    # Every container that holds something is one value less: its own values stand for it.
    return 1 + sum([len(container) - 1 for layer in layers for container in layer])

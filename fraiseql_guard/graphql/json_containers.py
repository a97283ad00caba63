"""Lists and dicts inside each other, looked through without recursion and without looking at every plain value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

_CONTAINERS: Final = frozenset({dict, list})
_SHORT: Final = 8


def generations(value: Any) -> Iterator[list[Any]]:
    """The containers in a value that hold something: itself, then those directly inside, then those inside these."""
    generation = [value] if type(value) in _CONTAINERS and value else []
    while generation:
        yield generation
        # Empty containers hold nothing to look at, and leaves() counts them as one value of their parent.
        generation = [item for container in generation for item in containers_of(container) if item]


def containers_of(container: Any) -> Iterable[Any]:
    """The containers directly inside of one."""
    values = container.values() if type(container) is dict else container
    # Long ones mostly hold none: to ask for the types of all values costs a fraction of looking at each.
    if len(container) > _SHORT and _CONTAINERS.isdisjoint(map(type, values)):
        return ()
    return [item for item in values if type(item) is dict or type(item) is list]


def values_of(container: Any) -> Iterable[Any]:
    """What a dict or a list holds."""
    return container.values() if type(container) is dict else container


def leaves(layers: Iterable[list[Any]]) -> int:
    """Values in the generations of one that hold no others; an empty container is one."""
    # Every container that holds something is one value less: its own values stand for it.
    return 1 + sum([len(container) - 1 for layer in layers for container in layer])

"""Dictionaries of bounded size that forget what was not touched for longest."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from itertools import chain
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The ``size`` entries that were read or written last. Every operation is O(1).

    What every request asks is the dictionary's own, with no function of ours in between.
    """

    __slots__ = ("_entries", "_size", "count", "holds", "look")

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"size is {size}, and must be at least 1")
        self._size = size
        entries = self._entries = OrderedDict[K, V]()
        self.look: Callable[[K], V | None] = entries.get
        """The value, which does not count as touched; None if there is none."""
        self.holds: Callable[[K], bool] = entries.__contains__
        """Whether there is a value, which does not count as touched."""
        self.count: Callable[[], int] = entries.__len__
        """How many entries there are."""

    def get(self, key: K) -> V | None:
        """The value, which counts as touched; None if there is none."""
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        """Write a value; the oldest entry goes if there is no room."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def pop(self, key: K) -> V | None:
        """Remove and return a value; None if there is none."""
        return self._entries.pop(key, None)

    def pop_oldest(self) -> None:
        """Remove the entry that was not touched for longest, if there is any."""
        if self._entries:
            self._entries.popitem(last=False)

    def oldest(self, count: int) -> list[tuple[K, V]]:
        """The entries that were not touched for longest."""
        return [item for item, _ in zip(self._entries.items(), range(count), strict=False)]

    def items(self) -> Iterator[tuple[K, V]]:
        """All entries, oldest first."""
        return iter(self._entries.items())

    def values(self) -> list[V]:
        """A copy of all values, in no order: the dictionary's own, which takes a hundredth of the time of ``items``."""
        return list(dict.values(self._entries))

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()

    def __contains__(self, key: K) -> bool:
        return self.holds(key)

    def __len__(self) -> int:
        return self.count()


class RecentByRank(Generic[K, V]):
    """The ``size`` entries that were read or written last, but that an entry put ``above`` goes after all others.

    Every operation is O(1), counted over both ranks.
    """

    __slots__ = ("_above", "_below", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._above: Recent[K, V] = Recent(size)
        self._below: Recent[K, V] = Recent(size)

    def get(self, key: K) -> V | None:
        """The value, which counts as touched; None if there is none."""
        value = self._below.get(key)
        return self._above.get(key) if value is None else value

    def look(self, key: K) -> V | None:
        """The value, which does not count as touched; None if there is none."""
        value = self._below.look(key)
        return self._above.look(key) if value is None else value

    def put(self, key: K, value: V, *, above: bool) -> None:
        """Write a value; if there is no room, the oldest of the others goes, or the oldest of all if all are above."""
        into, other = (self._above, self._below) if above else (self._below, self._above)
        other.pop(key)
        into.put(key, value)
        if self.count() > self._size:
            (self._below if self._below.count() else self._above).pop_oldest()

    def pop(self, key: K) -> V | None:
        """Remove and return a value; None if there is none."""
        value = self._below.pop(key)
        return self._above.pop(key) if value is None else value

    def oldest(self, count: int) -> list[tuple[K, V]]:
        """The entries of each rank that were not touched for longest."""
        return self._below.oldest(count) + self._above.oldest(count)

    def items(self) -> Iterator[tuple[K, V]]:
        """All entries, those above first, else oldest first."""
        return chain(self._above.items(), self._below.items())

    def values(self) -> list[V]:
        """A copy of all values, in no order (``Recent.values``)."""
        return self._above.values() + self._below.values()

    def count(self) -> int:
        """How many entries there are."""
        return self._above.count() + self._below.count()

    def __len__(self) -> int:
        return self.count()

"""Caches of bounded size, which drop the entries that were not used for longest."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from itertools import chain, islice
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Lru(Generic[K, V]):
    """The ``max_entries`` entries that were used last, of at most ``max_bytes`` if all are put with their size.

    Entries are used by :meth:`get` and when they are put. A memory that is only asked by ``look`` keeps what was put
    last; one with no room for any keeps nothing. Every operation is O(1). What every request asks is the dictionary's
    own, with no function of ours in between.
    """

    __slots__ = ("_bytes", "_entries", "_max_bytes", "_max_entries", "_sizes", "count", "holds", "look")

    def __init__(self, max_entries: int, *, max_bytes: int = 0) -> None:
        if max_entries < 0:
            raise ValueError(f"max_entries is {max_entries}, and must not be negative")
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        entries = self._entries = OrderedDict[K, V]()
        self._sizes: dict[K, int] = {}
        self._bytes = 0
        self.look: Callable[[K], V | None] = entries.get
        """The value, which does not count as used; None if there is none."""
        self.holds: Callable[[K], bool] = entries.__contains__
        """Whether there is a value, which does not count as used."""
        self.count: Callable[[], int] = entries.__len__
        """How many entries there are."""

    @property
    def size_bytes(self) -> int:
        """The sizes of all entries, as they were given."""
        return self._bytes

    def get(self, key: K) -> V | None:
        """The value, which counts as used; None if there is none."""
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        """Write a value; the oldest entry goes if there is no room."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

    def put_sized(self, key: K, value: V, size_bytes: int) -> None:
        """Write a value of a size, which is the caller's estimate; the oldest entries go if there is no room. A value
        that has none by itself is not kept."""
        if size_bytes > self._max_bytes:
            return
        self.pop(key)
        self._entries[key] = value
        self._sizes[key] = size_bytes
        self._bytes += size_bytes
        # One large entry may push out several small ones.
        while len(self._entries) > self._max_entries or self._bytes > self._max_bytes:
            self.pop_oldest()

    def pop(self, key: K) -> V | None:
        """Remove and return a value; None if there is none."""
        # Most caches are bounded by number alone, and pay for no second look.
        if self._sizes:
            self._bytes -= self._sizes.pop(key, 0)
        return self._entries.pop(key, None)

    def pop_oldest(self) -> None:
        """Remove the entry that was not used for longest, if there is any."""
        if self._entries:
            key, _ = self._entries.popitem(last=False)
            self._bytes -= self._sizes.pop(key, 0)

    def oldest(self, count: int) -> list[tuple[K, V]]:
        """The entries that were not used for longest."""
        return list(islice(self._entries.items(), count))

    def items(self) -> Iterator[tuple[K, V]]:
        """All entries, oldest first."""
        return iter(self._entries.items())

    def values(self) -> list[V]:
        """A copy of all values, in no order: the dictionary's own, which takes a hundredth of the time of ``items``."""
        return list(dict.values(self._entries))

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._sizes.clear()
        self._bytes = 0

    def __contains__(self, key: K) -> bool:
        return self.holds(key)

    def __len__(self) -> int:
        return self.count()


class RankedLru(Generic[K, V]):
    """The ``max_entries`` entries that were used last, but that an entry put ``above`` goes after all others.

    Every operation is O(1), counted over both ranks.
    """

    __slots__ = ("_above", "_below", "_max_entries")

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._above: Lru[K, V] = Lru(max_entries)
        self._below: Lru[K, V] = Lru(max_entries)

    def get(self, key: K) -> V | None:
        """The value, which counts as used; None if there is none."""
        value = self._below.get(key)
        return self._above.get(key) if value is None else value

    def look(self, key: K) -> V | None:
        """The value, which does not count as used; None if there is none."""
        value = self._below.look(key)
        return self._above.look(key) if value is None else value

    def put(self, key: K, value: V, *, above: bool) -> None:
        """Write a value; if there is no room, the oldest of the others goes, or the oldest of all if all are above."""
        into, other = (self._above, self._below) if above else (self._below, self._above)
        # A key stands in one rank at a time.
        other.pop(key)
        into.put(key, value)
        if self.count() > self._max_entries:
            (self._below if self._below.count() else self._above).pop_oldest()

    def pop(self, key: K) -> V | None:
        """Remove and return a value; None if there is none."""
        value = self._below.pop(key)
        return self._above.pop(key) if value is None else value

    def oldest(self, count: int) -> list[tuple[K, V]]:
        """The entries of each rank that were not used for longest."""
        return self._below.oldest(count) + self._above.oldest(count)

    def items(self) -> Iterator[tuple[K, V]]:
        """All entries, those above first, else oldest first."""
        return chain(self._above.items(), self._below.items())

    def values(self) -> list[V]:
        """A copy of all values, in no order (``Lru.values``)."""
        return self._above.values() + self._below.values()

    def count(self) -> int:
        """How many entries there are."""
        return self._above.count() + self._below.count()

    def __len__(self) -> int:
        return self.count()


class Memo(dict[K, V], Generic[K, V]):
    """What ``ask`` answers, kept for up to ``max_entries`` keys: ``memo[key]``, at the price of a dictionary's look.

    For answers that are cheap to make again: when it is full, everything is forgotten. ``keeps`` says whether the
    answer for a key is to be kept at all, where keys of any length may come.
    """

    __slots__ = ("_ask", "_keeps", "_max_entries")

    def __init__(self, ask: Callable[[K], V], max_entries: int, *, keeps: Callable[[K], bool] = lambda _: True) -> None:
        super().__init__()
        self._ask = ask
        self._max_entries = max_entries
        self._keeps = keeps

    def __missing__(self, key: K) -> V:
        answer = self._ask(key)
        if self._keeps(key):
            # Emptying is rarer, and in sum cheaper, than keeping an order.
            if len(self) >= self._max_entries:
                self.clear()
            self[key] = answer
        return answer

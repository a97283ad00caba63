"""What was measured before; bounded, the least used leave first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memory(Generic[K, V]):
    """A bounded map. Sizes are the caller's estimate, in bytes."""

    __slots__ = ("_bytes", "_entries", "_max_bytes", "_max_entries")

    def __init__(self, *, max_entries: int, max_bytes: int) -> None:
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """Estimated bytes held."""
        return self._bytes

    def get(self, key: K) -> V | None:
        """The value, which is thereby the most recently used."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: K, value: V, size_bytes: int) -> None:
        """Remember a value, and forget the least recently used ones beyond the bounds."""
        if size_bytes > self._max_bytes:
            return
        _, old_size = self._entries.pop(key, (None, 0))
        self._entries[key] = value, size_bytes
        self._bytes += size_bytes - old_size
        while len(self._entries) > self._max_entries or self._bytes > self._max_bytes:
            _, (_, size) = self._entries.popitem(last=False)
            self._bytes -= size

    def items(self) -> list[tuple[K, V]]:
        """All entries, the least recently used first, as they are now."""
        return [(key, value) for key, (value, _) in self._entries.items()]

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._bytes = 0

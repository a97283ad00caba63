"""The caches of a process: how much they hold, and how they are emptied. The guard's own and those of the app."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

Size = Callable[[], int]
"""Bytes that a cache holds. Called every few seconds: a counter that the cache keeps, or an estimate."""
Clear = Callable[[], Any]
"""Empties a cache, here and now."""


class Cache(Protocol):
    """A cache that knows both by itself."""

    @property
    def size_bytes(self) -> int:
        """Estimated bytes held."""
        ...

    def forget(self) -> None:
        """Empty it."""
        ...


@dataclass(frozen=True, slots=True)
class _Entry:
    size: Size
    clear: Clear | None


class Caches:
    """Caches by name; a name that is given again replaces the former one."""

    __slots__ = ("_entries", "_reported")

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._reported: set[str] = set()

    def observe(self, name: str, size: Size, clear: Clear | None = None) -> None:
        """Count a cache from now on. TypeError if size or clear is no plain function."""
        for what, value in {"size": size, **({} if clear is None else {"clear": clear})}.items():
            if not callable(value) or inspect.iscoroutinefunction(value):
                shown = "a coroutine function" if callable(value) else type(value).__name__
                raise TypeError(f"{what} of the cache {name!r} is {shown}, and must be a plain function")
        self._entries[name] = _Entry(size, clear)
        self._reported.discard(name)

    def own(self, name: str, cache: Cache) -> None:
        """Count one of the guard's own."""
        self.observe(f"guard.{name}", lambda: cache.size_bytes, cache.forget)

    def size_bytes(self, on_problem: Callable[[str], None]) -> int:
        """All together. One that cannot tell counts 0, and is complained about once until it tells again."""
        total = 0
        for name, entry in list(self._entries.items()):
            try:
                total += max(0, int(entry.size()))
            except Exception as error:  # noqa: BLE001 - the app's code: whatever it does, a scrape goes on
                if name not in self._reported:
                    self._reported.add(name)
                    on_problem(f"the cache {name!r} does not tell its size ({type(error).__name__}): it counts as 0")
            else:
                self._reported.discard(name)
        return total

    def clear_all(self, on_problem: Callable[[str], None]) -> list[str]:
        """Empty all that can be emptied; return their names. One that fails keeps no other from it."""
        cleared = []
        for name, entry in list(self._entries.items()):
            if entry.clear is None:
                continue
            try:
                entry.clear()
            except Exception as error:  # noqa: BLE001 - the app's code
                on_problem(f"the cache {name!r} could not be cleared ({type(error).__name__})")
            else:
                cleared.append(name)
        return cleared

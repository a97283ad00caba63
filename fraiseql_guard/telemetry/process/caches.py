"""The caches of a process, the guard's own and the app's: how much memory they hold, and how they are cleared."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

Size = Callable[[], int]
"""Returns the bytes that a cache holds, counted or estimated. Called every few seconds."""
Clear = Callable[[], Any]
"""Clears a cache at once."""
_OWN: Final = "guard."
"""Begins the names of the guard's own caches."""


class Cache(Protocol):
    """A cache of the guard's own."""

    @property
    def size_bytes(self) -> int:
        """The bytes that the cache holds, estimated."""
        ...

    def forget(self) -> None:
        """Clear it."""
        ...


@dataclass(frozen=True, slots=True)
class _Entry:
    size: Size
    clear: Clear | None


class Caches:
    """The caches of a process by name. A new cache replaces an earlier one of its name."""

    __slots__ = ("_entries", "_reported")

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._reported: set[str] = set()

    def observe(self, name: str, size: Size, clear: Clear | None = None) -> None:
        """Include a cache of the app's from now on. TypeError if ``size`` or ``clear`` is not a plain function."""
        # A coroutine function would return a coroutine, which is no number and clears nothing.
        for what, value in {"size": size, **({} if clear is None else {"clear": clear})}.items():
            if not callable(value) or inspect.iscoroutinefunction(value):
                shown = "a coroutine function" if callable(value) else type(value).__name__
                raise TypeError(f"{what} of the cache {name!r} is {shown}, and must be a plain function")
        self._entries[name] = _Entry(size, clear)
        self._reported.discard(name)

    def own(self, name: str, cache: Cache) -> None:
        """Include a cache of the guard's own."""
        self.observe(f"{_OWN}{name}", lambda: cache.size_bytes, cache.forget)

    def size_bytes(self, on_problem: Callable[[str], None]) -> int:
        """The bytes of all caches together. A cache whose size cannot be read counts 0, and ``on_problem`` is called
        with a sentence about it: once, until its size can be read again."""
        total = 0
        # A copy: the app may register another cache from a thread meanwhile.
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

    def clear_own(self, on_problem: Callable[[str], None]) -> list[str]:
        """Clear the guard's own caches, as :meth:`clear_all` does; returns their names."""
        return self.clear_all(on_problem, beginning=_OWN)

    def clear_all(self, on_problem: Callable[[str], None], *, beginning: str = "") -> list[str]:
        """Clear every cache that can be cleared and whose name has this beginning; returns their names. ``on_problem``
        is called with a sentence about each cache that fails."""
        cleared = []
        for name, entry in list(self._entries.items()):
            if entry.clear is None or not name.startswith(beginning):
                continue
            try:
                entry.clear()
            except Exception as error:  # noqa: BLE001 - the app's code
                on_problem(f"the cache {name!r} could not be cleared ({type(error).__name__})")
            else:
                cleared.append(name)
        return cleared

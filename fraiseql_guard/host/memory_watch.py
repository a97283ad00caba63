"""Says once when memory passes a threshold, and remembers the last look for whoever needs it at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from fraiseql_guard.host.memory import Memory, read_memory

HYSTERESIS_PERCENT: Final = 5.0
"""A threshold that was passed is passed again only after use has fallen this far below it."""


class MemoryObserver(Protocol):
    """Who hears of memory."""

    def memory_used(self, memory: Memory) -> None:
        """Every look."""
        ...

    def memory_high(self, memory: Memory, threshold_percent: float) -> None:
        """Use has passed the first threshold."""
        ...

    def memory_critical(self, memory: Memory) -> None:
        """Use has passed the second threshold."""
        ...


class Threshold:
    """A line that is passed upwards once, until use has fallen well below it again."""

    __slots__ = ("_above", "percent")

    def __init__(self, percent: float) -> None:
        self.percent = percent
        self._above = False

    def passed(self, percent: float) -> bool:
        """Whether this look is the one that finds use above the line for the first time."""
        if self._above:
            self._above = percent > self.percent - HYSTERESIS_PERCENT
            return False
        self._above = percent >= self.percent
        return self._above


class MemoryWatch:
    """Looks when it is told to, with ``read``, which returns None where the system does not tell."""

    __slots__ = ("_critical", "_high", "memory", "percent", "read")

    def __init__(
        self,
        *,
        high_percent: float,
        critical_percent: float,
        read: Callable[[], Memory | None] = read_memory,
    ) -> None:
        self.read = read
        self._high = Threshold(high_percent)
        self._critical = Threshold(critical_percent)
        self.memory: Memory | None = None
        self.percent = 0.0
        """Of the last look; 0 if nothing is known."""

    def look(self, observer: MemoryObserver) -> None:
        """Measure now, and tell the observer."""
        memory = self.memory = self.read()
        self.percent = memory.percent if memory is not None else 0.0
        if memory is None:
            return
        observer.memory_used(memory)
        if self._high.passed(memory.percent):
            observer.memory_high(memory, self._high.percent)
        if self._critical.passed(memory.percent):
            observer.memory_critical(memory)

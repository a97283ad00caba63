"""Reports once when memory passes a threshold, and keeps the last measurement for callers that cannot wait.

Each worker reports by itself, also where several share the memory of a container.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from fraiseql_guard.telemetry.process.memory import Memory, read_memory

HYSTERESIS_PERCENT: Final = 5.0
"""A threshold that was passed is reported again only after use has fallen so far below it."""


class MemoryObserver(Protocol):
    """Receives what a MemoryWatch measures."""

    def memory_used(self, memory: Memory) -> None:
        """Each measurement."""
        ...

    def memory_high(self, memory: Memory, threshold_percent: float) -> None:
        """Use has passed the first threshold."""
        ...

    def memory_critical(self, memory: Memory) -> None:
        """Use has passed the second threshold."""
        ...


class MemoryWatch:
    """Measures when :meth:`look` is called, with ``read``, which returns None where the system does not tell."""

    __slots__ = ("_critical_percent", "_high_percent", "_passed", "memory", "percent", "read")

    def __init__(
        self,
        *,
        high_percent: float,
        critical_percent: float,
        read: Callable[[], Memory | None] = read_memory,
    ) -> None:
        self.read = read
        self._high_percent = high_percent
        self._critical_percent = critical_percent
        self._passed: frozenset[str] = frozenset()
        self.memory: Memory | None = None
        self.percent = 0.0
        """The used part of the limit in the last measurement, in percent; 0 if not known."""

    def look(self, observer: MemoryObserver) -> None:
        """Measure now, and report to the observer."""
        memory = self.memory = self.read()
        # Checks read this number with each request: to measure each time would cost too much.
        self.percent = memory.percent if memory is not None else 0.0
        if memory is None:
            return
        observer.memory_used(memory)
        before = self._passed
        # Report the thresholds that were not passed at the last look.
        now = frozenset(name for name, percent in self._thresholds() if _is_above(memory, percent, name in before))
        if "high" in now - before:
            observer.memory_high(memory, self._high_percent)
        if "critical" in now - before:
            observer.memory_critical(memory)
        self._passed = now

    def _thresholds(self) -> tuple[tuple[str, float], ...]:
        return ("high", self._high_percent), ("critical", self._critical_percent)


def _is_above(memory: Memory, percent: float, was_above: bool) -> bool:
    """Whether use is above a threshold. A threshold that was passed (``was_above``) counts as passed until use has
    fallen HYSTERESIS_PERCENT below it."""
    # Without the margin, use that swings around a threshold would report at each swing.
    return memory.percent > percent - HYSTERESIS_PERCENT if was_above else memory.percent >= percent

"""The parts that watch a process for as long as its guard lives, and the observer that they report to."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.telemetry.process.caches import Caches
from fraiseql_guard.telemetry.process.fact_sources import FactSources
from fraiseql_guard.telemetry.process.memory_watch import MemoryObserver, MemoryWatch
from fraiseql_guard.telemetry.process.periodic_task import PeriodicTask


class ProcessObserver(MemoryObserver, Protocol):
    """Receives what a :class:`ProcessMonitor` measures."""

    def caches_hold(self, size_bytes: int) -> None:
        """The bytes that all caches of this process hold together."""
        ...

    def warn(self, sentence: str) -> None:
        """A sentence about something that an operator should look at."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessMonitor:
    """Memory, caches and facts of one process. A guard that takes over another one inherits its monitor."""

    memory: MemoryWatch
    caches: Caches = field(default_factory=Caches)
    fact_sources: FactSources = field(default_factory=FactSources)
    periodic_task: PeriodicTask = field(default_factory=PeriodicTask)

    @classmethod
    def of(cls, settings: Settings, inner: ProcessMonitor | None = None) -> ProcessMonitor:
        """The monitor of a new guard. It keeps the caches and fact sources that the app registered with ``inner``."""
        watch = MemoryWatch(
            high_percent=settings.memory_high_percent,
            critical_percent=settings.memory_critical_percent,
        )
        # The task is a new one, since it works for the settings of this guard.
        return cls(memory=watch) if inner is None else replace(inner, memory=watch, periodic_task=PeriodicTask())

    def look(self, observer: ProcessObserver) -> None:
        """Measure memory and caches, and report them. Cheap enough for every few seconds and every scrape."""
        self.memory.look(observer)
        observer.caches_hold(self.caches.size_bytes(observer.warn))

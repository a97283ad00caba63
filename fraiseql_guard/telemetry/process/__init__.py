"""What a guard knows of the process and the machine that it runs in: memory, caches, garbage, health.

Lives as long as the guard itself, whatever becomes of its gates; everything here happens beside the requests.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.telemetry.process.caches import Caches
from fraiseql_guard.telemetry.process.fact_sources import POOL, FactSources
from fraiseql_guard.telemetry.process.memory import Memory
from fraiseql_guard.telemetry.process.memory_watch import MemoryObserver, MemoryWatch
from fraiseql_guard.telemetry.process.periodic_task import PeriodicTask

__all__ = ["POOL", "Caches", "FactSources", "Host", "HostObserver", "Memory", "MemoryWatch", "PeriodicTask"]


class HostObserver(MemoryObserver, Protocol):
    """Who hears what the host holds."""

    def caches_hold(self, size_bytes: int) -> None:
        """All caches of this process together."""
        ...

    def warn(self, sentence: str) -> None:
        """Something deserves a look."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The long-lived parts, made once and handed on when one guard takes over another."""

    memory: MemoryWatch
    caches: Caches = field(default_factory=Caches)
    providers: FactSources = field(default_factory=FactSources)
    ticker: PeriodicTask = field(default_factory=PeriodicTask)

    @classmethod
    def of(cls, settings: Settings, inner: Host | None = None) -> Host:
        """The host of a new guard. One that it takes over brings along what the app has told it."""
        watch = MemoryWatch(
            high_percent=settings.memory_high_percent,
            critical_percent=settings.memory_critical_percent,
        )
        return cls(memory=watch) if inner is None else replace(inner, memory=watch, ticker=PeriodicTask())

    def look(self, observer: HostObserver) -> None:
        """Measure what is held now. Cheap enough for every few seconds and every scrape."""
        self.memory.look(observer)
        observer.caches_hold(self.caches.size_bytes(observer.warn))

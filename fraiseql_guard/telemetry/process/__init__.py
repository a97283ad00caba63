"""What the guard measures of its own process: memory, caches, garbage collection, health.

All of it runs beside the requests. A :class:`ProcessMonitor` lives as long as its guard, and keeps what the app has
registered when the settings change.
"""

from fraiseql_guard.telemetry.process.fact_sources import POOL
from fraiseql_guard.telemetry.process.memory import Memory
from fraiseql_guard.telemetry.process.monitor import ProcessMonitor, ProcessObserver

__all__ = ["POOL", "Memory", "ProcessMonitor", "ProcessObserver"]

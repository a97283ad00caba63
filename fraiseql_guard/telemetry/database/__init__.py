"""What the app's database does, told by the app: its pools, and each statement with its duration."""

from __future__ import annotations

from fraiseql_guard.telemetry.database.pools import PoolState
from fraiseql_guard.telemetry.database.signals import DatabaseSignals, Timed

__all__ = ["DatabaseSignals", "PoolState", "Timed"]

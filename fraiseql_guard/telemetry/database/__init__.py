"""What the app reports of its database: how full its connection pools are, and each statement with its duration.

``signals`` takes the reports; ``pools`` reads connection pools; ``statements`` and ``sql_tokens`` find out what a
statement does to which table.
"""

from fraiseql_guard.telemetry.database.pools import PoolState
from fraiseql_guard.telemetry.database.signals import DatabaseSignals, Timed

__all__ = ["DatabaseSignals", "PoolState", "Timed"]

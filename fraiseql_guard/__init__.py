"""fraiseql-guard: protections and operational signals for GraphQL on ASGI."""

from fraiseql_guard.database import DatabaseSignals
from fraiseql_guard.guard import (
    AuthMiddleware,
    Guard,
    MetricsMiddleware,
    QueryLimitMiddleware,
    QueryTimeoutMiddleware,
    RateLimitMiddleware,
)
from fraiseql_guard.lockouts import Lockout
from fraiseql_guard.reports import Logins, logins
from fraiseql_guard.request import guard_deadline, guard_request_id
from fraiseql_guard.settings import Settings, SettingsError

__all__ = [
    "AuthMiddleware",
    "DatabaseSignals",
    "Guard",
    "Lockout",
    "Logins",
    "MetricsMiddleware",
    "QueryLimitMiddleware",
    "QueryTimeoutMiddleware",
    "RateLimitMiddleware",
    "Settings",
    "SettingsError",
    "guard_deadline",
    "guard_request_id",
    "logins",
]

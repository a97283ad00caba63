"""fraiseql-guard: protections and operational signals for GraphQL on ASGI."""

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
from fraiseql_guard.settings import Settings, SettingsError

__all__ = [
    "AuthMiddleware",
    "Guard",
    "Lockout",
    "Logins",
    "MetricsMiddleware",
    "QueryLimitMiddleware",
    "QueryTimeoutMiddleware",
    "RateLimitMiddleware",
    "Settings",
    "SettingsError",
    "logins",
]

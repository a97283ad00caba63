"""fraiseql-guard: protections and operational signals for GraphQL on ASGI."""

from typing import TYPE_CHECKING

from fraiseql_guard.core.first_use import on_first_use

if TYPE_CHECKING:
    from fraiseql_guard.asgi.guard import (
        AuthMiddleware,
        Guard,
        MetricsMiddleware,
        QueryLimitMiddleware,
        QueryTimeoutMiddleware,
        RateLimitMiddleware,
    )
    from fraiseql_guard.asgi.limits import BucketState, Charged, Limits, limits
    from fraiseql_guard.asgi.logins import Logins, logins
    from fraiseql_guard.checks.lockouts import Lockout
    from fraiseql_guard.core.notices import RefusalNotice, SanctionNotice
    from fraiseql_guard.core.refusal_facts import RefusalBody, RefusalFacts
    from fraiseql_guard.core.request import guard_deadline, guard_request_id
    from fraiseql_guard.core.settings import Settings
    from fraiseql_guard.core.variables import SettingsError
    from fraiseql_guard.identity.api_keys import ApiKey
    from fraiseql_guard.telemetry.database import DatabaseSignals

__all__ = [
    "ApiKey",
    "AuthMiddleware",
    "BucketState",
    "Charged",
    "DatabaseSignals",
    "Guard",
    "Limits",
    "Lockout",
    "Logins",
    "MetricsMiddleware",
    "QueryLimitMiddleware",
    "QueryTimeoutMiddleware",
    "RateLimitMiddleware",
    "RefusalBody",
    "RefusalFacts",
    "RefusalNotice",
    "SanctionNotice",
    "Settings",
    "SettingsError",
    "guard_deadline",
    "guard_request_id",
    "limits",
    "logins",
]

# The modules above once more. Every module of the package imports this one, the command's and pytest's plugin among
# them: only who uses a guard loads it.
__getattr__ = on_first_use(
    __name__,
    {
        "asgi.guard": (
            "AuthMiddleware",
            "Guard",
            "MetricsMiddleware",
            "QueryLimitMiddleware",
            "QueryTimeoutMiddleware",
            "RateLimitMiddleware",
        ),
        "asgi.limits": ("BucketState", "Charged", "Limits", "limits"),
        "asgi.logins": ("Logins", "logins"),
        "checks.lockouts": ("Lockout",),
        "core.notices": ("RefusalNotice", "SanctionNotice"),
        "core.refusal_facts": ("RefusalBody", "RefusalFacts"),
        "core.request": ("guard_deadline", "guard_request_id"),
        "core.settings": ("Settings",),
        "core.variables": ("SettingsError",),
        "identity.api_keys": ("ApiKey",),
        "telemetry.database": ("DatabaseSignals",),
    },
)

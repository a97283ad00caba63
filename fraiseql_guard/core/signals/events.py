"""Log lines about requests, and about what happens to the guard: the runbooks' names, and ours (``guard.``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of log line. ``fields`` are the keys of its context; ``always`` lines outlive every flood."""

    name: str
    level: str
    message: str
    fields: tuple[str, ...]
    always: bool = False


QUERY_TEXT: Final = "query_text"
"""Field of a refusal's line that carries the text of its document, where that is asked for."""

MEASURES: Final = "measures"
"""Field of the line of an answered GraphQL request that carries what was measured of it, where that is asked for."""

_WHO = ("user_id", "ip_address")

# Requests, authentication and sanctions, by the runbooks' names.
HTTP_REQUEST = Event(
    "http.request",
    "INFO",
    "HTTP request answered",
    (*_WHO, "endpoint", "status", "user_agent", "request_size_bytes"),
)
RATE_LIMIT = Event(
    "security.rate_limit",
    "WARNING",
    "Rate limit exceeded",
    (*_WHO, "endpoint", "limit", "window_seconds", "current_count", "exceeded_by", "user_agent"),
)
RATE_LIMIT_ABUSE = Event(
    "security.rate_limit_abuse",
    "ERROR",
    "Repeated rate limit violations: caller blocked",
    (*_WHO, "violations_count", "time_window_minutes", "action"),
    always=True,
)
AUTH_FAILURE = Event(
    "security.auth_failure",
    "WARNING",
    "Authentication failed",
    (*_WHO, "failure_reason", "token_prefix", "endpoint", "user_agent"),
)
AUTH_SUCCESS_EVENT = Event("security.auth_success", "INFO", "Authentication succeeded", (*_WHO, "endpoint"))
TOKEN_EXPIRED = Event(
    "security.token_expired",
    "WARNING",
    "Token expired",
    (*_WHO, "token_issued_at", "token_expires_at", "current_time"),
)
BRUTE_FORCE_DETECTED = Event(
    "security.brute_force_detected",
    "ERROR",
    "Repeated failed authentications: caller blocked",
    (*_WHO, "failed_attempts", "time_window_seconds", "action"),
    always=True,
)
DOS_DETECTED = Event(
    "security.dos_detected",
    "CRITICAL",
    "Repeated expensive queries: caller blocked",
    (*_WHO, "expensive_queries_count", "time_window_seconds", "action"),
    always=True,
)
# Operations and database statements.
EXPENSIVE_QUERY = Event(
    "graphql.expensive_query",
    "WARNING",
    "GraphQL operation over its limits",
    (*_WHO, "query_complexity", "max_complexity", "query_depth", "max_depth", "query_hash"),
)
SLOW_QUERY = Event(
    "database.slow_query",
    "WARNING",
    "Slow database query",
    ("query_duration_ms", "query_type", "table_name", "threshold_ms", "user_id"),
)
DB_QUERY_TIMEOUT = Event(
    "database.query_timeout",
    "ERROR",
    "Query stopped at its deadline",
    ("query_duration_ms", "timeout_ms", "query_type", "table_name", "user_id"),
)
# Memory.
HIGH_MEMORY = Event(
    "system.high_memory",
    "WARNING",
    "Memory use is high",
    ("memory_used_bytes", "memory_limit_bytes", "memory_usage_percent", "threshold_percent"),
)
MEMORY_CRITICAL = Event(
    "system.memory_critical",
    "ERROR",
    "Memory use is critical",
    ("memory_used_bytes", "memory_limit_bytes", "memory_usage_percent", "swap_used_bytes"),
)
# The guard's own: refusals and logins.
REQUEST_REFUSED = Event(
    "guard.request_refused",
    "WARNING",
    "Request refused",
    (*_WHO, "endpoint", "code", "status", "protection", "detail", "user_agent"),
)
LOGIN_FAILED = Event(
    "guard.login_failed",
    "WARNING",
    "The app reported a failed login",
    (*_WHO, "endpoint", "user_agent"),
)
LOGIN_SUCCEEDED = Event("guard.login_succeeded", "INFO", "The app reported a successful login", (*_WHO, "endpoint"))
# Start and configuration.
STARTED = Event(
    "guard.started", "INFO", "Guard started", ("protections", "mode", "store", "graphql_paths"), always=True
)
START_FAILED = Event(
    "guard.start_failed",
    "CRITICAL",
    "Guard cannot use its configuration, and serves nothing",
    ("detail",),
    always=True,
)
CONFIGURATION = Event("guard.configuration", "WARNING", "Configuration deserves a look", ("detail",), always=True)
OVERRIDDEN = Event(
    "guard.overridden", "WARNING", "Settings in force were changed by an operator", ("overrides",), always=True
)
COMMANDED = Event("guard.commanded", "INFO", "An operator's command was carried out", ("command", "actor"), always=True)
# Faults, the store, keys.
FAULT_SEEN = Event("guard.fault", "ERROR", "Unexpected error inside the guard", ("part", "error"))
STORE_FAILED = Event(
    "guard.store_failed", "ERROR", "Store does not answer", ("reason", "detail", "policy", "breaker_open")
)
STORE_UNREADABLE_SEEN = Event(
    "guard.store_unreadable",
    "WARNING",
    "Guard ignores an entry in the store that other software wrote",
    ("family", "detail"),
    always=True,
)
STORE_RECOVERED = Event("guard.store_recovered", "INFO", "Store answers again", ("outage_seconds",), always=True)
KEY_SOURCE_FAILED = Event(
    "guard.key_source_failed",
    "ERROR",
    "Keys that verify tokens cannot be read",
    ("source", "detail", "older_keys_in_force"),
    always=True,
)
KEY_SOURCE_RECOVERED = Event(
    "guard.key_source_recovered", "INFO", "Keys can be read again", ("source", "outage_seconds"), always=True
)
# What the app and its surroundings do.
SHARED_PEER_SEEN = Event(
    "guard.shared_peer",
    "ERROR",
    "An untrusted proxy hides the callers' addresses",
    ("ip_address", "header", "variable"),
    always=True,
)
HOST_SECURITY = Event(
    "guard.host_security_event",
    "WARNING",
    "The app's own security log reports an event",
    (*_WHO, "type", "severity", "reason", "resource"),
)
REQUEST_ABANDONED = Event(
    "guard.request_abandoned",
    "ERROR",
    "The app goes on after it was cancelled at the deadline",
    ("user_id", "endpoint", "running_seconds"),
)

# WebSockets.
SOCKET_OPENED = Event(
    "guard.socket_opened",
    "INFO",
    "WebSocket opened",
    (*_WHO, "endpoint", "protocol", "user_agent"),
)
SOCKET_CLOSED = Event(
    "guard.socket_closed",
    "INFO",
    "WebSocket closed",
    (
        *_WHO,
        *("endpoint", "protocol", "closing_code", "reason", "duration_seconds", "operations", "events"),
        *("received_bytes", "sent_bytes", "user_agent"),
    ),
)

SUBSCRIPTION_ENDED = Event(
    "guard.subscription_ended",
    "INFO",
    "Subscription over a streamed answer ended",
    (*_WHO, "endpoint", "transport", "reason", "duration_seconds", "events", "user_agent"),
)

REQUEST_EVENTS: Final[tuple[Event, ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, Event)
)

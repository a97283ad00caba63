"""Metrics that FraiseQL's operational runbooks ask for, by the runbooks' names."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.core.signals.metric import Metric, MetricKind, Source

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_BYTES = (256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 4194304.0, 10485760.0)

_COUNTER, _GAUGE, _HISTOGRAM = MetricKind.COUNTER, MetricKind.GAUGE, MetricKind.HISTOGRAM

# HTTP requests.
HTTP_REQUESTS = Metric(
    "fraiseql_http_requests_total", _COUNTER, "HTTP requests answered.", ("endpoint", "status", "user_id")
)
ERRORS = Metric("fraiseql_errors_total", _COUNTER, "Answers with an error, by error code.", ("error_code", "user_id"))
RESPONSE_TIME = Metric(
    "fraiseql_response_time_seconds",
    _HISTOGRAM,
    "Time from request to the end of its answer, or to its first event.",
    buckets=_SECONDS,
)
REQUEST_SIZE = Metric("fraiseql_http_request_size_bytes", _HISTOGRAM, "Size of request bodies.", buckets=_BYTES)
RESPONSE_SIZE = Metric("fraiseql_http_response_size_bytes", _HISTOGRAM, "Size of answer bodies.", buckets=_BYTES)
# Rates, authentication, logins.
RATE_LIMIT_EXCEEDED = Metric(
    "fraiseql_rate_limit_exceeded_total", _COUNTER, "Requests refused by a rate limit.", ("user_id", "ip_address")
)
AUTH_FAILURES = Metric(
    "fraiseql_auth_failures_total",
    _COUNTER,
    "Failed authentications.",
    ("failure_reason", "user_id", "ip_address"),
)
AUTH_SUCCESS = Metric("fraiseql_auth_success_total", _COUNTER, "Successful authentications.")
ACCOUNT_LOCKOUTS = Metric("fraiseql_account_lockouts_total", _COUNTER, "Login identifiers locked out at an address.")
# GraphQL operations.
QUERY_DURATION = Metric(
    "fraiseql_graphql_query_duration_seconds",
    _HISTOGRAM,
    "Time that GraphQL queries spent in the app; subscriptions count until their first event.",
    ("user_id",),
    _SECONDS,
)
QUERY_COMPLEXITY = Metric(
    "fraiseql_graphql_query_complexity",
    _HISTOGRAM,
    "Complexity points of measured operations.",
    buckets=(1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 100000),
)
QUERY_COMPLEXITY_SUM = Metric(
    "fraiseql_graphql_query_complexity_total",
    _COUNTER,
    "Sum of the complexity points of measured operations.",
    ("user_id",),
)
QUERY_COMPLEXITY_EXCEEDED = Metric(
    "fraiseql_graphql_query_complexity_exceeded_total", _COUNTER, "Operations over the complexity or depth limit."
)
QUERY_DEPTH = Metric(
    "fraiseql_graphql_query_depth",
    _HISTOGRAM,
    "Depth of measured operations.",
    buckets=(1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 50),
)
QUERY_LIMIT = Metric(
    "fraiseql_graphql_query_limit",
    _HISTOGRAM,
    "Largest list size that a measured operation asks for.",
    buckets=(1, 10, 20, 50, 100, 250, 500, 1000, 2500, 10000),
)
QUERIES = Metric("fraiseql_graphql_queries_total", _COUNTER, "GraphQL requests that reached the app.")
QUERIES_SUCCESS = Metric("fraiseql_graphql_queries_success", _COUNTER, "GraphQL requests answered without errors.")
QUERIES_ERRORS = Metric(
    "fraiseql_graphql_queries_errors", _COUNTER, "GraphQL requests that ended in errors, a timeout or a disconnect."
)

# The app's database and caches.
DB_QUERY_DURATION = Metric(
    "fraiseql_db_query_duration_seconds",
    _HISTOGRAM,
    "Duration of SQL statements.",
    ("query_type", "table_name"),
    _SECONDS,
    source=Source.HOST,
)
DB_QUERIES = Metric(
    "fraiseql_db_queries_total", _COUNTER, "SQL statements executed.", ("query_type",), source=Source.HOST
)
DB_CONNECTIONS_ACTIVE = Metric(
    "fraiseql_db_connections_active", _GAUGE, "Database connections in use.", source=Source.HOST
)
DB_CONNECTIONS_IDLE = Metric(
    "fraiseql_db_connections_idle", _GAUGE, "Database connections open and unused.", source=Source.HOST
)
DB_CONNECTIONS_TOTAL = Metric(
    "fraiseql_db_connections_total", _GAUGE, "Database connections the pool may open.", source=Source.HOST
)
DB_CONNECTIONS_WAITING = Metric(
    "fraiseql_guard_db_connections_waiting", _GAUGE, "Callers that wait for a database connection.", source=Source.HOST
)
CACHE_SIZE = Metric(
    "fraiseql_cache_size_bytes", _GAUGE, "Memory held by caches: the guard's own (estimated) and those the app reports."
)
# The process and its garbage collector.
PROCESS_RESIDENT_MEMORY = Metric(
    "process_resident_memory_bytes", _GAUGE, "Resident memory size in bytes.", source=Source.PROCESS
)
PROCESS_VIRTUAL_MEMORY = Metric(
    "process_virtual_memory_bytes", _GAUGE, "Virtual memory size in bytes.", source=Source.PROCESS
)
PROCESS_CPU = Metric(
    "process_cpu_seconds_total", _COUNTER, "Total user and system CPU time spent in seconds.", source=Source.PROCESS
)
GC_COLLECTIONS = Metric(
    "python_gc_collections_total",
    _COUNTER,
    "Number of times this generation was collected",
    ("generation",),
    source=Source.PROCESS,
)
GC_COLLECTED = Metric(
    "python_gc_objects_collected_total",
    _COUNTER,
    "Objects collected during gc",
    ("generation",),
    source=Source.PROCESS,
)
GC_UNCOLLECTABLE = Metric(
    "python_gc_objects_uncollectable_total",
    _COUNTER,
    "Uncollectable objects found during GC",
    ("generation",),
    source=Source.PROCESS,
)
# The machine.
NODE_MEMORY_TOTAL = Metric("node_memory_MemTotal_bytes", _GAUGE, "Memory of the machine.", source=Source.NODE)

RUNBOOK_METRICS: Final[tuple[Metric, ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, Metric)
)

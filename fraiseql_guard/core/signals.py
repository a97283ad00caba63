"""The vocabulary: every metric, log event, refusal code and failure reason, written once.

Collectors, log lines, refusals, documentation and alerts are built from these tables; nothing else in the package
spells one of these names. The contract names come from FraiseQL's five operational runbooks; ours begin with
``fraiseql_guard_`` (metrics) or ``guard.`` (events).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Protection(StrEnum):
    """What can be mounted alone, switched to monitor mode, and be the cause of a refusal."""

    RATE_LIMIT = "rate_limit"
    AUTH = "auth"
    QUERY_LIMITS = "query_limits"
    TIMEOUT = "timeout"
    METRICS = "metrics"
    ADMIN = "admin"


WITH_MODE: Final = (Protection.RATE_LIMIT, Protection.AUTH, Protection.QUERY_LIMITS, Protection.TIMEOUT)
"""Protections that can be watched instead of enforced, each by itself."""


class MetricKind(StrEnum):
    """Prometheus metric type."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Source(StrEnum):
    """Who feeds a metric."""

    GUARD = "guard"  # the middlewares themselves
    HOST = "host"  # the application's database pool, statements and caches, through an integration
    PROCESS = "process"  # prometheus_client's process, platform and GC collectors
    NODE = "node"  # node_exporter on the machine; never exported by us


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family.

    ``closed`` holds the label tuples that exist from the start at 0, so that ``increase()`` sees the first event.
    """

    name: str
    kind: MetricKind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    closed: tuple[tuple[str, ...], ...] = ()
    source: Source = Source.GUARD


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of log line. ``fields`` are the keys of its context; ``always`` lines outlive every flood."""

    name: str
    level: str
    message: str
    fields: tuple[str, ...]
    always: bool = False


@dataclass(frozen=True, slots=True, eq=False)  # each is one object, found in tables by what it is and not by its texts
class Code:
    """One way a request is refused: its ``extensions.code``, HTTP status, the protection that owns it, and its text."""

    name: str
    status: int
    protection: Protection
    message: str


# --- label values ----------------------------------------------------------------------------------------------------

ANONYMOUS: Final = "anonymous"
"""user_id of a caller without a verified identity."""
OTHER: Final = "__other__"
"""Label value that collects what no longer fits into a bounded label."""
UNKNOWN: Final = "unknown"
"""Address of a peer that the server does not name, and endpoint of a path that no route knows."""


class FailureReason(StrEnum):
    """Why an authentication failed (runbook: authentication failures)."""

    INVALID_TOKEN = "invalid_token"  # noqa: S105 - a reason, not a secret
    TOKEN_EXPIRED = "token_expired"  # noqa: S105
    INVALID_SIGNATURE = "invalid_signature"
    MISSING_TOKEN = "missing_token"  # noqa: S105
    USER_NOT_FOUND = "user_not_found"
    USER_DISABLED = "user_disabled"
    INSUFFICIENT_PERMISSIONS = "insufficient_permissions"


class PolicyName(StrEnum):
    """Who or what imposed a sanction: an escalation policy of the contract, or the operator."""

    RATE_LIMIT_ABUSE = "rate_limit_abuse"
    BRUTE_FORCE = "brute_force"
    DOS = "dos"
    ACCOUNT_LOCKOUT = "account_lockout"
    OPERATOR = "operator"


class KeyFamily(StrEnum):
    """Keys in Redis that hold the same kind of thing (stores/redis/key_families.py)."""

    SANCTIONS = "sanctions"
    SANCTION_INDEX = "sanction_index"
    LIMITS = "limits"
    LIMIT_INDEX = "limit_index"
    BUCKETS = "buckets"
    OFFENCES = "offences"
    REPEATS = "repeats"
    GROUPS = "groups"
    CONTROL = "control"
    DOCUMENTS = "documents"
    DOCUMENT_TEXTS = "document_texts"
    HEARTBEATS = "heartbeats"
    HEARTBEAT_TIMES = "heartbeat_times"
    REFUSALS = "refusals"
    ACTIONS = "actions"
    REFUSED_DOCUMENTS = "refused_documents"
    REFUSED_TIMES = "refused_times"
    LIFTING = "lifting"
    PROBE = "probe"


class LoginOutcome(StrEnum):
    """What became of a login that the app has asked or told us about."""

    FAILED = "failed"
    SUCCEEDED = "succeeded"
    LOCKED = "locked"  # not tried, because its identifier is locked out at this address


class RequestKind(StrEnum):
    """What a request is to the guard, so that a ratio is one of callers alone."""

    GUARDED = "guarded"  # where a token can be asked for: GraphQL, and the paths that are named
    OTHER = "other"
    BROWSER = "browser"  # a CORS preflight, or a page of GraphiQL: never asked for a token
    OWN = "own"  # answered by the guard itself (metrics, health, the operator's), and probes on exempt paths


class Outcome(StrEnum):
    """What became of a request."""

    ANSWERED = "answered"
    UNAUTHENTICATED = "unauthenticated"  # its authentication failed, whether the guard or the app says so
    REFUSED = "refused"
    FAILED = "failed"  # the app answered with a status of 500 or more, or not at all


class FailureSource(StrEnum):
    """What an address failed with."""

    TOKEN = "token"  # noqa: S105 - a source, not a secret
    LOGIN = "login"


FAULT_PARTS: Final = (
    "admin", "admission", "app_documents", "database", "describe", "heads", "host_security", "identification",
    "lockouts", "metrics_file", "pool", "presence", "receive", "registry", "settle", "steering", "user_status",
    "AdminAccess", "Authentication", "BlockedDocuments", "CostBudgets", "HealthAccess", "Concurrency", "MemoryPressure",
    "MetricsAccess", "OperatorBlocks", "PublicOperations", "QueryLimits", "HttpRequestForm", "RequestPaths",
)  # fmt: skip
"""Parts of the guard that can break; gates are called by their class."""

LIMITS: Final = (
    "max_query_depth", "max_query_complexity", "max_list_size", "max_offset", "max_aliases", "max_root_fields",
    "max_duplicate_keys", "introspection_max_list_depth",
)  # fmt: skip
"""Limits on a measured operation, by the option that sets them: they can be watched one by one."""

QUERY_TEXT: Final = "query_text"
"""Field of a refusal's line that carries the text of its document, where that is asked for."""

QUERY_TYPES: Final = ("select", "insert", "update", "delete", "call", "other")
"""query_type of a database statement."""

# --- refusals --------------------------------------------------------------------------------------------------------

_AUTH, _RATE, _QUERY, _TIME = (
    Protection.AUTH,
    Protection.RATE_LIMIT,
    Protection.QUERY_LIMITS,
    Protection.TIMEOUT,
)

UNAUTHENTICATED = Code("UNAUTHENTICATED", 401, _AUTH, "Authentication is required or the token was not accepted.")
KEYS_UNAVAILABLE = Code(
    "KEYS_UNAVAILABLE", 503, _AUTH, "The token cannot be checked at the moment: its keys could not be fetched."
)
USER_STATUS_UNAVAILABLE = Code(
    "USER_STATUS_UNAVAILABLE", 503, _AUTH, "Whether this user may go on cannot be told at the moment."
)
BLOCKED = Code("BLOCKED", 403, _RATE, "Requests from this caller are blocked for now.")
RATE_LIMITED = Code("RATE_LIMITED", 429, _RATE, "Too many requests.")
COST_BUDGET_EXCEEDED = Code(
    "COST_BUDGET_EXCEEDED", 429, _RATE, "The operation costs more than is left of the hour's budget."
)
CHARGE_TOO_LARGE = Code("CHARGE_TOO_LARGE", 400, _RATE, "The request costs more than the limit can ever admit.")
CONCURRENCY_LIMIT = Code("CONCURRENCY_LIMIT", 429, _RATE, "Too many operations of this caller are at work.")
OVERLOADED = Code("OVERLOADED", 503, _RATE, "Too many operations are at work.")
MEMORY_PRESSURE = Code("MEMORY_PRESSURE", 503, _RATE, "Memory is short: queries are not served for now.")
STORE_UNAVAILABLE = Code("STORE_UNAVAILABLE", 503, _RATE, "Rate limits cannot be decided at the moment.")
GUARD_FAULT = Code("GUARD_FAULT", 503, _QUERY, "The request could not be checked.")
GUARD_MISCONFIGURED = Code(
    "GUARD_MISCONFIGURED", 503, _QUERY, "Requests are not served: the guard's configuration cannot be used."
)
QUERY_TIMEOUT = Code("QUERY_TIMEOUT", 504, _TIME, "The operation did not finish in time.")
BODY_TIMEOUT = Code("BODY_TIMEOUT", 408, _QUERY, "The request body did not arrive in time.")
BODY_TOO_LARGE = Code("BODY_TOO_LARGE", 413, _QUERY, "The request body is too large.")
BODY_SHARE_FULL = Code(
    "BODY_SHARE_FULL", 429, _QUERY, "Too many request bodies of this caller are being read at the moment."
)
BODY_BUFFER_FULL = Code("BODY_BUFFER_FULL", 503, _QUERY, "Too many request bodies are being read at the moment.")
METHOD_NOT_ALLOWED = Code("METHOD_NOT_ALLOWED", 405, _QUERY, "This method is not accepted on a GraphQL path.")
MUTATION_BY_GET = Code("MUTATION_BY_GET", 405, _QUERY, "Mutations are only accepted by POST.")
UNSUPPORTED_MEDIA_TYPE = Code("UNSUPPORTED_MEDIA_TYPE", 415, _QUERY, "Send GraphQL as application/json.")
UNSUPPORTED_ENCODING = Code("UNSUPPORTED_ENCODING", 415, _QUERY, "Compressed request bodies are not accepted.")
CROSS_SITE_REQUEST = Code("CROSS_SITE_REQUEST", 400, _QUERY, "Cross-site requests need a CORS preflight.")
WEBSOCKET_REFUSED = Code("WEBSOCKET_REFUSED", 403, _QUERY, "WebSocket is not accepted on this path.")
PATH_INVALID = Code("PATH_INVALID", 400, _QUERY, "The request's path is not accepted.")
BAD_REQUEST = Code("BAD_REQUEST", 400, _QUERY, "The request is not a well-formed GraphQL request.")
BATCHING_DISABLED = Code("BATCHING_DISABLED", 400, _QUERY, "Batches of operations are not accepted.")
PERSISTED_QUERY_NOT_SUPPORTED = Code(
    "PERSISTED_QUERY_NOT_SUPPORTED",
    400,
    _QUERY,
    "PersistedQueryNotSupported",  # by which clients know it
)
PERSISTED_QUERY_NOT_FOUND = Code("PERSISTED_QUERY_NOT_FOUND", 403, _QUERY, "PersistedQueryNotFound")
DOCUMENT_BLOCKED = Code("DOCUMENT_BLOCKED", 403, _QUERY, "This document is blocked for now.")
DOCUMENTS_UNAVAILABLE = Code(
    "DOCUMENTS_UNAVAILABLE", 503, _QUERY, "Which documents are trusted cannot be told at the moment."
)
NOT_TRUSTED = Code("NOT_TRUSTED", 403, _QUERY, "Only trusted documents are accepted.")
GRAPHQL_PARSE_FAILED = Code("GRAPHQL_PARSE_FAILED", 400, _QUERY, "The document is not valid GraphQL.")
GRAPHQL_INVALID = Code("GRAPHQL_INVALID", 400, _QUERY, "The document contradicts itself.")
OPERATION_NOT_FOUND = Code("OPERATION_NOT_FOUND", 400, _QUERY, "The document has no such operation.")
QUERY_TOO_LONG = Code("QUERY_TOO_LONG", 400, _QUERY, "The document has too many characters.")
QUERY_TOO_MANY_TOKENS = Code("QUERY_TOO_MANY_TOKENS", 400, _QUERY, "The document has too many tokens.")
QUERY_TOO_DEEP = Code("QUERY_TOO_DEEP", 400, _QUERY, "The operation is nested too deeply.")
QUERY_TOO_COMPLEX = Code("QUERY_TOO_COMPLEX", 400, _QUERY, "The operation is too complex.")
LIST_TOO_LARGE = Code("LIST_TOO_LARGE", 400, _QUERY, "The operation asks for too large a list.")
LIST_SIZE_INVALID = Code("LIST_SIZE_INVALID", 400, _QUERY, "A list size must be a whole number.")
LIST_UNSLICED = Code("LIST_UNSLICED", 400, _QUERY, "The operation asks for a list without a size.")
OFFSET_TOO_LARGE = Code("OFFSET_TOO_LARGE", 400, _QUERY, "The operation skips too many items.")
TOO_MANY_ALIASES = Code("TOO_MANY_ALIASES", 400, _QUERY, "The operation uses too many aliases.")
TOO_MANY_ROOT_FIELDS = Code("TOO_MANY_ROOT_FIELDS", 400, _QUERY, "The operation has too many root fields.")
TOO_MANY_DIRECTIVES = Code("TOO_MANY_DIRECTIVES", 400, _QUERY, "The document uses too many directives.")
TOO_MANY_DUPLICATE_KEYS = Code("TOO_MANY_DUPLICATE_KEYS", 400, _QUERY, "A selection repeats one key too often.")
TOO_MANY_OPERATIONS = Code("TOO_MANY_OPERATIONS", 400, _QUERY, "The document has too many operations.")
TOO_MANY_FRAGMENTS = Code("TOO_MANY_FRAGMENTS", 400, _QUERY, "The document has too many fragments.")
LITERAL_TOO_DEEP = Code("LITERAL_TOO_DEEP", 400, _QUERY, "A value in the document is nested too deeply.")
VARIABLES_TOO_DEEP = Code("VARIABLES_TOO_DEEP", 400, _QUERY, "The variables are nested too deeply.")
VARIABLES_TOO_LARGE = Code("VARIABLES_TOO_LARGE", 400, _QUERY, "The variables hold too many values.")
METRICS_FORBIDDEN = Code("METRICS_FORBIDDEN", 403, Protection.METRICS, "The metrics are not served to this caller.")
HEALTH_FORBIDDEN = Code(
    "HEALTH_FORBIDDEN", 403, Protection.METRICS, "The health details are not served to this caller."
)
ADMIN_UNAUTHENTICATED = Code(
    "ADMIN_UNAUTHENTICATED", 401, Protection.ADMIN, "Authentication is required or the token was not accepted."
)
INTROSPECTION_DENIED = Code("INTROSPECTION_DENIED", 400, _QUERY, "Introspection is not allowed here.")
INTROSPECTION_TOO_DEEP = Code("INTROSPECTION_TOO_DEEP", 400, _QUERY, "The introspection is nested too deeply.")

CODES: Final[tuple[Code, ...]] = tuple(value for value in list(globals().values()) if isinstance(value, Code))

UNAVAILABLE: Final = tuple(code for code in CODES if code.status == 503)
"""The guard does not serve a request for a reason of its own: no caller can do anything about it."""

INTERNAL_SERVER_ERROR: Final = "INTERNAL_SERVER_ERROR"
"""error_code of an answer of the app with a status of 500 or more."""
GRAPHQL_ERROR: Final = "GRAPHQL_ERROR"
"""error_code of a GraphQL answer of the app that carries errors."""

# --- metrics ---------------------------------------------------------------------------------------------------------

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_BYTES = (256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 4194304.0, 10485760.0)
_COUNTER, _GAUGE, _HISTOGRAM = MetricKind.COUNTER, MetricKind.GAUGE, MetricKind.HISTOGRAM
_REFUSAL_LABELS = ("protection", "code")
_ANY_PROTECTION = (BLOCKED, GUARD_FAULT, BAD_REQUEST, BODY_TIMEOUT, PATH_INVALID, WEBSOCKET_REFUSED)
"""Refused in the name of the protection that is the cause, or that cannot decide without what is missing."""
_ALSO: Mapping[Code, tuple[Protection, ...]] = {USER_STATUS_UNAVAILABLE: (Protection.ADMIN,)}
_REFUSALS = tuple(
    (protection.value, code.name)
    for code in CODES
    for protection in (tuple(Protection) if code in _ANY_PROTECTION else (code.protection, *_ALSO.get(code, ())))
)

HTTP_REQUESTS = Metric(
    "fraiseql_http_requests_total", _COUNTER, "HTTP requests answered.", ("endpoint", "status", "user_id")
)
ERRORS = Metric("fraiseql_errors_total", _COUNTER, "Errors answered, by error code.", ("error_code", "user_id"))
RESPONSE_TIME = Metric(
    "fraiseql_response_time_seconds", _HISTOGRAM, "Time from request to the end of its answer.", buckets=_SECONDS
)
REQUEST_SIZE = Metric("fraiseql_http_request_size_bytes", _HISTOGRAM, "Size of request bodies.", buckets=_BYTES)
RESPONSE_SIZE = Metric("fraiseql_http_response_size_bytes", _HISTOGRAM, "Size of answer bodies.", buckets=_BYTES)
RATE_LIMIT_EXCEEDED = Metric(
    "fraiseql_rate_limit_exceeded_total", _COUNTER, "Requests refused for their rate.", ("user_id", "ip_address")
)
AUTH_FAILURES = Metric(
    "fraiseql_auth_failures_total",
    _COUNTER,
    "Failed authentications.",
    ("failure_reason", "user_id", "ip_address"),
)
AUTH_SUCCESS = Metric("fraiseql_auth_success_total", _COUNTER, "Successful authentications.")
ACCOUNT_LOCKOUTS = Metric("fraiseql_account_lockouts_total", _COUNTER, "Login identifiers locked out at an address.")
QUERY_DURATION = Metric(
    "fraiseql_graphql_query_duration_seconds",
    _HISTOGRAM,
    "Time that GraphQL queries spent in the app.",
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
NODE_MEMORY_TOTAL = Metric("node_memory_MemTotal_bytes", _GAUGE, "Memory of the machine.", source=Source.NODE)

REFUSALS = Metric("fraiseql_guard_refusals_total", _COUNTER, "Requests refused.", _REFUSAL_LABELS, closed=_REFUSALS)
WOULD_REFUSE = Metric(
    "fraiseql_guard_would_refuse_total",
    _COUNTER,
    "Requests that enforcing would have refused (monitor mode).",
    _REFUSAL_LABELS,
    closed=_REFUSALS,
)
REQUESTS = Metric(
    "fraiseql_guard_requests_total",
    _COUNTER,
    "HTTP requests answered, by what they are and what became of them: every series exists from the start.",
    ("kind", "outcome"),
    closed=tuple((kind.value, outcome.value) for kind in RequestKind for outcome in Outcome),
)
NEAR_LIMIT = Metric(
    "fraiseql_guard_near_limit_total",
    _COUNTER,
    "Operations over 80 percent of a limit and not beyond it.",
    ("limit",),
    closed=tuple((limit,) for limit in LIMITS),
)
COST_BUDGET = Metric(
    "fraiseql_guard_cost_budget_exceeded_total",
    _COUNTER,
    "Operations refused because the caller's cost budget was used up.",
    ("user_id", "ip_address"),
)
AUTH_FAILURE_REASONS = Metric(
    "fraiseql_guard_auth_failures_total",
    _COUNTER,
    "Failed authentications by reason alone: every series exists from the start, so alerts may rest on it.",
    ("failure_reason",),
    closed=tuple((reason.value,) for reason in FailureReason),
)
FAILING_ADDRESSES = Metric(
    "fraiseql_guard_failing_addresses",
    _GAUGE,
    "Addresses (/64s of IPv6) whose authentication failed within the last 5 minutes, by what failed.",
    ("source",),
)
ADMIN_FAILURES = Metric(
    "fraiseql_guard_admin_failures_total",
    _COUNTER,
    "Requests for the operator's API without a right token: it was missing, or wrong.",
    ("token",),
    closed=(("missing",), ("wrong",)),
)
STATEMENT_TIMEOUTS = Metric(
    "fraiseql_guard_statement_timeouts_total",
    _COUNTER,
    "Requests of which the database stopped a statement at its time limit, before their own deadline.",
)
RATE_LIMIT_TOTAL = Metric(
    "fraiseql_guard_rate_limit_exceeded_total",
    _COUNTER,
    "Requests refused for their rate, of all callers together: it exists from the start, so alerts may rest on it.",
)
SANCTIONS = Metric(
    "fraiseql_guard_sanctions_total",
    _COUNTER,
    "Sanctions imposed, by policy.",
    ("policy",),
    closed=tuple((policy.value,) for policy in PolicyName),
)
LOGINS = Metric(
    "fraiseql_guard_logins_total",
    _COUNTER,
    "Logins that the app reported, by outcome; locked: it asked, and was told not to try.",
    ("outcome",),
    closed=tuple((outcome.value,) for outcome in LoginOutcome),
)
TOKEN_KEYS = Metric(
    "fraiseql_guard_token_keys_total",
    _COUNTER,
    "Tokens verified, by the key that matched.",
    ("key",),
    closed=(("current",), ("old",), ("new",), ("jwks",)),
)
KEY_SOURCE_ERRORS = Metric(
    "fraiseql_guard_key_source_errors_total",
    _COUNTER,
    "Failed readings of keys that verify tokens, by source: the settings and their files, a JWK set's file or address.",
    ("source",),
    closed=(("setting",), ("file",), ("url",)),
)
STORE_FAILURES = Metric(
    "fraiseql_guard_store_failures_total",
    _COUNTER,
    "Failed exchanges with the store, by reason.",
    ("reason",),
    closed=(("timeout",), ("connection",), ("refused",), ("server",), ("script",)),
)
STORE_BREAKER_OPEN = Metric(
    "fraiseql_guard_store_breaker_open", _GAUGE, "1 while the store is given up and the failure policy decides."
)
STORE_FALLBACKS = Metric(
    "fraiseql_guard_store_fallbacks_total",
    _COUNTER,
    "Requests decided without the store, by failure policy.",
    ("policy",),
    closed=(("local",), ("open",), ("closed",)),
)
STORE_UNREADABLE = Metric(
    "fraiseql_guard_store_unreadable_total",
    _COUNTER,
    "Different entries in the store that other software wrote and that are left out, by the kind of their key.",
    ("family",),
    closed=tuple((family.value,) for family in KeyFamily),
)
FAULTS = Metric(
    "fraiseql_guard_faults_total",
    _COUNTER,
    "Unexpected errors inside the guard.",
    ("part",),
    closed=tuple((part,) for part in FAULT_PARTS),
)
ABANDONED = Metric(
    "fraiseql_guard_abandoned_total", _COUNTER, "Requests whose app went on after it was cancelled at the deadline."
)
DISCONNECTS = Metric(
    "fraiseql_guard_disconnects_total", _COUNTER, "GraphQL requests whose client left before the answer."
)
MODE_MONITOR = Metric(
    "fraiseql_guard_mode_monitor",
    _GAUGE,
    "1 while a protection only counts and logs what it would refuse.",
    ("protection",),
)
APP_DOCUMENTS = Metric(
    "fraiseql_guard_app_document_over_limit",
    _GAUGE,
    "How many times its limit a document asks for that several callers are refused for; 0 once that has ended.",
    ("query_hash", "operation", "code"),
)
SHARED_PEER = Metric(
    "fraiseql_guard_shared_peer",
    _GAUGE,
    "1 while an untrusted private peer sends forwarding headers: name it among the trusted proxies.",
)
LABEL_OVERFLOW = Metric(
    "fraiseql_guard_label_overflow_total",
    _COUNTER,
    "Events counted under __other__ because a bounded label was full.",
    ("metric",),
)
LOG_LINES_SUPPRESSED = Metric(
    "fraiseql_guard_log_lines_suppressed_total", _COUNTER, "Log lines left out in a flood.", ("event",)
)
LOG_FAILURES = Metric("fraiseql_guard_log_failures_total", _COUNTER, "Log lines that could not be written.")
BUILD_INFO = Metric(
    "fraiseql_guard_build_info",
    _GAUGE,
    "1 for the version of the guard and the fingerprint of the settings in force; 0 for what was in force before.",
    ("version", "fingerprint"),
)
JWKS_AGE = Metric(
    "fraiseql_guard_jwks_age_seconds",
    _GAUGE,
    "Age of the JWK set in force: since it was fetched (url), or written (file). The oldest of all workers.",
    ("source",),
)
SANCTIONS_IN_FORCE = Metric("fraiseql_guard_sanctions_in_force", _GAUGE, "Sanctions in force, of all subjects.")
OVERRIDES_IN_FORCE = Metric(
    "fraiseql_guard_overrides_in_force",
    _GAUGE,
    "What operators have said for a while and is in force, by kind; limit: of single callers.",
    ("kind",),
)
IN_FLIGHT = Metric("fraiseql_guard_in_flight", _GAUGE, "GraphQL operations at work at the moment.")
BUFFERED_BODIES = Metric("fraiseql_guard_buffered_body_bytes", _GAUGE, "Request bodies held in memory at the moment.")

MEMORY_USED = Metric(
    "fraiseql_guard_memory_used_bytes", _GAUGE, "Memory in use (working set of the container, else of the process)."
)
MEMORY_LIMIT = Metric(
    "fraiseql_guard_memory_limit_bytes", _GAUGE, "Memory there is: the container's, else the machine's."
)
MEMORY_RATIO = Metric("fraiseql_guard_memory_usage_ratio", _GAUGE, "Memory in use over the limit; 1 is full.")

METRICS: Final[tuple[Metric, ...]] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))

# --- events ----------------------------------------------------------------------------------------------------------

_WHO = ("user_id", "ip_address")

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
    "Rate limit violated again and again: caller blocked",
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
    "Failed authentications again and again: caller blocked",
    (*_WHO, "failed_attempts", "time_window_seconds", "action"),
    always=True,
)
DOS_DETECTED = Event(
    "security.dos_detected",
    "CRITICAL",
    "Expensive queries again and again: caller blocked",
    (*_WHO, "expensive_queries_count", "time_window_seconds", "action"),
    always=True,
)
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
LOGIN_SUCCEEDED = Event("guard.login_succeeded", "INFO", "The app reported a login", (*_WHO, "endpoint"))
STARTED = Event(
    "guard.started", "INFO", "Guard started", ("protections", "mode", "store", "graphql_paths"), always=True
)
START_FAILED = Event(
    "guard.start_failed",
    "CRITICAL",
    "Guard cannot work as it is configured, and serves nothing",
    ("detail",),
    always=True,
)
CONFIGURATION = Event("guard.configuration", "WARNING", "Configuration deserves a look", ("detail",), always=True)
OVERRIDDEN = Event(
    "guard.overridden", "WARNING", "Settings in force were changed by an operator", ("overrides",), always=True
)
COMMANDED = Event("guard.commanded", "INFO", "An operator's command was carried out", ("command", "actor"), always=True)
GATE_FAULT = Event("guard.fault", "ERROR", "Unexpected error inside the guard", ("part", "error"))
STORE_FAILED = Event(
    "guard.store_failed", "ERROR", "Store does not answer", ("reason", "detail", "policy", "breaker_open")
)
STORE_UNREADABLE_SEEN = Event(
    "guard.store_unreadable",
    "WARNING",
    "An entry in the store that other software wrote is left out",
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
    "The app's own security log reports something",
    (*_WHO, "type", "severity", "reason", "resource"),
)
REQUEST_ABANDONED = Event(
    "guard.request_abandoned",
    "ERROR",
    "The app goes on after it was cancelled at the deadline",
    ("user_id", "endpoint", "running_seconds"),
)

# What operators do. Each has its actor; what was not given is null.
_WHOM = ("actor", "user_id", "ip_address")
ADMIN_BLOCK = Event(
    "admin.block",
    "WARNING",
    "Operator blocked a caller",
    (*_WHOM, "issuer", "tenant", "duration_seconds", "reason", "forced", "would_have_met"),
    always=True,
)
ADMIN_LIFT = Event(
    "admin.lift", "WARNING", "Operator lifted sanctions", (*_WHOM, "issuer", "tenant", "lifted"), always=True
)
ADMIN_LIFT_ALL = Event(
    "admin.lift_all",
    "WARNING",
    "Operator lifted all sanctions of an origin",
    ("actor", "origin", "lifted", "state"),
    always=True,
)
ADMIN_UNLOCK = Event(
    "admin.unlock", "WARNING", "Operator unlocked a login", ("actor", "identifier", "ip_address", "lifted"), always=True
)
ADMIN_LIMIT = Event(
    "admin.limit",
    "WARNING",
    "Operator set a caller's limit",
    (*_WHOM, "issuer", "tenant", "limit", "duration_seconds"),
    always=True,
)
ADMIN_LIMIT_CLEARED = Event(
    "admin.limit_cleared",
    "WARNING",
    "Operator ended the override of a caller's limit",
    (*_WHOM, "issuer", "tenant", "cleared"),
    always=True,
)
ADMIN_ALLOW = Event(
    "admin.allow",
    "WARNING",
    "Operator allowed an address",
    ("actor", "ip_address", "duration_seconds", "reason", "lifted"),
    always=True,
)
ADMIN_DISALLOW = Event(
    "admin.disallow",
    "WARNING",
    "Operator took an address off the allow-list",
    ("actor", "ip_address", "removed"),
    always=True,
)
ADMIN_SWITCH = Event(
    "admin.switch",
    "WARNING",
    "Operator overrode something on all workers",
    ("actor", "kind", "name", "value", "duration_seconds", "reason"),
    always=True,
)
ADMIN_UNSWITCH = Event(
    "admin.unswitch", "WARNING", "Operator took an override back", ("actor", "kind", "name", "removed"), always=True
)
ADMIN_GC = Event("admin.gc", "INFO", "Operator had garbage collected", ("actor", "workers"), always=True)
ADMIN_CLEAR_CACHES = Event(
    "admin.clear_caches", "INFO", "Operator had caches cleared", ("actor", "workers"), always=True
)
ADMIN_TRUST = Event(
    "admin.trust",
    "WARNING",
    "Operator trusted documents",
    ("actor", "documents", "count", "added", "manifest"),
    always=True,
)
ADMIN_DISTRUST = Event(
    "admin.distrust", "WARNING", "Operator took a trusted document back", ("actor", "document", "manifest"), always=True
)
ADMIN_KILL = Event(
    "admin.kill", "WARNING", "Operator stopped a statement of the database", ("actor", "pid", "stopped"), always=True
)
ADMIN_OVERRIDES_FILE = Event(
    "admin.overrides_file",
    "WARNING",
    "The overrides file says something else than before",
    ("actor", "file", "added", "removed", "in_force"),
    always=True,
)
ADMIN_LOGIN = Event("admin.login", "INFO", "Operator opened a session", ("actor", "ip_address"), always=True)
ADMIN_LOGIN_FAILED = Event(
    "admin.login_failed",
    "WARNING",
    "The operator's API was asked without a right token",
    (*_WHO, "endpoint", "presented", "user_agent"),
)

EVENTS: Final[tuple[Event, ...]] = tuple(value for value in list(globals().values()) if isinstance(value, Event))

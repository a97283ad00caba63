"""Values that the labels of metrics and the fields of log lines can have."""

from __future__ import annotations

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
    """The origin of a sanction: one of the runbooks' escalation policies, or the operator."""

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
    RECENT_SANCTIONS = "recent_sanctions"
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
    """Outcome of a login that the app has asked about or reported."""

    FAILED = "failed"
    SUCCEEDED = "succeeded"
    LOCKED = "locked"  # not tried, because its identifier is locked out at this address


class AdjustmentReason(StrEnum):
    """Why tokens of a request were given back after its answer, or more were taken."""

    SUCCESS = "success"  # only failures count
    NOT_MODIFIED = "not_modified"
    COST_BELOW = "cost_below"  # of the estimate: points are given back
    COST_ABOVE = "cost_above"  # of the estimate: points are taken
    LOST = "lost"  # for want of room, or of an answer of the store


class WaitOutcome(StrEnum):
    """What became of a request that waited for its rate."""

    ADMITTED = "admitted"
    REFUSED = "refused"
    LEFT = "left"  # its client
    NO_PLACE = "no_place"  # it could not wait: too many did


class RequestKind(StrEnum):
    """Kind of a request. Ratios are made of the kinds that callers send, and leave out the guard's own."""

    GUARDED = "guarded"  # where a token can be asked for: GraphQL, and the paths that are named
    OTHER = "other"
    BROWSER = "browser"  # a CORS preflight, or a page of GraphiQL: never asked for a token
    OWN = "own"  # answered by the guard itself (metrics, health, the operator's), and probes on exempt paths


class Outcome(StrEnum):
    """Outcome of a request."""

    ANSWERED = "answered"
    UNAUTHENTICATED = "unauthenticated"  # its authentication failed, whether the guard or the app says so
    REFUSED = "refused"
    FAILED = "failed"  # the app answered with a status of 500 or more, or not at all


class FailureSource(StrEnum):
    """What the failed authentications of an address were made with."""

    TOKEN = "token"  # noqa: S105 - a source, not a secret
    LOGIN = "login"


class SocketProtocol(StrEnum):
    """What a WebSocket speaks: one of the two subprotocols that carry GraphQL, or something that is not read."""

    GRAPHQL_TRANSPORT_WS = "graphql_transport_ws"
    GRAPHQL_WS = "graphql_ws"
    OTHER = "other"


class Transport(StrEnum):
    """What carries the events of a subscription."""

    SOCKET = "socket"
    SSE = "sse"
    MULTIPART = "multipart"


class ClosingReason(StrEnum):
    """Why a WebSocket was closed."""

    CLIENT = "client"
    APP = "app"
    PROTOCOL = "protocol"  # a message broke the rules of the subprotocol
    INIT_TIMEOUT = "init_timeout"
    UNAUTHENTICATED = "unauthenticated"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - a reason, not a secret
    BLOCKED = "blocked"
    FLOOD = "flood"  # more messages, or sockets, than the limits allow
    SLOW_CONSUMER = "slow_consumer"
    IDLE = "idle"
    AGE = "age"
    OVERLOAD = "overload"
    SHUTDOWN = "shutdown"  # of this worker, or an operator's word


class Hook(StrEnum):
    """A function of the app's that is told what has happened."""

    ON_REFUSAL = "on_refusal"
    ON_SANCTION = "on_sanction"


class HookOutcome(StrEnum):
    """What became of a notice to the app."""

    TOLD = "told"
    FAILED = "failed"  # the function raised
    TIMED_OUT = "timed_out"
    DROPPED = "dropped"  # too many waited already, or the process ended


FAULT_PARTS: Final = (
    "admin", "admission", "api_keys", "app_documents", "database", "describe", "heads", "host_security",
    "identification", "limit_key", "limits", "lockouts", "metrics_file", "on_refusal", "on_sanction", "pool",
    "presence", "receive", "registry", "render_refusal", "settle", "sockets", "steering", "streams", "user_status",
    "AdminAccess", "Authentication", "BlockedDocuments", "CostBudgets", "HealthAccess", "Concurrency", "MemoryPressure",
    "MetricsAccess", "MixedDocuments", "OperatorBlocks", "PublicOperations", "QueryLimits", "HttpRequestForm",
    "RequestPaths", "SocketOrigin", "Subprotocols", "SubscriptionRoom",
)  # fmt: skip
"""Parts of the guard that can break; checks are named by their class."""

LIMITS: Final = (
    "max_query_depth", "max_query_complexity", "max_list_size", "max_offset", "max_aliases", "max_root_fields",
    "max_duplicate_keys", "introspection_max_list_depth",
)  # fmt: skip
"""Limits on a measured operation, by the option that sets them: they can be watched one by one."""

QUERY_TYPES: Final = ("select", "insert", "update", "delete", "call", "other")
"""query_type of a database statement."""

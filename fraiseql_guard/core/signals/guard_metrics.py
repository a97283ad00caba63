"""Metrics of the guard's own: they begin with ``fraiseql_guard_``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fraiseql_guard.core.signals.codes import (
    BAD_REQUEST,
    BLOCKED,
    BODY_TIMEOUT,
    CODES,
    CROSS_SITE_REQUEST,
    GUARD_FAULT,
    PATH_INVALID,
    SUBPROTOCOL_NOT_ACCEPTED,
    USER_STATUS_UNAVAILABLE,
    WEBSOCKET_REFUSED,
    Code,
)
from fraiseql_guard.core.signals.label_values import (
    FAULT_PARTS,
    LIMITS,
    AdjustmentReason,
    ClosingReason,
    FailureReason,
    Hook,
    HookOutcome,
    KeyFamily,
    LoginOutcome,
    Outcome,
    PolicyName,
    Protection,
    RequestKind,
    SocketProtocol,
    WaitOutcome,
)
from fraiseql_guard.core.signals.metric import Metric, MetricKind

_COUNTER, _GAUGE = MetricKind.COUNTER, MetricKind.GAUGE

_REFUSAL_LABELS = ("protection", "code")
_ANY_PROTECTION = (
    *(BLOCKED, GUARD_FAULT, BAD_REQUEST, BODY_TIMEOUT, PATH_INVALID),
    *(CROSS_SITE_REQUEST, SUBPROTOCOL_NOT_ACCEPTED, WEBSOCKET_REFUSED),
)
"""Refused in the name of the protection that is the cause, or that cannot decide without what is missing."""
_ALSO: Mapping[Code, tuple[Protection, ...]] = {USER_STATUS_UNAVAILABLE: (Protection.ADMIN,)}
_REFUSALS = tuple(
    (protection.value, code.name)
    for code in CODES
    for protection in (tuple(Protection) if code in _ANY_PROTECTION else (code.protection, *_ALSO.get(code, ())))
)

# Requests: what they were, and what became of them.
REFUSALS = Metric("fraiseql_guard_refusals_total", _COUNTER, "Requests refused.", _REFUSAL_LABELS, closed=_REFUSALS)
WOULD_REFUSE = Metric(
    "fraiseql_guard_would_refuse_total",
    _COUNTER,
    "Requests that monitor mode let pass and enforcing would have refused.",
    _REFUSAL_LABELS,
    closed=_REFUSALS,
)
REQUESTS = Metric(
    "fraiseql_guard_requests_total",
    _COUNTER,
    "HTTP requests answered, by kind and outcome. Every series exists from the start.",
    ("kind", "outcome"),
    closed=tuple((kind.value, outcome.value) for kind in RequestKind for outcome in Outcome),
)
NEAR_LIMIT = Metric(
    "fraiseql_guard_near_limit_total",
    _COUNTER,
    "Operations that reach more than 80 percent of a limit and do not exceed it.",
    ("limit",),
    closed=tuple((limit,) for limit in LIMITS),
)
COST_BUDGET = Metric(
    "fraiseql_guard_cost_budget_exceeded_total",
    _COUNTER,
    "Operations refused because the caller's cost budget was used up.",
    ("user_id", "ip_address"),
)
# Authentication.
AUTH_FAILURE_REASONS = Metric(
    "fraiseql_guard_auth_failures_total",
    _COUNTER,
    "Failed authentications by reason, of all callers together. Every series exists from the start, so that alerts "
    "can use it.",
    ("failure_reason",),
    closed=tuple((reason.value,) for reason in FailureReason),
)
FAILING_ADDRESSES = Metric(
    "fraiseql_guard_failing_addresses",
    _GAUGE,
    "Addresses (IPv6: callers' prefixes) whose authentication failed within the last 5 minutes, by what failed: "
    "token or login.",
    ("source",),
)
ADMIN_FAILURES = Metric(
    "fraiseql_guard_admin_failures_total",
    _COUNTER,
    "Requests for the operator's API whose token was missing or wrong.",
    ("token",),
    closed=(("missing",), ("wrong",)),
)
# Statements, rates, sanctions, logins.
STATEMENT_TIMEOUTS = Metric(
    "fraiseql_guard_statement_timeouts_total",
    _COUNTER,
    "Requests with a statement that the database stopped at its time limit, before the deadline of the request.",
)
RATE_LIMIT_TOTAL = Metric(
    "fraiseql_guard_rate_limit_exceeded_total",
    _COUNTER,
    "Requests refused by a rate limit, of all callers together. It exists from the start, so that alerts can use it.",
)
WAITS = Metric(
    "fraiseql_guard_waits_total",
    _COUNTER,
    "Requests that waited for a rate limit instead of being refused at once, or found no place to wait, by outcome.",
    ("outcome",),
    closed=tuple((outcome.value,) for outcome in WaitOutcome),
)
ADJUSTMENTS = Metric(
    "fraiseql_guard_adjustments_total",
    _COUNTER,
    "Requests that got tokens back after their answer, or were charged more, by reason.",
    ("reason",),
    closed=tuple((reason.value,) for reason in AdjustmentReason),
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
    "Logins that the app reported, by outcome; locked: not tried, because the identifier is locked out at the address.",
    ("outcome",),
    closed=tuple((outcome.value,) for outcome in LoginOutcome),
)
# Keys that verify tokens.
TOKEN_KEYS = Metric(
    "fraiseql_guard_token_keys_total",
    _COUNTER,
    "Tokens and API keys verified, by the key that matched; api_key stands for all API keys.",
    ("key",),
    closed=(("current",), ("old",), ("new",), ("jwks",), ("api_key",)),
)
KEY_SOURCE_ERRORS = Metric(
    "fraiseql_guard_key_source_errors_total",
    _COUNTER,
    "Failed attempts to read the keys that verify tokens, by source: the settings and their files, a JWK set's file "
    "or address.",
    ("source",),
    closed=(("setting",), ("file",), ("url",)),
)
# The store.
STORE_FAILURES = Metric(
    "fraiseql_guard_store_failures_total",
    _COUNTER,
    "Failed calls to the store, by reason.",
    ("reason",),
    closed=(("timeout",), ("connection",), ("refused",), ("server",), ("script",)),
)
STORE_BREAKER_OPEN = Metric(
    "fraiseql_guard_store_breaker_open",
    _GAUGE,
    "1 while the breaker is open: the store is not asked, and the failure policy decides. Else 0.",
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
    "Distinct entries in the store that other software wrote and the guard ignores, by the kind of their key.",
    ("family",),
    closed=tuple((family.value,) for family in KeyFamily),
)
# Faults, and requests that ended early.
FAULTS = Metric(
    "fraiseql_guard_faults_total",
    _COUNTER,
    "Unexpected errors inside the guard.",
    ("part",),
    closed=tuple((part,) for part in FAULT_PARTS),
)
NOTICES = Metric(
    "fraiseql_guard_notices_total",
    _COUNTER,
    "Notices of refusals and sanctions for the app's own functions, by outcome; dropped: the function was not called.",
    ("hook", "outcome"),
    closed=tuple((hook.value, outcome.value) for hook in Hook for outcome in HookOutcome),
)
ABANDONED = Metric(
    "fraiseql_guard_abandoned_total", _COUNTER, "Requests whose app went on after it was cancelled at the deadline."
)
DISCONNECTS = Metric(
    "fraiseql_guard_disconnects_total", _COUNTER, "GraphQL requests whose client left before the answer."
)
# What deserves an operator's look.
MODE_MONITOR = Metric(
    "fraiseql_guard_mode_monitor",
    _GAUGE,
    "1 while a protection only counts and logs what it would refuse.",
    ("protection",),
)
APP_DOCUMENTS = Metric(
    "fraiseql_guard_app_document_over_limit",
    _GAUGE,
    "For a document that several callers were refused for: what it asks for, as a multiple of the limit; 0 once "
    "this has ended.",
    ("query_hash", "operation", "code"),
)
SHARED_PEER = Metric(
    "fraiseql_guard_shared_peer",
    _GAUGE,
    "1 once an untrusted private peer has sent forwarding headers, until a restart: name it among the trusted proxies.",
)
# What telemetry leaves out.
LABEL_OVERFLOW = Metric(
    "fraiseql_guard_label_overflow_total",
    _COUNTER,
    "Events counted under __other__ because a bounded label was full.",
    ("metric",),
)
LOG_LINES_SUPPRESSED = Metric(
    "fraiseql_guard_log_lines_suppressed_total", _COUNTER, "Log lines left out in a flood of similar lines.", ("event",)
)
LOG_FAILURES = Metric("fraiseql_guard_log_failures_total", _COUNTER, "Log lines that could not be written.")
# What is in force, and how old it is.
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
    "Operators' overrides in force, by kind; limit: limits of single callers.",
    ("kind",),
)
# What requests at work hold.
IN_FLIGHT = Metric("fraiseql_guard_in_flight", _GAUGE, "GraphQL operations at work at the moment.")
WAITING = Metric("fraiseql_guard_waiting_requests", _GAUGE, "Requests that wait for a rate limit at the moment.")
BUFFERED_BODIES = Metric("fraiseql_guard_buffered_body_bytes", _GAUGE, "Request bodies held in memory at the moment.")

# WebSockets, streams and subscriptions.
SOCKETS = Metric(
    "fraiseql_guard_sockets",
    _GAUGE,
    "WebSockets open at the moment, by subprotocol.",
    ("protocol",),
)
SOCKETS_LIMIT = Metric("fraiseql_guard_sockets_limit", _GAUGE, "Most WebSockets that may be open at the same time.")
SUBSCRIPTIONS = Metric(
    "fraiseql_guard_subscriptions",
    _GAUGE,
    "Subscriptions open at the moment, by transport.",
    ("transport",),
)
SOCKETS_OPENED = Metric(
    "fraiseql_guard_sockets_opened_total",
    _COUNTER,
    "WebSockets opened, by subprotocol.",
    ("protocol",),
    closed=tuple((protocol.value,) for protocol in SocketProtocol),
)
SOCKETS_CLOSED = Metric(
    "fraiseql_guard_sockets_closed_total",
    _COUNTER,
    "WebSockets closed, by reason.",
    ("reason",),
    closed=tuple((reason.value,) for reason in ClosingReason),
)
SOCKET_MESSAGES = Metric(
    "fraiseql_guard_socket_messages_total",
    _COUNTER,
    "Messages over WebSockets that speak GraphQL.",
    ("direction",),
    closed=(("in",), ("out",)),
)
SUBSCRIPTION_EVENTS = Metric(
    "fraiseql_guard_subscription_events_total", _COUNTER, "Events of subscriptions that were passed on to clients."
)
SUBSCRIPTION_SECONDS = Metric(
    "fraiseql_guard_subscription_seconds",
    MetricKind.HISTOGRAM,
    "How long subscriptions were open.",
    buckets=(1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 28800.0, 86400.0),
)

# Memory.
MEMORY_USED = Metric(
    "fraiseql_guard_memory_used_bytes", _GAUGE, "Memory in use (working set of the container, else of the process)."
)
MEMORY_LIMIT = Metric(
    "fraiseql_guard_memory_limit_bytes",
    _GAUGE,
    "Memory that may be used: the container's limit, else the machine's memory.",
)
MEMORY_RATIO = Metric("fraiseql_guard_memory_usage_ratio", _GAUGE, "Memory in use over the limit; 1 is full.")

GUARD_METRICS: Final[tuple[Metric, ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, Metric)
)

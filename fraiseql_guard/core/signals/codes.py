"""Every way that a request is refused: its code, HTTP status, protection and text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fraiseql_guard.core.signals.label_values import Protection


@dataclass(frozen=True, slots=True, eq=False)  # each is one object, found in tables by what it is and not by its texts
class Code:
    """One way a request is refused: its ``extensions.code``, HTTP status, the protection that owns it, and its text."""

    name: str
    status: int
    protection: Protection
    message: str


_AUTH, _RATE, _QUERY, _TIME = (
    Protection.AUTH,
    Protection.RATE_LIMIT,
    Protection.QUERY_LIMITS,
    Protection.TIMEOUT,
)

# Who asks.
UNAUTHENTICATED = Code("UNAUTHENTICATED", 401, _AUTH, "Authentication is required or the token was not accepted.")
KEYS_UNAVAILABLE = Code(
    "KEYS_UNAVAILABLE", 503, _AUTH, "The token or API key cannot be checked at the moment: its source does not answer."
)
USER_STATUS_UNAVAILABLE = Code(
    "USER_STATUS_UNAVAILABLE", 503, _AUTH, "The status of this user cannot be checked at the moment."
)
# Sanctions, rates and budgets.
BLOCKED = Code("BLOCKED", 403, _RATE, "Requests from this caller are blocked for now.")
RATE_LIMITED = Code("RATE_LIMITED", 429, _RATE, "Too many requests.")
COST_BUDGET_EXCEEDED = Code(
    "COST_BUDGET_EXCEEDED", 429, _RATE, "The operation costs more than is left of this hour's budget."
)
CHARGE_TOO_LARGE = Code("CHARGE_TOO_LARGE", 400, _RATE, "The request costs more than the limit can ever admit.")
# Operations at work, memory, the store.
CONCURRENCY_LIMIT = Code("CONCURRENCY_LIMIT", 429, _RATE, "Too many operations of this caller are running.")
OVERLOADED = Code("OVERLOADED", 503, _RATE, "Too many operations are running.")
MEMORY_PRESSURE = Code("MEMORY_PRESSURE", 503, _RATE, "Memory is short: queries are not served for now.")
STORE_UNAVAILABLE = Code("STORE_UNAVAILABLE", 503, _RATE, "Rate limits cannot be checked at the moment.")
# The guard itself.
GUARD_FAULT = Code("GUARD_FAULT", 503, _QUERY, "The request could not be checked.")
GUARD_MISCONFIGURED = Code(
    "GUARD_MISCONFIGURED", 503, _QUERY, "Requests are not served: the guard's configuration cannot be used."
)
# Deadlines, and bodies of requests.
QUERY_TIMEOUT = Code("QUERY_TIMEOUT", 504, _TIME, "The operation did not finish in time.")
BODY_TIMEOUT = Code("BODY_TIMEOUT", 408, _QUERY, "The request body did not arrive in time.")
BODY_TOO_LARGE = Code("BODY_TOO_LARGE", 413, _QUERY, "The request body is too large.")
BODY_SHARE_FULL = Code(
    "BODY_SHARE_FULL", 429, _QUERY, "Too many request bodies of this caller are being read at the moment."
)
BODY_BUFFER_FULL = Code("BODY_BUFFER_FULL", 503, _QUERY, "Too many request bodies are being read at the moment.")
# The form of HTTP requests.
METHOD_NOT_ALLOWED = Code("METHOD_NOT_ALLOWED", 405, _QUERY, "This method is not accepted on a GraphQL path.")
MUTATION_BY_GET = Code("MUTATION_BY_GET", 405, _QUERY, "Mutations are only accepted by POST.")
UNSUPPORTED_MEDIA_TYPE = Code("UNSUPPORTED_MEDIA_TYPE", 415, _QUERY, "Send GraphQL as application/json.")
UNSUPPORTED_ENCODING = Code("UNSUPPORTED_ENCODING", 415, _QUERY, "Compressed request bodies are not accepted.")
CROSS_SITE_REQUEST = Code("CROSS_SITE_REQUEST", 400, _QUERY, "Cross-site requests need a CORS preflight.")
WEBSOCKET_REFUSED = Code("WEBSOCKET_REFUSED", 403, _QUERY, "WebSocket is not accepted on this path.")
PATH_INVALID = Code("PATH_INVALID", 400, _QUERY, "The request's path is not accepted.")
BAD_REQUEST = Code("BAD_REQUEST", 400, _QUERY, "The request is not a well-formed GraphQL request.")
# Batches, persisted and trusted documents.
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
    "DOCUMENTS_UNAVAILABLE", 503, _QUERY, "Trusted documents cannot be looked up at the moment."
)
NOT_TRUSTED = Code("NOT_TRUSTED", 403, _QUERY, "Only trusted documents are accepted.")
# WebSockets and streams.
SUBPROTOCOL_NOT_ACCEPTED = Code(
    "SUBPROTOCOL_NOT_ACCEPTED", 400, _QUERY, "The WebSocket offers no subprotocol that is accepted here."
)
SOCKET_PROTOCOL = Code("SOCKET_PROTOCOL", 400, _QUERY, "The message breaks the rules of the socket's subprotocol.")
AMBIGUOUS_TOKEN = Code("AMBIGUOUS_TOKEN", 400, _AUTH, "The request carries different tokens or API keys.")
MESSAGE_TOO_LARGE = Code("MESSAGE_TOO_LARGE", 413, _QUERY, "The message is too large.")
TOO_MANY_MESSAGES = Code("TOO_MANY_MESSAGES", 429, _RATE, "The socket sends too many messages.")
TOO_MANY_SOCKETS = Code("TOO_MANY_SOCKETS", 429, _RATE, "Too many sockets of this caller are open.")
TOO_MANY_SUBSCRIPTIONS = Code("TOO_MANY_SUBSCRIPTIONS", 429, _RATE, "Too many subscriptions of this caller are open.")
SOCKETS_FULL = Code("SOCKETS_FULL", 503, _RATE, "Too many sockets are open.")
SUBSCRIPTIONS_FULL = Code("SUBSCRIPTIONS_FULL", 503, _RATE, "Too many subscriptions are open.")
SLOW_CONSUMER = Code("SLOW_CONSUMER", 503, _RATE, "The client does not read what it has asked for.")
STREAM_SILENT = Code("STREAM_SILENT", 504, _TIME, "The streamed answer was silent for too long.")
STREAM_TOO_LONG = Code("STREAM_TOO_LONG", 504, _TIME, "The streamed answer took too long.")
# Documents that cannot be read.
GRAPHQL_PARSE_FAILED = Code("GRAPHQL_PARSE_FAILED", 400, _QUERY, "The document is not valid GraphQL.")
GRAPHQL_INVALID = Code("GRAPHQL_INVALID", 400, _QUERY, "The document contradicts itself or the schema.")
OPERATION_NOT_FOUND = Code("OPERATION_NOT_FOUND", 400, _QUERY, "The document has no such operation.")
# Documents and variables over a limit.
QUERY_TOO_LONG = Code("QUERY_TOO_LONG", 400, _QUERY, "The document has too many characters.")
QUERY_TOO_MANY_TOKENS = Code("QUERY_TOO_MANY_TOKENS", 400, _QUERY, "The document has too many tokens.")
QUERY_TOO_DEEP = Code("QUERY_TOO_DEEP", 400, _QUERY, "The operation is nested too deeply.")
QUERY_TOO_COMPLEX = Code("QUERY_TOO_COMPLEX", 400, _QUERY, "The operation is too complex.")
LIST_TOO_LARGE = Code("LIST_TOO_LARGE", 400, _QUERY, "The operation asks for a list that is too large.")
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
# The guard's own pages, and the operator's API.
METRICS_FORBIDDEN = Code("METRICS_FORBIDDEN", 403, Protection.METRICS, "The metrics are not served to this caller.")
HEALTH_FORBIDDEN = Code(
    "HEALTH_FORBIDDEN", 403, Protection.METRICS, "The health details are not served to this caller."
)
ADMIN_UNAUTHENTICATED = Code(
    "ADMIN_UNAUTHENTICATED", 401, Protection.ADMIN, "Authentication is required or the token was not accepted."
)
# Introspection.
INTROSPECTION_DENIED = Code("INTROSPECTION_DENIED", 400, _QUERY, "Introspection is not allowed here.")
INTROSPECTION_TOO_DEEP = Code("INTROSPECTION_TOO_DEEP", 400, _QUERY, "The introspection is nested too deeply.")

CODES: Final[tuple[Code, ...]] = tuple(value for value in list(globals().values()) if isinstance(value, Code))

UNAVAILABLE: Final = tuple(code for code in CODES if code.status == 503 and code is not SLOW_CONSUMER)
"""The guard does not serve a request for a reason of its own: no caller can do anything about it."""

INTERNAL_SERVER_ERROR: Final = "INTERNAL_SERVER_ERROR"
"""error_code of an answer of the app with a status of 500 or more."""
GRAPHQL_ERROR: Final = "GRAPHQL_ERROR"
"""error_code of a GraphQL answer of the app that carries errors."""

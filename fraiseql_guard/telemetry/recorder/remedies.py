"""What helps against each refusal, one sentence a code: shown by ``fraiseql-guard why REQUEST_ID`` and the console."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fraiseql_guard.core import signals as s
from fraiseql_guard.core.settings import name_of
from fraiseql_guard.core.signals import Code


def remedy(code: Code) -> str:
    """The remedy against refusals with this code. KeyError for a code without one, which a test rules out."""
    return _REMEDIES[code]


def _raise(option: str, what: str) -> str:
    return f"{what}, or raise {name_of(option)} (for a while: fraiseql-guard set {name_of(option)} VALUE --for 1h)."


_SMALLER: Final = "Ask for less at once"
_SPLIT: Final = "Split the operation"
_CLIENT: Final = "The client has to change its request"

_REMEDIES: Final[Mapping[Code, str]] = {
    s.UNAUTHENTICATED: f"Send a valid token; after a rotation, keep the previous key in {name_of('jwt_secret_old')}.",
    s.ADMIN_UNAUTHENTICATED: f"Send one of the tokens in {name_of('admin_tokens')}.",
    s.BLOCKED: "Wait for its end, or lift the block: fraiseql-guard lift.",
    s.RATE_LIMITED: "Wait for Retry-After, or give this caller more: fraiseql-guard limit.",
    s.COST_BUDGET_EXCEEDED: f"Wait for the next hour's budget, or raise {name_of('cost_budgets')}.",
    s.CHARGE_TOO_LARGE: _raise("rate_limit_burst", "Send fewer mutations in one request"),
    s.CONCURRENCY_LIMIT: _raise("max_in_flight", "Send fewer operations at once"),
    s.OVERLOADED: _raise("database_pool_size", "Look for slow queries first: fraiseql-guard queries"),
    s.STORE_UNAVAILABLE: f"Bring the Redis of {name_of('redis_url')} back; {name_of('on_store_failure')} decides "
    "what happens until then.",
    s.GUARD_FAULT: f"Look for {s.FAULT_SEEN.name} in the log: it names the part of the guard that failed.",
    s.GUARD_MISCONFIGURED: f"Correct what {s.START_FAILED.name} in the log names, and start again.",
    s.QUERY_TIMEOUT: _raise("query_timeout", "Make the query faster"),
    s.BODY_TIMEOUT: _raise("body_timeout_seconds", "Look at the client's network"),
    s.BODY_TOO_LARGE: _raise("max_body_bytes", "Send a smaller body"),
    s.BODY_SHARE_FULL: (
        f"Send fewer bodies at once, and each without pauses; {name_of('max_buffered_bytes')} is the memory for all "
        "bodies, of which one caller may take an eighth."
    ),
    s.BODY_BUFFER_FULL: f"Wait for Retry-After; {name_of('max_buffered_bytes')} is the memory for all bodies.",
    s.METHOD_NOT_ALLOWED: f"{_CLIENT}: GraphQL comes by POST, or as a query by GET.",
    s.MUTATION_BY_GET: f"{_CLIENT}: send mutations by POST.",
    s.UNSUPPORTED_MEDIA_TYPE: f"{_CLIENT}: send application/json; uploads need {name_of('multipart')}=true.",
    s.UNSUPPORTED_ENCODING: f"{_CLIENT}: send the body uncompressed.",
    s.CROSS_SITE_REQUEST: f"{_CLIENT}: send application/json, so that the browser asks for permission first. Pages "
    f"that may open WebSockets are named in {name_of('socket_origins')}.",
    s.PATH_INVALID: f"{_CLIENT}: write the path without control characters, in at most 8,000 characters.",
    s.WEBSOCKET_REFUSED: f"Use HTTP on this path; {name_of('sockets')}=guard accepts WebSockets on GraphQL paths.",
    s.BAD_REQUEST: f"{_CLIENT}; detail says what is wrong with it.",
    s.BATCHING_DISABLED: f"Send operations one by one, or set {name_of('batching')}=true.",
    s.PERSISTED_QUERY_NOT_SUPPORTED: f"Send the document itself, or set {name_of('apq')}=true.",
    s.PERSISTED_QUERY_NOT_FOUND: "Register the document, or trust it: fraiseql-guard documents add.",
    s.DOCUMENTS_UNAVAILABLE: f"Bring the Redis of {name_of('redis_url')} back: this worker has never reached it.",
    s.DOCUMENT_BLOCKED: "An operator has blocked it; take that back with fraiseql-guard unblock.",
    s.NOT_TRUSTED: "Trust the document: fraiseql-guard documents add.",
    s.GRAPHQL_PARSE_FAILED: f"{_CLIENT}: the document is not GraphQL; detail and path say where.",
    s.GRAPHQL_INVALID: f"{_CLIENT}: the document contradicts itself or the schema; detail and path say where. Fields "
    f"that only the app knows pass with {name_of('unknown_fields')}=pass.",
    s.OPERATION_NOT_FOUND: f"{_CLIENT}: operationName has to name one of the document's operations.",
    s.QUERY_TOO_LONG: _raise("max_query_chars", "Shorten the document"),
    s.QUERY_TOO_MANY_TOKENS: _raise("max_tokens", "Shorten the document"),
    s.QUERY_TOO_DEEP: _raise("max_query_depth", "Ask for fewer levels"),
    s.QUERY_TOO_COMPLEX: _raise("max_query_complexity", f"{_SMALLER} (fraiseql-guard explain shows what it costs)"),
    s.LIST_TOO_LARGE: _raise("max_list_size", "Ask for smaller pages"),
    s.LIST_SIZE_INVALID: f"{_CLIENT}: a list size is a whole number; path says which.",
    s.LIST_UNSLICED: f"{_CLIENT}: give the list at path a size, or set {name_of('unsliced_lists')}=assume.",
    s.OFFSET_TOO_LARGE: _raise("max_offset", "Page by cursor"),
    s.TOO_MANY_ALIASES: _raise("max_aliases", _SPLIT),
    s.TOO_MANY_ROOT_FIELDS: _raise("max_root_fields", _SPLIT),
    s.TOO_MANY_DIRECTIVES: _raise("max_directives", _SPLIT),
    s.TOO_MANY_DUPLICATE_KEYS: _raise("max_duplicate_keys", "Ask for each field once"),
    s.TOO_MANY_OPERATIONS: _raise("max_operations", "Send only the operation that is run"),
    s.TOO_MANY_FRAGMENTS: _raise("max_fragments", _SPLIT),
    s.LITERAL_TOO_DEEP: _raise("max_literal_depth", "Nest the value less deeply"),
    s.VARIABLES_TOO_DEEP: _raise("max_variables_depth", "Nest the variables less deeply"),
    s.VARIABLES_TOO_LARGE: _raise("max_variables_nodes", _SMALLER),
    s.SUBPROTOCOL_NOT_ACCEPTED: f"{_CLIENT}: offer one of {name_of('socket_protocols')}.",
    s.SOCKET_PROTOCOL: f"{_CLIENT}; detail says which rule it breaks.",
    s.AMBIGUOUS_TOKEN: f"{_CLIENT}: send one token or API key in a request, and in connection_init only one of "
    f"{name_of('socket_token_keys')}.",
    s.MESSAGE_TOO_LARGE: _raise("max_message_bytes", "Send smaller messages"),
    s.TOO_MANY_MESSAGES: _raise("socket_messages", "Send fewer messages"),
    s.TOO_MANY_SOCKETS: _raise("max_sockets_per_caller", "Use one WebSocket for all operations"),
    s.TOO_MANY_SUBSCRIPTIONS: _raise("max_subscriptions_per_caller", "End subscriptions that are not needed"),
    s.SOCKETS_FULL: _raise("max_sockets", "See first who holds them: fraiseql-guard sockets"),
    s.SUBSCRIPTIONS_FULL: _raise("max_subscriptions", "See first who holds them: fraiseql-guard sockets"),
    s.SLOW_CONSUMER: _raise("socket_send_seconds", "Look at the client's network"),
    s.STREAM_SILENT: _raise("stream_idle_seconds", "Send heartbeats"),
    s.STREAM_TOO_LONG: _raise("stream_max_seconds", "Make the query faster"),
    s.KEYS_UNAVAILABLE: f"For tokens, look at {s.KEY_SOURCE_FAILED.name} in the log and at the issuer behind "
    f"{name_of('jwks_url')}; for API keys, at the app's api_keys, which fails or takes too long.",
    s.USER_STATUS_UNAVAILABLE: "Look at the app's user_status, which fails or takes longer than "
    f"{name_of('user_status_timeout_ms')}.",
    # Not changeable at run time: "fraiseql-guard set" would not take it.
    s.MEMORY_PRESSURE: f"Give the process more memory, or raise {name_of('shed_above_memory_percent')} and restart.",
    s.HEALTH_FORBIDDEN: f"Add the prober to {name_of('metrics_networks')}, or give it {name_of('metrics_token')}.",
    s.METRICS_FORBIDDEN: f"Add the scraper to {name_of('metrics_networks')}, or give it {name_of('metrics_token')}.",
    s.INTROSPECTION_DENIED: f"Use the schema file instead, or set {name_of('introspection')}=authenticated.",
    s.INTROSPECTION_TOO_DEEP: _raise("introspection_max_list_depth", "Introspect less deeply"),
}

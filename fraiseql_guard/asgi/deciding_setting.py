"""Names the setting that decides a refusal, so that a client's developer need not search the documentation.

Names of settings are no secret, and their values are told only where the refusal tells them anyway. A refusal that the
client can avoid by itself, by waiting or by showing who it is, names none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fraiseql_guard.core import signals as s
from fraiseql_guard.core.settings import name_of
from fraiseql_guard.core.signals import Code

DECIDING: Final[Mapping[Code, tuple[str, ...]]] = {
    s.BATCHING_DISABLED: ("batching",),
    s.NOT_TRUSTED: ("trusted_documents",),
    s.INTROSPECTION_DENIED: ("introspection",),
    s.INTROSPECTION_TOO_DEEP: ("introspection_max_list_depth",),
    s.LIST_UNSLICED: ("unsliced_lists",),
    s.LIST_TOO_LARGE: ("max_list_size",),
    s.OFFSET_TOO_LARGE: ("max_offset",),
    s.QUERY_TOO_LONG: ("max_query_chars",),
    s.QUERY_TOO_MANY_TOKENS: ("max_tokens",),
    s.QUERY_TOO_DEEP: ("max_query_depth",),
    s.QUERY_TOO_COMPLEX: ("max_query_complexity",),
    s.TOO_MANY_ALIASES: ("max_aliases",),
    s.TOO_MANY_ROOT_FIELDS: ("max_root_fields",),
    s.TOO_MANY_DIRECTIVES: ("max_directives",),
    s.TOO_MANY_DUPLICATE_KEYS: ("max_duplicate_keys",),
    s.TOO_MANY_OPERATIONS: ("max_operations",),
    s.TOO_MANY_FRAGMENTS: ("max_fragments",),
    s.LITERAL_TOO_DEEP: ("max_literal_depth",),
    s.VARIABLES_TOO_DEEP: ("max_variables_depth",),
    s.VARIABLES_TOO_LARGE: ("max_variables_nodes",),
    s.CONCURRENCY_LIMIT: ("max_in_flight",),
    s.BODY_SHARE_FULL: ("max_buffered_bytes",),
    s.BODY_TOO_LARGE: ("max_body_bytes", "max_request_bytes"),
    s.SUBPROTOCOL_NOT_ACCEPTED: ("socket_protocols",),
    s.AMBIGUOUS_TOKEN: ("socket_token_keys", "api_key_header", "token_cookie"),
    s.MESSAGE_TOO_LARGE: ("max_message_bytes",),
    s.TOO_MANY_MESSAGES: ("socket_messages",),
    s.TOO_MANY_SOCKETS: ("max_sockets_per_caller",),
    s.SLOW_CONSUMER: ("socket_send_seconds",),
    s.STREAM_SILENT: ("stream_idle_seconds",),
    s.STREAM_TOO_LONG: ("stream_max_seconds",),
    s.QUERY_TIMEOUT: ("query_timeout", "mutation_timeout", "request_timeout"),
}
"""The options that decide, by the code of the refusal; where a setting decides only some refusals of a code, the check
names it."""

_SENTENCES: Final = {code: f"{' or '.join(map(name_of, options))} decides this." for code, options in DECIDING.items()}


def detail(code: Code, known: str, rule: str = "") -> str:
    """The detail text of a refusal: ``known``, and the setting, or the rule in its place, that decides."""
    sentence = f"Rule {rule} decides this." if rule else _SENTENCES.get(code, "")
    return f"{known} {sentence}" if known and sentence else known or sentence

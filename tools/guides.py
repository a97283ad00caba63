"""The tables of the guides in docs/: the settings, refusals and signals of each protection.

A page asks for one by a marker (``<!-- table: settings-of timeouts -->``), which ``python -m tools.docs`` fills. Here
stand the names alone; what is said of them is in the tables of the code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from fraiseql_guard.core import signals
from fraiseql_guard.core.settings import CHANGEABLE, VARIABLES
from fraiseql_guard.core.signals import Code, Event, Metric
from fraiseql_guard.core.variables import SettingVariable
from fraiseql_guard.operations.runbooks.model import Alert
from fraiseql_guard.operations.runbooks.render import ALERTS

_VARIABLES: Final[Mapping[str, SettingVariable]] = {row.option: row for row in VARIABLES}
_CODES: Final[Mapping[str, Code]] = {code.name: code for code in signals.CODES}
_METRICS: Final[Mapping[str, Metric]] = {metric.name: metric for metric in signals.METRICS}
_EVENTS: Final[Mapping[str, Event]] = {event.name: event for event in signals.EVENTS}
_ALERTS: Final[Mapping[str, Alert]] = {alert.name: alert for alert in ALERTS}


@dataclass(frozen=True, slots=True)
class Guide:
    """What a guide's tables name, each as words with spaces between."""

    settings: str = ""
    codes: str = ""
    metrics: str = ""
    events: str = ""
    alerts: str = ""


GUIDES: Final[Mapping[str, Guide]] = {
    "decisions": Guide(
        settings="mode mode_rate_limit mode_auth mode_query_limits mode_timeout graphql_paths environment",
        codes="PATH_INVALID GUARD_FAULT GUARD_MISCONFIGURED",
        metrics="fraiseql_guard_requests_total fraiseql_guard_refusals_total fraiseql_guard_would_refuse_total"
        " fraiseql_guard_mode_monitor fraiseql_guard_faults_total",
        events="http.request guard.request_refused guard.fault guard.started guard.configuration guard.start_failed",
        alerts="GuardFaults GuardMonitoring GuardUnavailable AppServerErrors",
    ),
    "limits": Guide(
        settings="rate_limit_default rate_limit_authenticated rate_limit_graphql rate_limit_graphql_query"
        " rate_limit_graphql_mutation rate_limit_public rate_limit_burst tiers tier_claim cost_budgets cost_header"
        " hide_cost_header cost_extension cost_in_response rate_limit_key rate_limit_count rate_limit_not_modified"
        " rate_limit_wait_ms rate_limit_waiting rate_limit_headers expose_limits rules_file rules allow_list"
        " allow_list_file exempt_paths trusted_proxies forwarded_header proxy_count ipv6_prefix nat64_prefixes"
        " redis_url namespace on_store_failure store_timeout_ms workers",
        codes="RATE_LIMITED COST_BUDGET_EXCEEDED CHARGE_TOO_LARGE STORE_UNAVAILABLE",
        metrics="fraiseql_rate_limit_exceeded_total fraiseql_guard_rate_limit_exceeded_total"
        " fraiseql_guard_cost_budget_exceeded_total fraiseql_guard_waits_total fraiseql_guard_waiting_requests"
        " fraiseql_guard_adjustments_total fraiseql_guard_shared_peer fraiseql_guard_store_failures_total"
        " fraiseql_guard_store_breaker_open fraiseql_guard_store_fallbacks_total",
        events="security.rate_limit guard.shared_peer guard.store_failed guard.store_recovered",
        alerts="HighRateLimitViolations RateLimitAbuseDetected RateLimitingImpactingUsers GuardSharedPeer"
        " GuardStoreDown GuardStoreFailing",
    ),
    "authentication": Guide(
        settings="jwt_secret jwt_secret_old jwt_secret_new jwt_public_key jwt_public_key_old jwt_public_key_new"
        " jwks_file jwks_url jwks_refresh_seconds jwt_algorithms jwt_issuer jwt_audience jwt_leeway_seconds"
        " token_grace_seconds max_token_lifetime_seconds tenant_claim tier_claim token_lifetime_seconds"
        " refresh_token_lifetime_seconds api_keys_file api_key_header token_cookie auth_required auth_paths"
        " public_operations user_status_timeout_ms user_status_memory_seconds",
        codes="UNAUTHENTICATED AMBIGUOUS_TOKEN KEYS_UNAVAILABLE USER_STATUS_UNAVAILABLE",
        metrics="fraiseql_auth_failures_total fraiseql_guard_auth_failures_total fraiseql_auth_success_total"
        " fraiseql_guard_failing_addresses fraiseql_guard_token_keys_total fraiseql_guard_key_source_errors_total"
        " fraiseql_guard_jwks_age_seconds",
        events="security.auth_failure security.auth_success security.token_expired guard.key_source_failed"
        " guard.key_source_recovered",
        alerts="HighAuthFailureRate AuthenticationServiceDown CredentialStuffing BruteForceDetected",
    ),
    "query-limits": Guide(
        settings="max_query_depth max_query_complexity max_list_size max_offset max_aliases max_root_fields"
        " max_duplicate_keys max_directives max_operations max_fragments max_tokens max_query_chars max_literal_depth"
        " max_variables_depth max_variables_nodes edges_node_one_level monitor_limits list_multiplier field_costs"
        " list_fields slicing_arguments list_arguments filter_arguments unsliced_lists unknown_fields introspection"
        " introspection_max_list_depth hide_suggestions trusted_documents trusted_documents_file apq batching"
        " max_batch_size multipart log_query_text",
        codes="QUERY_TOO_DEEP QUERY_TOO_COMPLEX LIST_TOO_LARGE LIST_SIZE_INVALID LIST_UNSLICED OFFSET_TOO_LARGE"
        " TOO_MANY_ALIASES TOO_MANY_ROOT_FIELDS TOO_MANY_DUPLICATE_KEYS TOO_MANY_DIRECTIVES TOO_MANY_OPERATIONS"
        " TOO_MANY_FRAGMENTS QUERY_TOO_MANY_TOKENS QUERY_TOO_LONG LITERAL_TOO_DEEP VARIABLES_TOO_DEEP"
        " VARIABLES_TOO_LARGE INTROSPECTION_DENIED INTROSPECTION_TOO_DEEP GRAPHQL_PARSE_FAILED GRAPHQL_INVALID"
        " OPERATION_NOT_FOUND BATCHING_DISABLED PERSISTED_QUERY_NOT_SUPPORTED PERSISTED_QUERY_NOT_FOUND NOT_TRUSTED"
        " DOCUMENTS_UNAVAILABLE METHOD_NOT_ALLOWED MUTATION_BY_GET UNSUPPORTED_MEDIA_TYPE UNSUPPORTED_ENCODING"
        " CROSS_SITE_REQUEST BAD_REQUEST",
        metrics="fraiseql_graphql_query_complexity_exceeded_total fraiseql_graphql_query_complexity"
        " fraiseql_graphql_query_complexity_total fraiseql_graphql_query_depth fraiseql_graphql_query_limit"
        " fraiseql_guard_near_limit_total fraiseql_guard_app_document_over_limit",
        events="graphql.expensive_query guard.request_refused",
        alerts="GraphQLComplexityViolations GraphQLDoSDetected",
    ),
    "timeouts": Guide(
        settings="query_timeout mutation_timeout request_timeout cancel_mutations slow_query_seconds",
        codes="QUERY_TIMEOUT",
        metrics="fraiseql_graphql_query_duration_seconds fraiseql_response_time_seconds"
        " fraiseql_guard_statement_timeouts_total fraiseql_guard_abandoned_total fraiseql_guard_disconnects_total",
        events="database.query_timeout database.slow_query guard.request_abandoned",
        alerts="GraphQLQueryDurationSpike GraphQLQueryTimeouts DatabaseQueryTimeouts DatabaseSlowQueries"
        " GuardRequestsAbandoned",
    ),
    "sanctions": Guide(
        settings="rate_limit_abuse_offences rate_limit_abuse_window_seconds rate_limit_abuse_block_seconds"
        " brute_force_offences brute_force_window_seconds brute_force_block_seconds dos_offences dos_window_seconds"
        " dos_block_seconds lockout_offences lockout_window_seconds lockout_seconds",
        codes="BLOCKED DOCUMENT_BLOCKED",
        metrics="fraiseql_guard_sanctions_total fraiseql_guard_sanctions_in_force fraiseql_account_lockouts_total"
        " fraiseql_guard_logins_total fraiseql_guard_app_document_over_limit",
        events="security.rate_limit_abuse security.brute_force_detected security.dos_detected guard.login_failed"
        " guard.login_succeeded admin.block admin.lift admin.lift_all admin.unlock",
        alerts="GuardSanctionImposed BruteForceDetected MassAccountLockout CredentialStuffing GraphQLDoSDetected"
        " RateLimitAbuseDetected",
    ),
    "overload": Guide(
        settings="max_in_flight database_pool_size shed_above_memory_percent memory_high_percent"
        " memory_critical_percent max_buffered_bytes max_body_bytes max_request_bytes body_timeout_seconds"
        " body_idle_seconds rate_limit_wait_ms rate_limit_waiting gc_freeze",
        codes="CONCURRENCY_LIMIT OVERLOADED MEMORY_PRESSURE BODY_SHARE_FULL BODY_BUFFER_FULL BODY_TOO_LARGE"
        " BODY_TIMEOUT",
        metrics="fraiseql_guard_in_flight fraiseql_guard_buffered_body_bytes fraiseql_guard_waiting_requests"
        " fraiseql_guard_waits_total fraiseql_guard_memory_used_bytes fraiseql_guard_memory_limit_bytes"
        " fraiseql_guard_memory_usage_ratio fraiseql_db_connections_active fraiseql_guard_db_connections_waiting",
        events="guard.request_refused system.high_memory system.memory_critical",
        alerts="GuardConcurrencyLimit GuardUnavailable DatabaseConnectionPoolExhausted HighMemoryUsage"
        " CriticalMemoryUsage MemoryLeak",
    ),
    "sockets": Guide(
        settings="sockets socket_protocols socket_origins socket_token_keys socket_token_parameter rate_limit_sockets"
        " max_sockets_per_caller max_sockets max_subscriptions_per_socket max_subscriptions_per_caller"
        " max_subscriptions max_message_bytes socket_messages socket_init_seconds socket_idle_seconds"
        " socket_max_seconds socket_ping_seconds socket_send_seconds",
        codes="WEBSOCKET_REFUSED CROSS_SITE_REQUEST SUBPROTOCOL_NOT_ACCEPTED SOCKET_PROTOCOL MESSAGE_TOO_LARGE"
        " TOO_MANY_MESSAGES TOO_MANY_SOCKETS SOCKETS_FULL TOO_MANY_SUBSCRIPTIONS SUBSCRIPTIONS_FULL SLOW_CONSUMER",
        metrics="fraiseql_guard_sockets fraiseql_guard_sockets_limit fraiseql_guard_sockets_opened_total"
        " fraiseql_guard_sockets_closed_total fraiseql_guard_socket_messages_total fraiseql_guard_subscriptions"
        " fraiseql_guard_subscription_events_total fraiseql_guard_subscription_seconds",
        events="guard.socket_opened guard.socket_closed admin.close_sockets admin.drain_sockets",
        alerts="GuardSocketsNearlyFull GuardSocketReconnectStorm GuardSlowConsumers",
    ),
    "streams": Guide(
        settings="stream_idle_seconds stream_max_seconds stream_heartbeat_seconds socket_send_seconds"
        " max_subscriptions_per_caller max_subscriptions query_timeout",
        codes="STREAM_SILENT STREAM_TOO_LONG SLOW_CONSUMER TOO_MANY_SUBSCRIPTIONS SUBSCRIPTIONS_FULL",
        metrics="fraiseql_guard_subscriptions fraiseql_guard_subscription_events_total"
        " fraiseql_guard_subscription_seconds",
        events="guard.subscription_ended http.request",
        alerts="GuardSlowConsumers",
    ),
}


def settings_of(guide: Guide) -> str:
    """The variables that decide, with their defaults."""
    rows = (_VARIABLES[option] for option in guide.settings.split())
    lines = (f"| `{row.name}` | {_default(row)} | {_live(row)} | {_cell(row.doc)} |" for row in rows)
    return _table("variable | default | at run time | what it does", lines)


def codes_of(guide: Guide) -> str:
    """The refusals."""
    rows = (_CODES[name] for name in guide.codes.split())
    lines = (f"| `{row.name}` | {row.status} | {_cell(row.message)} |" for row in rows)
    return _table("code | status | message", lines)


def signals_of(guide: Guide) -> str:
    """The metrics, log events and alerts, with the runbooks of the alerts."""
    metrics = (
        f"| `{row.name}` | {row.kind} | {_cell(row.help)} |"
        for row in (_METRICS[name] for name in guide.metrics.split())
    )
    events = (
        f"| `{row.name}` | log line, {row.level} | {_cell(row.message)}. |"
        for row in (_EVENTS[name] for name in guide.events.split())
    )
    alerts = (
        f"| `{row.name}` | alert, {row.severity} | Runbook: [{row.runbook.spoken}](runbooks/{row.runbook.value}.md). |"
        for row in (_ALERTS[name] for name in guide.alerts.split())
    )
    return _table("signal | kind | what it says", (*metrics, *events, *alerts))


def _table(head: str, lines: Iterable[str]) -> str:
    return "\n".join((f"| {head} |", "|" + "---|" * (head.count("|") + 1), *lines))


def _default(row: SettingVariable) -> str:
    return f"`{_cell(row.default)}`" if row.default else "unset"


def _live(row: SettingVariable) -> str:
    return "yes" if row.option in CHANGEABLE else ""


def _cell(text: object) -> str:
    return str(text).replace("|", "\\|")


_KINDS: Final[Mapping[str, Callable[[Guide], str]]] = {
    "settings-of": settings_of,
    "codes-of": codes_of,
    "signals-of": signals_of,
}
GUIDE_TABLES: Final[Mapping[str, Callable[[], str]]] = {
    f"{kind} {name}": partial(make, guide) for kind, make in _KINDS.items() for name, guide in GUIDES.items()
}
"""Every table that a page may ask for, by its marker."""
PAGES: Final = tuple(f"docs/{name}.md" for name in GUIDES if name != "decisions")
"""The guides, as paths of the repository."""

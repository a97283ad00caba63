"""The series that Prometheus computes once for alerts and dashboard.

They use totals that exist with 0 from the start, because a series that appears with 40 has an increase of 0. Metrics
with a caller's label only rank the callers. Everything is summed by ``job``, so that one Prometheus can watch several
apps; the operator may choose other labels (chosen_labels.py). Ratios without traffic are NaN, with which no alert
fires. Requests of Prometheus and of probes are left out of them.
"""

from __future__ import annotations

from typing import Final

from fraiseql_guard.core.signals import CONCURRENCY_LIMIT, OVERLOADED, QUERY_TIMEOUT, UNAVAILABLE, Outcome, RequestKind
from fraiseql_guard.operations.runbooks.model import Recording

_CALLERS: Final = f'fraiseql_guard_requests_total{{kind!="{RequestKind.OWN.value}"}}'
_UNAVAILABLE: Final = f'fraiseql_guard_refusals_total{{code=~"{"|".join(code.name for code in UNAVAILABLE)}"}}'
_FAILED: Final = f'fraiseql_guard_requests_total{{outcome="{Outcome.FAILED.value}"}}'
_GUARDED: Final = f'fraiseql_guard_requests_total{{kind="{RequestKind.GUARDED.value}"}}'
_UNAUTHENTICATED: Final = f'{_GUARDED[:-1]}, outcome="{Outcome.UNAUTHENTICATED.value}"}}'
_REFUSED_FOR_POOL: Final = (
    f'sum by (job, instance) (rate(fraiseql_guard_refusals_total{{code="{OVERLOADED.name}"}}[5m]))'
)
_REACHED_APP: Final = "sum by (job, instance) (rate(fraiseql_graphql_queries_total[5m]))"

RECORDINGS: Final[tuple[Recording, ...]] = (
    # --- all requests
    Recording(
        "fraiseql:requests:rate",
        f"sum by (job) (rate({_CALLERS}[5m]))",
        "Requests of callers answered a second: without the guard's own pages and probes.",
    ),
    Recording(
        "fraiseql:server_errors:rate",
        f"sum by (job) (rate({_FAILED}[5m]))",
        "Requests that the app answered with a status of 500 or more, or not at all, a second.",
    ),
    Recording(
        "fraiseql:server_errors:ratio",
        "fraiseql:server_errors:rate / fraiseql:requests:rate",
        "Part of all requests that the app failed to serve.",
    ),
    Recording(
        "fraiseql:response_time:p95",
        # le is the upper bound of a bucket, which the quantile needs.
        "histogram_quantile(0.95, sum by (job, le) (rate(fraiseql_response_time_seconds_bucket[5m])))",
        "95 % of the answers were faster than this many seconds.",
    ),
    # --- rate limiting
    Recording(
        "fraiseql:rate_limited:rate",
        "sum by (job) (rate(fraiseql_guard_rate_limit_exceeded_total[5m]))",
        "Requests refused by rate limits, a second.",
    ),
    Recording(
        "fraiseql:rate_limited:ratio",
        "fraiseql:rate_limited:rate / fraiseql:requests:rate",
        "Part of all requests that was refused by rate limits.",
    ),
    Recording(
        "fraiseql:rate_limited_user:rate",
        # anonymous and __other__ are left out, since both stand for many callers.
        'sum by (job, user_id) (rate(fraiseql_rate_limit_exceeded_total{user_id!~"anonymous|__other__"}[5m]))',
        "Requests of each verified user that are refused by rate limits, a second.",
    ),
    # --- authentication
    Recording(
        "fraiseql:auth_failures:rate",
        "sum by (job) (rate(fraiseql_guard_auth_failures_total[5m]))",
        "Failed authentications a second.",
    ),
    Recording(
        "fraiseql:auth_failures:ratio",
        f"sum by (job) (rate({_UNAUTHENTICATED}[5m])) / sum by (job) (rate({_GUARDED}[5m]))",
        "Part of the requests to paths that need a token whose authentication failed.",
    ),
    Recording(
        "fraiseql:token_failures:rate",
        "sum by (job) (rate("
        'fraiseql_guard_auth_failures_total{failure_reason!~"missing_token|insufficient_permissions"}[5m]))',
        "Tokens that are not accepted, a second; without callers who send none, or lack the permission.",
    ),
    Recording(
        "fraiseql:failing_addresses:max",
        # The maximum, not the sum: instances behind a load balancer see the same addresses.
        "max by (job, source) (fraiseql_guard_failing_addresses)",
        "Most addresses that failed within 5 minutes at one instance; all instances together have at least as many.",
    ),
    Recording(
        "fraiseql:failed_logins:rate",
        'sum by (job) (rate(fraiseql_guard_logins_total{outcome="failed"}[5m]))',
        "Failed logins that the app reported, a second.",
    ),
    Recording(
        "fraiseql:failed_logins:ratio",
        # Attempts at a locked login are not authenticated, so they are not part of the total.
        'fraiseql:failed_logins:rate / sum by (job) (rate(fraiseql_guard_logins_total{outcome!="locked"}[5m]))',
        "Part of the logins that failed.",
    ),
    Recording(
        "fraiseql:admin_guesses:rate",
        'sum by (job) (rate(fraiseql_guard_admin_failures_total{token="wrong"}[5m]))',
        "Wrong tokens at the operator's API, a second.",
    ),
    Recording(
        "fraiseql:auth_failures_address:rate",
        'sum by (job, ip_address) (rate(fraiseql_auth_failures_total{ip_address!~"unknown|__other__"}[5m]))',
        "Failed authentications a second of each address.",
    ),
    Recording(
        "fraiseql:key_source_errors:increase",
        "sum by (job) (increase(fraiseql_guard_key_source_errors_total[5m]))",
        "Failures to read the keys that tokens are verified with.",
    ),
    Recording(
        "fraiseql:lockouts:increase",
        "round(sum by (job) (increase(fraiseql_account_lockouts_total[5m])))",
        "Logins locked out; whole numbers, because increase() extrapolates.",
    ),
    # --- GraphQL
    Recording(
        "fraiseql:query_duration:mean",
        "sum by (job) (rate(fraiseql_graphql_query_duration_seconds_sum[5m]))"
        " / sum by (job) (rate(fraiseql_graphql_query_duration_seconds_count[5m]))",
        "Mean time of a GraphQL query in the app, in seconds.",
    ),
    Recording(
        "fraiseql:query_timeouts:rate",
        f'sum by (job) (rate(fraiseql_guard_refusals_total{{code="{QUERY_TIMEOUT.name}"}}[5m]))'
        " + sum by (job) (rate(fraiseql_guard_statement_timeouts_total[5m]))",
        "Queries stopped at their deadline, or by the database at its own time limit, a second.",
    ),
    Recording(
        "fraiseql:graphql_errors:rate",
        "sum by (job) (rate(fraiseql_graphql_queries_errors[5m]))",
        "GraphQL requests that ended in errors, a timeout or a disconnect, a second.",
    ),
    Recording(
        "fraiseql:graphql_errors:ratio",
        "fraiseql:graphql_errors:rate"
        " / (fraiseql:graphql_errors:rate + sum by (job) (rate(fraiseql_graphql_queries_success[5m])))",
        "Part of the GraphQL requests that ended in errors, a timeout or a disconnect.",
    ),
    Recording(
        "fraiseql:query_timeouts_user:rate",
        "sum by (job, user_id)"
        ' (rate(fraiseql_errors_total{error_code="QUERY_TIMEOUT", user_id!~"anonymous|__other__"}[5m]))',
        "Queries of each verified user that are stopped at their deadline, a second.",
    ),
    Recording(
        "fraiseql:complexity_violations:rate",
        "sum by (job) (rate(fraiseql_graphql_query_complexity_exceeded_total[5m]))",
        "Operations over the complexity or depth limit, a second.",
    ),
    Recording(
        "fraiseql:sanctions:increase",
        # Without blocks by operators, who know of them.
        'round(sum by (job, policy) (increase(fraiseql_guard_sanctions_total{policy!="operator"}[5m])))',
        "Sanctions that the guard imposed by itself, by policy.",
    ),
    # --- database
    Recording(
        "fraiseql:db_query_duration:mean",
        "sum by (job) (rate(fraiseql_db_query_duration_seconds_sum[5m]))"
        " / sum by (job) (rate(fraiseql_db_query_duration_seconds_count[5m]))",
        "Mean time of a SQL statement, in seconds.",
    ),
    Recording(
        "fraiseql:db_connections:ratio",
        # 1e-9 makes the ratio 0 without traffic, in place of NaN. If no operation gets through, the pool is full.
        "clamp_max((sum by (job, instance) (fraiseql_db_connections_active)"
        " + sum by (job, instance) (fraiseql_guard_db_connections_waiting))"
        " / sum by (job, instance) (fraiseql_db_connections_total)"
        f" / (1 - {_REFUSED_FOR_POOL} / ({_REFUSED_FOR_POOL} + {_REACHED_APP} + 1e-9)), 1)",
        "Part of each instance's connection pool that is in use; requests that wait for a connection, or are "
        "refused because none is free, count as used.",
    ),
    Recording(
        "fraiseql:db_cache_hit:ratio",
        "sum by (job, datname) (rate(pg_stat_database_blks_hit[5m]))"
        " / (sum by (job, datname) (rate(pg_stat_database_blks_hit[5m]))"
        " + sum by (job, datname) (rate(pg_stat_database_blks_read[5m])))",
        "Part of the blocks that PostgreSQL found in its cache (from postgres_exporter).",
    ),
    # --- memory; only of instances with a guard, since other programs export process_* and python_gc_* as well
    Recording(
        "fraiseql:resident_memory:growth",
        # delta, not increase: memory is a gauge that may shrink.
        "sum by (job, instance) (delta(process_resident_memory_bytes[30m]))"
        " and on (job, instance) fraiseql_response_time_seconds_count",
        "Growth of the resident memory in half an hour, in bytes, all workers of an instance together.",
    ),
    Recording(
        "fraiseql:gc_collections:rate",
        "sum by (job, instance) (rate(python_gc_collections_total[5m]))"
        " and on (job, instance) fraiseql_response_time_seconds_count",
        "Garbage collections a second.",
    ),
    Recording(
        "fraiseql:cpu:rate",
        "sum by (job, instance) (rate(process_cpu_seconds_total[5m]))"
        " and on (job, instance) fraiseql_response_time_seconds_count",
        "Processors that an instance keeps busy, all its workers together.",
    ),
    # --- the guard itself
    Recording(
        "fraiseql:unavailable:rate",
        f"sum by (job) (rate({_UNAVAILABLE}[5m]))",
        "Requests that the guard answered 503 for a reason of its own, a second.",
    ),
    Recording(
        "fraiseql:unavailable:ratio",
        "fraiseql:unavailable:rate / fraiseql:requests:rate",
        "Part of all requests that the guard answered 503 for a reason of its own.",
    ),
    Recording(
        "fraiseql:unavailable_code:ratio",
        # group_left: the many codes on the left share one rate for each job.
        f"sum by (job, code) (rate({_UNAVAILABLE}[5m])) / on (job) group_left () fraiseql:requests:rate",
        "Part of all requests that the guard answered 503 for a reason of its own, by code.",
    ),
    Recording(
        "fraiseql:concurrency_limited:rate",
        f'sum by (job) (rate(fraiseql_guard_refusals_total{{code="{CONCURRENCY_LIMIT.name}"}}[5m]))',
        "Requests refused because their callers have too many operations at work, a second.",
    ),
    Recording(
        "fraiseql:concurrency_limited:ratio",
        "fraiseql:concurrency_limited:rate / fraiseql:requests:rate",
        "Part of all requests that is refused because callers have too many operations at work.",
    ),
    # --- WebSockets
    Recording(
        "fraiseql:sockets:ratio",
        "sum by (job, instance) (fraiseql_guard_sockets) / sum by (job, instance) (fraiseql_guard_sockets_limit)",
        "Part of the WebSockets that an instance may have open.",
    ),
    Recording(
        "fraiseql:sockets_opened:rate",
        "sum by (job) (rate(fraiseql_guard_sockets_opened_total[5m]))",
        "WebSockets opened a second.",
    ),
    Recording(
        "fraiseql:slow_consumers:rate",
        'sum by (job, instance) (rate(fraiseql_guard_sockets_closed_total{reason="slow_consumer"}[5m]))',
        "WebSockets ended a second because their clients do not read.",
    ),
)

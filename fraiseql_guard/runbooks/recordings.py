"""Series that are computed once and read by alerts and dashboard.

They rest on totals that exist from the start at 0, because a series that is born at 40 has an increase of 0: the
labelled ones rank who it was, the totals say how much. Everything is kept apart by ``job``, so that one Prometheus can
watch several apps. Ratios of nothing are NaN, which no alert takes for a number.
"""

from __future__ import annotations

from typing import Final

from fraiseql_guard.runbooks.model import Recording

RECORDINGS: Final[tuple[Recording, ...]] = (
    # --- all requests
    Recording(
        "fraiseql:requests:rate",
        "sum by (job) (rate(fraiseql_response_time_seconds_count[5m]))",
        "Requests answered a second.",
    ),
    Recording(
        "fraiseql:response_time:p95",
        "histogram_quantile(0.95, sum by (job, le) (rate(fraiseql_response_time_seconds_bucket[5m])))",
        "95 % of the answers were faster than this many seconds.",
    ),
    # --- rate limiting
    Recording(
        "fraiseql:rate_limited:rate",
        "sum by (job) (rate(fraiseql_guard_rate_limit_exceeded_total[5m]))",
        "Requests refused for their rate, a second.",
    ),
    Recording(
        "fraiseql:rate_limited:ratio",
        "fraiseql:rate_limited:rate / fraiseql:requests:rate",
        "Part of all requests that was refused for its rate.",
    ),
    Recording(
        "fraiseql:rate_limited_user:rate",
        'sum by (job, user_id) (rate(fraiseql_rate_limit_exceeded_total{user_id!~"anonymous|__other__"}[5m]))',
        "The same of each verified user.",
    ),
    # --- authentication
    Recording(
        "fraiseql:auth_failures:rate",
        "sum by (job) (rate(fraiseql_guard_auth_failures_total[5m]))",
        "Failed authentications a second.",
    ),
    Recording(
        "fraiseql:auth_failures:ratio",
        "fraiseql:auth_failures:rate / fraiseql:requests:rate",
        "Part of all requests whose authentication failed.",
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
        'sum by (job) (rate(fraiseql_guard_refusals_total{code="QUERY_TIMEOUT"}[5m]))',
        "Queries stopped at their deadline, a second.",
    ),
    Recording(
        "fraiseql:query_timeouts_user:rate",
        "sum by (job, user_id)"
        ' (rate(fraiseql_errors_total{error_code="QUERY_TIMEOUT", user_id!~"anonymous|__other__"}[5m]))',
        "The same of each verified user.",
    ),
    Recording(
        "fraiseql:complexity_violations:rate",
        "sum by (job) (rate(fraiseql_graphql_query_complexity_exceeded_total[5m]))",
        "Operations over the complexity or depth limit, a second.",
    ),
    Recording(
        "fraiseql:sanctions:increase",
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
        "fraiseql_db_connections_active / fraiseql_db_connections_total",
        "Part of each instance's connection pool that is in use.",
    ),
    Recording(
        "fraiseql:db_cache_hit:ratio",
        "sum by (datname) (rate(pg_stat_database_blks_hit[5m]))"
        " / (sum by (datname) (rate(pg_stat_database_blks_hit[5m]))"
        " + sum by (datname) (rate(pg_stat_database_blks_read[5m])))",
        "Part of the blocks that PostgreSQL found in its cache (from postgres_exporter).",
    ),
    # --- memory; other programs export process_* and python_gc_* as well, so only where a guard is
    Recording(
        "fraiseql:resident_memory:growth",
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
)

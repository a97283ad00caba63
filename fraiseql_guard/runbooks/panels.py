"""What the dashboard shows, row by row: one row for each runbook, read from left to right as the runbook is."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.runbooks.model import Panel, Query, Row, Runbook

_JOB: Final = 'job=~"$job"'
_PODS: Final = 'job=~"$job", instance=~"$instance"'
_OTHERS: Final = 'user_id!~"anonymous|__other__"'


def _one(title: str, expression: str, legend: str = "{{job}}", **options: object) -> Panel:
    return Panel(title=title, queries=(Query(expression, legend),), **options)  # type: ignore[arg-type]


def _top(title: str, label: str, expression: str, about: str = "") -> Panel:
    return Panel(
        title=title, queries=(Query(expression, f"{{{{{label}}}}}"),), unit="reqps", kind="bargauge", about=about
    )


ROWS: Final[tuple[Row, ...]] = (
    Row(
        runbook=None,
        panels=(
            _one("Requests", f"fraiseql:requests:rate{{{_JOB}}}", unit="reqps"),
            _one(
                "Answers by status",
                f"sum by (status) (rate(fraiseql_http_requests_total{{{_PODS}}}[5m]))",
                "{{status}}",
                unit="reqps",
            ),
            _one(
                "Refusals by code",
                f"topk(10, sum by (code) (rate(fraiseql_guard_refusals_total{{{_PODS}}}[5m])))",
                "{{code}}",
                unit="reqps",
            ),
            _one("Time to answer, 95 %", f"fraiseql:response_time:p95{{{_JOB}}}", unit="s"),
        ),
    ),
    Row(
        runbook=Runbook.RATE_LIMITING,
        panels=(
            _one("Refused for their rate", f"fraiseql:rate_limited:rate{{{_JOB}}}", unit="reqps", threshold=5),
            _one("Part of all requests", f"fraiseql:rate_limited:ratio{{{_JOB}}}", unit="percentunit", threshold=0.1),
            _top(
                "Users refused most",
                "user_id",
                f"topk(10, sum by (user_id) (rate(fraiseql_rate_limit_exceeded_total{{{_PODS}}}[5m])))",
                "One user: abuse or a loop. Many: the limit is too low.",
            ),
            _top(
                "Addresses refused most",
                "ip_address",
                f"topk(10, sum by (ip_address) (rate(fraiseql_rate_limit_exceeded_total{{{_PODS}}}[5m])))",
            ),
        ),
    ),
    Row(
        runbook=Runbook.AUTHENTICATION,
        panels=(
            _one(
                "Failures by reason",
                f"sum by (failure_reason) (rate(fraiseql_guard_auth_failures_total{{{_PODS}}}[5m]))",
                "{{failure_reason}}",
                unit="reqps",
                threshold=5,
            ),
            _one("Part of all requests", f"fraiseql:auth_failures:ratio{{{_JOB}}}", unit="percentunit", threshold=0.5),
            _one(
                "Tokens by the key that matched",
                f"sum by (key) (rate(fraiseql_guard_token_keys_total{{{_PODS}}}[5m]))",
                "{{key}}",
                unit="reqps",
            ),
            _top(
                "Addresses that fail most",
                "ip_address",
                f"topk(10, sum by (ip_address) (rate(fraiseql_auth_failures_total{{{_PODS}}}[5m])))",
            ),
            _one("Logins locked out", f"fraiseql:lockouts:increase{{{_JOB}}}", threshold=5),
            _one(
                "Successful authentications",
                f"sum by (job) (rate(fraiseql_auth_success_total{{{_PODS}}}[5m]))",
                unit="reqps",
            ),
        ),
    ),
    Row(
        runbook=Runbook.QUERY_DOS,
        panels=(
            _one("Mean time of a query", f"fraiseql:query_duration:mean{{{_JOB}}}", unit="s", threshold=10),
            _one("Stopped at the deadline", f"fraiseql:query_timeouts:rate{{{_JOB}}}", unit="reqps", threshold=1),
            _one(
                "Over the limits on complexity or depth",
                f"fraiseql:complexity_violations:rate{{{_JOB}}}",
                unit="reqps",
                threshold=1,
            ),
            Panel(
                title="Complexity and depth, 95 %",
                queries=tuple(
                    Query(
                        f"histogram_quantile(0.95, sum by (le)"
                        f" (rate(fraiseql_graphql_query_{what}_bucket{{{_PODS}}}[5m])))",
                        what,
                    )
                    for what in ("complexity", "depth", "limit")
                ),
            ),
            _one("Operations at work", f"fraiseql_guard_in_flight{{{_PODS}}}", "{{instance}}"),
            _one(
                "Users by complexity points",
                f"topk(10, sum by (user_id) (rate(fraiseql_graphql_query_complexity_total{{{_PODS}}}[5m])))",
                "{{user_id}}",
                kind="bargauge",
            ),
        ),
    ),
    Row(
        runbook=Runbook.DATABASE,
        panels=(
            _one("Mean time of a statement", f"fraiseql:db_query_duration:mean{{{_JOB}}}", unit="s", threshold=5),
            _one(
                "Pool in use",
                f"fraiseql:db_connections:ratio{{{_PODS}}}",
                "{{instance}}",
                unit="percentunit",
                threshold=0.9,
            ),
            Panel(
                title="Connections",
                queries=tuple(
                    Query(f"sum by (job) ({name}{{{_PODS}}})", name.rpartition("_")[2])
                    for name in (
                        "fraiseql_db_connections_active",
                        "fraiseql_db_connections_idle",
                        "fraiseql_db_connections_total",
                        "fraiseql_guard_db_connections_waiting",
                    )
                ),
            ),
            _one(
                "Slowest tables, mean",
                f"topk(10, sum by (table_name) (rate(fraiseql_db_query_duration_seconds_sum{{{_PODS}}}[5m]))"
                f" / sum by (table_name) (rate(fraiseql_db_query_duration_seconds_count{{{_PODS}}}[5m])))",
                "{{table_name}}",
                unit="s",
                kind="bargauge",
            ),
            _one(
                "PostgreSQL's cache", "fraiseql:db_cache_hit:ratio", "{{datname}}", unit="percentunit", threshold=0.95
            ),
            _one(
                "Statements by type",
                f"sum by (query_type) (rate(fraiseql_db_queries_total{{{_PODS}}}[5m]))",
                "{{query_type}}",
                unit="ops",
            ),
        ),
    ),
    Row(
        runbook=Runbook.MEMORY,
        panels=(
            _one(
                "Memory of what is allowed",
                f"fraiseql_guard_memory_usage_ratio{{{_PODS}}}",
                "{{instance}}",
                unit="percentunit",
                threshold=0.8,
            ),
            _one(
                "Resident memory",
                f"sum by (instance) (process_resident_memory_bytes{{{_PODS}}})",
                "{{instance}}",
                unit="bytes",
            ),
            _one(
                "Growth in half an hour",
                f"fraiseql:resident_memory:growth{{{_PODS}}}",
                "{{instance}}",
                unit="bytes",
                threshold=10 * 1024 * 1024,
            ),
            _one(
                "Garbage collections",
                f"fraiseql:gc_collections:rate{{{_PODS}}}",
                "{{instance}}",
                unit="ops",
                threshold=10,
            ),
        ),
    ),
    Row(
        runbook=Runbook.GUARD,
        panels=(
            _one(
                "Protections that only monitor",
                f"max by (protection) (fraiseql_guard_mode_monitor{{{_PODS}}})",
                "{{protection}}",
                kind="stat",
            ),
            _one("Sanctions imposed", f"fraiseql:sanctions:increase{{{_JOB}}}", "{{policy}}"),
            _one(
                "Failures of the store",
                f"sum by (reason) (rate(fraiseql_guard_store_failures_total{{{_PODS}}}[5m]))",
                "{{reason}}",
                unit="ops",
                threshold=0.1,
            ),
            _one(
                "Would be refused in monitor mode",
                f"sum by (protection) (rate(fraiseql_guard_would_refuse_total{{{_PODS}}}[5m]))",
                "{{protection}}",
                unit="reqps",
            ),
            _one(
                "Label overflow",
                f"sum by (job) (rate(fraiseql_guard_label_overflow_total{{{_PODS}}}[5m]))",
                unit="ops",
            ),
            _one(
                "Log lines left out",
                f"sum by (job) (rate(fraiseql_guard_log_lines_suppressed_total{{{_PODS}}}[5m]))",
                unit="ops",
            ),
        ),
    ),
)

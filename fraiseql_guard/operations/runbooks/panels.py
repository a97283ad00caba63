"""The rows of the dashboard: one for each runbook, with its panels in the order of the runbook's steps."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.operations.runbooks.host_panels import DATABASE, MEMORY
from fraiseql_guard.operations.runbooks.model import Panel, PanelRow, Query, Runbook
from fraiseql_guard.operations.runbooks.own_panels import GUARD, OVERVIEW
from fraiseql_guard.operations.runbooks.panel_forms import JOB, PODS, one, top
from fraiseql_guard.operations.runbooks.socket_panels import SOCKETS

ROWS: Final[tuple[PanelRow, ...]] = (
    OVERVIEW,
    PanelRow(
        runbook=Runbook.RATE_LIMITING,
        panels=(
            one(
                "Refused by rate limits",
                f"fraiseql:rate_limited:rate{{{JOB}}}",
                unit="reqps",
                threshold=5,
                about="Answers with 429 a second. The line is the threshold of HighRateLimitViolations.",
            ),
            one(
                "Part of all requests",
                f"fraiseql:rate_limited:ratio{{{JOB}}}",
                unit="percentunit",
                threshold=0.1,
                about="More than 10 %, and no single caller stands out: limits are too low for ordinary traffic.",
            ),
            top(
                "Users refused most",
                "user_id",
                f"topk(10, sum by (user_id) (rate(fraiseql_rate_limit_exceeded_total{{{PODS}}}[5m])))",
                "One user: abuse or a loop. Many: the limit is too low.",
            ),
            top(
                "Addresses refused most",
                "ip_address",
                f"topk(10, sum by (ip_address) (rate(fraiseql_rate_limit_exceeded_total{{{PODS}}}[5m])))",
                about="One address: block it. All alike: the limit is too low, or a proxy is not trusted.",
            ),
            one(
                "Requests that wait for a rate limit",
                f"sum by (outcome) (rate(fraiseql_guard_waits_total{{{PODS}}}[5m]))",
                "{{outcome}}",
                unit="reqps",
                about="Where a setting lets requests wait instead of being refused. Many with no_place: more want "
                "to wait than may.",
            ),
            one(
                "Given back, or charged, after the answer",
                f"sum by (reason) (rate(fraiseql_guard_adjustments_total{{{PODS}}}[5m]))",
                "{{reason}}",
                unit="reqps",
                about="Requests that do not count, and costs that differ from the estimate. lost: the store did not "
                "take the correction.",
            ),
        ),
    ),
    PanelRow(
        runbook=Runbook.AUTHENTICATION,
        panels=(
            one(
                "Failures by reason",
                f"sum by (failure_reason) (rate(fraiseql_guard_auth_failures_total{{{PODS}}}[5m]))",
                "{{failure_reason}}",
                unit="reqps",
                threshold=5,
                about="invalid_token from few addresses is an attack, invalid_signature from everywhere a rotation"
                " gone wrong.",
            ),
            one(
                "Part of the requests that fail",
                f"fraiseql:auth_failures:ratio{{{JOB}}}",
                unit="percentunit",
                threshold=0.5,
                about="Of the requests to paths that need a token. More than half: AuthenticationServiceDown.",
            ),
            one(
                "Tokens by the key that matched",
                f"sum by (key) (rate(fraiseql_guard_token_keys_total{{{PODS}}}[5m]))",
                "{{key}}",
                unit="reqps",
                about="During a rotation: how many tokens the old key still verifies.",
            ),
            top(
                "Addresses that fail most",
                "ip_address",
                f"topk(10, sum by (ip_address) (rate(fraiseql_auth_failures_total{{{PODS}}}[5m])))",
                about="One address above all others guesses tokens: block it, unless it is a proxy.",
            ),
            one(
                "Addresses whose logins or tokens fail",
                f"fraiseql:failing_addresses:max{{{JOB}}}",
                "{{source}}",
                about="Within 5 minutes, at one instance. Many with few failures each: stolen passwords are tried.",
            ),
            one(
                "Failed logins",
                f"fraiseql:failed_logins:rate{{{JOB}}}",
                unit="reqps",
                about="Logins that the app reported as failed, a second.",
            ),
            one(
                "Logins locked out",
                f"fraiseql:lockouts:increase{{{JOB}}}",
                threshold=5,
                about="Logins locked out at an address within 5 minutes. The line is the threshold of "
                "MassAccountLockout.",
            ),
            one(
                "Successful authentications",
                f"sum by (job) (rate(fraiseql_auth_success_total{{{PODS}}}[5m]))",
                unit="reqps",
                about="Requests with a token that verifies. None at all, while others fail, is an outage.",
            ),
        ),
    ),
    PanelRow(
        runbook=Runbook.QUERY_DOS,
        panels=(
            one(
                "Mean time of a query",
                f"fraiseql:query_duration:mean{{{JOB}}}",
                unit="s",
                threshold=10,
                about="From the app's start of work to its answer. The line is the threshold of "
                "GraphQLQueryDurationSpike.",
            ),
            one(
                "Stopped at the deadline",
                f"fraiseql:query_timeouts:rate{{{JOB}}}",
                unit="reqps",
                threshold=1,
                about="Queries answered 504, and those whose statement PostgreSQL stopped. The log names the users.",
            ),
            one(
                "Over the limits on complexity or depth",
                f"fraiseql:complexity_violations:rate{{{JOB}}}",
                unit="reqps",
                threshold=1,
                about="Refused before they cost anything: probing, or a new client that asks for too much.",
            ),
            Panel(
                title="Complexity and depth, 95 %",
                queries=tuple(
                    Query(
                        # The buckets of all instances are added first, since quantiles cannot be averaged.
                        f"histogram_quantile(0.95, sum by (le)"
                        f" (rate(fraiseql_graphql_query_{what}_bucket{{{PODS}}}[5m])))",
                        what,
                    )
                    for what in ("complexity", "depth", "limit")
                ),
                about="What ordinary queries ask for: limits belong well above it.",
            ),
            one(
                "Operations at work",
                f"fraiseql_guard_in_flight{{{PODS}}}",
                "{{instance}}",
                about="GraphQL operations that the app works on at the moment. If as many as the pool's "
                "connections, look for slow statements.",
            ),
            one(
                "Users by complexity points",
                f"topk(10, sum by (user_id) (rate(fraiseql_graphql_query_complexity_total{{{PODS}}}[5m])))",
                "{{user_id}}",
                kind="bargauge",
                about="Users whose operations cost most, whether refused or served.",
            ),
        ),
    ),
    DATABASE,
    MEMORY,
    GUARD,
    SOCKETS,
)

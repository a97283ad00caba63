"""Panels of the overview, the first row of the dashboard, and panels about the guard itself."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.operations.runbooks.model import PanelRow, Runbook
from fraiseql_guard.operations.runbooks.panel_forms import JOB, PODS, one

OVERVIEW: Final = PanelRow(
    runbook=None,
    panels=(
        one(
            "Requests",
            f"fraiseql:requests:rate{{{JOB}}}",
            unit="reqps",
            about="Answered requests of callers a second, without those of Prometheus and probes.",
        ),
        one(
            "Answers by status",
            f"sum by (status) (rate(fraiseql_http_requests_total{{{PODS}}}[5m]))",
            "{{status}}",
            unit="reqps",
            about="All answers, also to Prometheus and probes. 401 and 429 are refusals, 503 and 504 mostly are.",
        ),
        one(
            "Refusals by code",
            f"topk(10, sum by (code) (rate(fraiseql_guard_refusals_total{{{PODS}}}[5m])))",
            "{{code}}",
            unit="reqps",
            about="The ten codes that are answered most. docs/signals.md says what each of them means.",
        ),
        one(
            "The app's errors, part of all requests",
            f"fraiseql:server_errors:ratio{{{JOB}}}",
            unit="percentunit",
            threshold=0.05,
            about="Answers with a status of 500 or more that are the app's own, not the guard's. The line is the "
            "threshold of AppServerErrors.",
        ),
        one(
            "GraphQL requests that end in errors",
            f"fraiseql:graphql_errors:ratio{{{JOB}}}",
            unit="percentunit",
            threshold=0.25,
            about="Whatever their HTTP status is: errors in the answer, a timeout, a client that left.",
        ),
        one(
            "Time to answer, 95 %",
            f"fraiseql:response_time:p95{{{JOB}}}",
            unit="s",
            about="95 % of the answers were complete within this time.",
        ),
    ),
)

GUARD: Final = PanelRow(
    runbook=Runbook.GUARD,
    panels=(
        one(
            "Answered 503 for the guard's own reasons",
            f"fraiseql:unavailable_code:ratio{{{JOB}}}",
            "{{code}}",
            unit="percentunit",
            threshold=0.05,
            about="Part of all requests; callers cannot change the reasons. OVERLOADED is the database pool, "
            "STORE_UNAVAILABLE Redis, KEYS_UNAVAILABLE the issuer, MEMORY_PRESSURE this process.",
        ),
        one(
            "Redis given up (breaker open)",
            f"max by (instance) (fraiseql_guard_store_breaker_open{{{PODS}}})",
            "{{instance}}",
            threshold=1,
            about="1: the failure policy decides, and sanctions of other workers are not seen.",
        ),
        one(
            "Refused: too much at work for one caller",
            f"fraiseql:concurrency_limited:ratio{{{JOB}}}",
            unit="percentunit",
            threshold=0.1,
            about="Part of all requests (CONCURRENCY_LIMIT). One caller, or operations that take too long.",
        ),
        one(
            "Wrong tokens at the operator's API",
            f"fraiseql:admin_guesses:rate{{{JOB}}}",
            unit="reqps",
            threshold=0.03,
            about="Guesses, or a program that still uses an old token.",
        ),
        one(
            "Protections that only monitor",
            f"max by (protection) (fraiseql_guard_mode_monitor{{{PODS}}})",
            "{{protection}}",
            kind="stat",
            about="1: what it would refuse is counted and logged, and passes.",
        ),
        one(
            "Sanctions imposed",
            f"fraiseql:sanctions:increase{{{JOB}}}",
            "{{policy}}",
            about="Callers blocked automatically within 5 minutes, by policy.",
        ),
        one(
            "Failures of the store",
            f"sum by (reason) (rate(fraiseql_guard_store_failures_total{{{PODS}}}[5m]))",
            "{{reason}}",
            unit="ops",
            threshold=0.1,
            about="timeout: a slow network or Redis; refused: a wrong password or role; script: an error of the guard.",
        ),
        one(
            "Would be refused in monitor mode",
            f"sum by (protection) (rate(fraiseql_guard_would_refuse_total{{{PODS}}}[5m]))",
            "{{protection}}",
            unit="reqps",
            about="What enforcing would cost: look here before you switch a protection on.",
        ),
        one(
            "Label overflow",
            f"sum by (job) (rate(fraiseql_guard_label_overflow_total{{{PODS}}}[5m]))",
            unit="ops",
            about="Events of callers beyond the number that a metric may name; sums are exact, the log has the names.",
        ),
        one(
            "Log lines left out",
            f"sum by (job) (rate(fraiseql_guard_log_lines_suppressed_total{{{PODS}}}[5m]))",
            unit="ops",
            about="Lines that were not written in a flood of similar lines.",
        ),
    ),
)

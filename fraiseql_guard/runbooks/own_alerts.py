"""Alerts of ours, where the contract is blind: the guard itself."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.runbooks.model import Alert, Runbook, Severity

_CRITICAL, _WARNING, _INFO = Severity.CRITICAL, Severity.WARNING, Severity.INFO
_GUARD = Runbook.GUARD

OWN_ALERTS: Final[tuple[Alert, ...]] = (
    Alert(
        name="GuardStoreDown",
        runbook=_GUARD,
        expression="max by (job, instance) (fraiseql_guard_store_breaker_open) == 1",
        hold="1m",
        severity=_CRITICAL,
        summary="{{ $labels.instance }} has given up its store",
        description="The breaker of {{ $labels.instance }} ({{ $labels.job }}) is open: limits are decided without"
        " Redis, as the failure policy says, and sanctions of other workers are not seen.",
    ),
    Alert(
        name="GuardStoreFailing",
        runbook=_GUARD,
        expression="sum by (job, reason) (rate(fraiseql_guard_store_failures_total[5m])) > 0.1",
        hold="5m",
        severity=_WARNING,
        summary='{{ $value | printf "%.3g" }} exchanges with the store fail a second ({{ $labels.reason }})',
        description="Exchanges of {{ $labels.job }} with Redis go on failing: {{ $labels.reason }}.",
    ),
    Alert(
        name="GuardMonitoring",
        runbook=_GUARD,
        expression="max by (job, protection) (fraiseql_guard_mode_monitor) == 1",
        hold="15m",
        severity=_WARNING,
        summary="The protection {{ $labels.protection }} of {{ $labels.job }} refuses nothing",
        description="{{ $labels.protection }} is in monitor mode: what it would refuse is counted and logged, and"
        " passes.",
    ),
    Alert(
        name="GuardSanctionImposed",
        runbook=_GUARD,
        expression="fraiseql:sanctions:increase > 0",
        hold="0s",
        severity=_INFO,
        summary="{{ $value }} blocked automatically ({{ $labels.policy }})",
        description="The guard of {{ $labels.job }} has blocked callers for {{ $labels.policy }} within [5m]. The log"
        " says whom, and lifting is one command.",
    ),
    Alert(
        name="GuardSharedPeer",
        runbook=_GUARD,
        expression="max by (job, instance) (fraiseql_guard_shared_peer) == 1",
        hold="1m",
        severity=_WARNING,
        summary="A proxy in front of {{ $labels.instance }} is not trusted",
        description="All callers behind a proxy of {{ $labels.instance }} ({{ $labels.job }}) look alike: they share"
        " one bucket and nobody of them is blocked. Name the proxy among the trusted ones.",
    ),
    Alert(
        name="GuardFaults",
        runbook=_GUARD,
        # A part that breaks for the first time has a series that is born at 1, which increase() does not see.
        expression="increase(fraiseql_guard_faults_total[5m]) > 0"
        " or fraiseql_guard_faults_total unless fraiseql_guard_faults_total offset 5m",
        hold="0s",
        severity=_CRITICAL,
        summary="The guard of {{ $labels.instance }} is broken in part: {{ $labels.part }}",
        description="Something unexpected happened inside the guard ({{ $labels.part }}). What could not be checked was"
        " refused. The log's guard.fault lines say what it was.",
    ),
    Alert(
        name="GuardLabelOverflow",
        runbook=_GUARD,
        expression="sum by (job, metric) (increase(fraiseql_guard_label_overflow_total[5m])) > 0",
        hold="0s",
        severity=_INFO,
        summary="{{ $labels.metric }} has more callers than labels",
        description="Events of {{ $labels.metric }} are counted under __other__: more users or addresses than a metric"
        " may have. Sums are still exact; the log has the names.",
    ),
    Alert(
        name="GuardLogLinesLost",
        runbook=_GUARD,
        expression="sum by (job, instance) (increase(fraiseql_guard_log_failures_total[5m])) > 0",
        hold="0s",
        severity=_WARNING,
        summary="{{ $labels.instance }} cannot write its log",
        description="Log lines of {{ $labels.instance }} ({{ $labels.job }}) are lost: the disk is full, the file"
        " cannot be opened, or nobody reads the pipe.",
    ),
    Alert(
        name="GuardRequestsAbandoned",
        runbook=_GUARD,
        expression="sum by (job, instance) (increase(fraiseql_guard_abandoned_total[5m])) > 0",
        hold="5m",
        severity=_WARNING,
        summary="The app of {{ $labels.instance }} goes on after its deadline",
        description="Requests of {{ $labels.instance }} ({{ $labels.job }}) were cancelled and did not end: the app"
        " swallows its cancellation, and its work is no longer bounded.",
    ),
)

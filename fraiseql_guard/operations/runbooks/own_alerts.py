"""Alerts about the guard itself, for which the contract has none."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.core.settings import name_of
from fraiseql_guard.operations.runbooks.model import Alert, Runbook, Severity

_CRITICAL, _WARNING, _INFO = Severity.CRITICAL, Severity.WARNING, Severity.INFO
_GUARD = Runbook.GUARD

_SEEN: Final = "fraiseql_response_time_seconds_count"
"""A series that every instance has from its start."""


def _happened(metric: str, by: str) -> str:
    """The expression for the counts of a metric within [5m], by labels: the whole value of a new series, else its
    increase.

    A new instance's counter may be above 0 at its first scrape. A series that was seen within a day is not new, however
    many scrapes were missed since.
    """
    # increase() needs two samples, and takes the first sample of a series as its zero.
    born = f"({metric} unless present_over_time({metric}[1d] offset 5m))"
    return f"sum by ({by}) ({born} or increase({metric}[5m]))"


OWN_ALERTS: Final[tuple[Alert, ...]] = (
    Alert(
        name="GuardUnavailable",
        runbook=_GUARD,
        # It fires at 5 % of all. The 1 % leaves out codes that hardly occur; the rate is the least traffic.
        expression="fraiseql:unavailable_code:ratio > 0.01"
        " and on (job) fraiseql:unavailable:ratio > 0.05 and on (job) fraiseql:unavailable:rate > 0.02",
        hold="2m",
        severity=_CRITICAL,
        summary="{{ $value | humanizePercentage }} of all requests are answered 503 {{ $labels.code }}",
        description="The guard of {{ $labels.job }} answers more than 5 % of all requests with 503, for reasons that"
        " callers cannot change; {{ $labels.code }} is one of them.",
    ),
    Alert(
        name="GuardConcurrencyLimit",
        runbook=_GUARD,
        expression="fraiseql:concurrency_limited:ratio > 0.1 and on (job) fraiseql:concurrency_limited:rate > 0.1",
        hold="5m",
        severity=_WARNING,
        summary="{{ $value | humanizePercentage }} of all requests are refused because their callers have too many"
        " operations at work",
        description="More than 10 % of the requests to {{ $labels.job }} are answered CONCURRENCY_LIMIT: one caller"
        " asks for too much at once, or operations take so long that everybody does.",
    ),
    Alert(
        name="AppServerErrors",
        runbook=_GUARD,
        expression="fraiseql:server_errors:ratio > 0.05 and on (job) fraiseql:server_errors:rate > 0.05",
        hold="3m",
        severity=_CRITICAL,
        summary="The app fails to serve {{ $value | humanizePercentage }} of all requests",
        description="The app behind the guard of {{ $labels.job }} answers more than 5 % of all requests with a status"
        " of 500 or more.",
    ),
    Alert(
        name="AppGraphQLErrors",
        runbook=_GUARD,
        # AppServerErrors misses answers with errors, which mostly have the status 200.
        expression="fraiseql:graphql_errors:ratio > 0.25 and on (job) fraiseql:graphql_errors:rate > 0.05",
        hold="5m",
        severity=_WARNING,
        summary="{{ $value | humanizePercentage }} of the GraphQL requests end in errors",
        description="More than a quarter of the GraphQL requests that reach the app of {{ $labels.job }} end in errors,"
        " a timeout or a disconnect, whatever their HTTP status is.",
    ),
    Alert(
        name="GuardAbsent",
        runbook=_GUARD,
        # It fires for an hour at most, so that it ends for a job that was removed on purpose.
        expression=f"count by (job) (present_over_time({_SEEN}[1h])) unless on (job) count by (job) ({_SEEN})",
        hold="2m",
        severity=_CRITICAL,
        summary="No instance of {{ $labels.job }} is seen any more",
        description="Prometheus has seen {{ $value }} instances of {{ $labels.job }} within [1h] and sees none now: all"
        " are gone, or Prometheus cannot read their metrics.",
    ),
    Alert(
        name="GuardInstanceAbsent",
        runbook=_GUARD,
        # Only for targets that had the guard's metrics before.
        expression=f"max by (job, instance) (up) == 0 and on (job, instance) present_over_time({_SEEN}[1d])",
        hold="2m",
        severity=_WARNING,
        summary="{{ $labels.instance }} does not answer Prometheus",
        description="Prometheus cannot scrape {{ $labels.instance }} ({{ $labels.job }}): it has ended, its event loop"
        " is blocked, or it refuses to show its metrics.",
    ),
    Alert(
        name="GuardAdminTokenGuessed",
        runbook=_GUARD,
        # More than nine wrong tokens in five minutes: an operator mistypes fewer.
        expression="fraiseql:admin_guesses:rate > 0.03",
        hold="1m",
        severity=_WARNING,
        summary='{{ $value | printf "%.3g" }} wrong tokens a second are sent to the operator\'s API',
        description="The operator's API of {{ $labels.job }} gets wrong tokens again and again: an attacker guesses, or"
        " a program of yours still uses an old token.",
    ),
    Alert(
        name="GuardStoreDown",
        runbook=_GUARD,
        # Not only while it stays open: a breaker that opens and closes decides without Redis as often.
        expression="max by (job, instance) (avg_over_time(fraiseql_guard_store_breaker_open[2m])) > 0.25",
        hold="1m",
        severity=_CRITICAL,
        summary="{{ $labels.instance }} decides without its store (breaker open)",
        description="The breaker of {{ $labels.instance }} ({{ $labels.job }}) is open, or opens again and again:"
        " limits are decided without Redis, as the failure policy says, and sanctions of other workers are not seen.",
    ),
    Alert(
        name="GuardStoreFailing",
        runbook=_GUARD,
        expression="sum by (job, reason) (rate(fraiseql_guard_store_failures_total[5m])) > 0.1",
        hold="5m",
        severity=_WARNING,
        summary='{{ $value | printf "%.3g" }} calls to the store fail a second ({{ $labels.reason }})',
        description="Calls of {{ $labels.job }} to Redis go on failing: {{ $labels.reason }}.",
    ),
    Alert(
        name="GuardMonitoring",
        runbook=_GUARD,
        # Monitor mode is meant to end: a quarter of an hour is enough to read its counts.
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
        # Without a hold: the sanction is in force already.
        hold="0s",
        severity=_INFO,
        summary="Callers blocked automatically: {{ $value }} ({{ $labels.policy }})",
        description="The guard of {{ $labels.job }} has blocked callers for {{ $labels.policy }} within [5m]. The log"
        " names them, and lifting is one command.",
    ),
    Alert(
        name="GuardSharedPeer",
        runbook=_GUARD,
        expression="max by (job, instance) (fraiseql_guard_shared_peer) == 1",
        hold="1m",
        severity=_WARNING,
        summary="A proxy in front of {{ $labels.instance }} is not trusted",
        description="All callers behind a proxy of {{ $labels.instance }} ({{ $labels.job }}) look alike: they share"
        f" one bucket and none of them is blocked. Name the proxy in {name_of('trusted_proxies')}.",
    ),
    Alert(
        name="GuardFaults",
        runbook=_GUARD,
        expression=_happened("fraiseql_guard_faults_total", "job, instance, part") + " > 0",
        hold="0s",
        severity=_CRITICAL,
        summary="The guard of {{ $labels.instance }} is broken in part: {{ $labels.part }}",
        description="An unexpected error happened inside the guard ({{ $labels.part }}). What could not be checked was"
        " refused. The guard.fault lines in the log say what it was.",
    ),
    Alert(
        name="GuardLabelOverflow",
        runbook=_GUARD,
        expression="sum by (job, metric) (increase(fraiseql_guard_label_overflow_total[5m])) > 0",
        hold="0s",
        severity=_INFO,
        summary="{{ $labels.metric }} has more callers than it can name",
        description="Events of {{ $labels.metric }} are counted under __other__: there are more users or addresses than"
        " a metric may name. Sums are still exact; the log has the names.",
    ),
    Alert(
        name="GuardLogLinesLost",
        runbook=_GUARD,
        expression="sum by (job, instance) (increase(fraiseql_guard_log_failures_total[5m])) > 0",
        hold="0s",
        severity=_WARNING,
        summary="{{ $labels.instance }} cannot write its log",
        description="Log lines of {{ $labels.instance }} ({{ $labels.job }}) are lost: the disk is full, the file"
        " cannot be opened, or the pipe is not read.",
    ),
    Alert(
        name="GuardRequestsAbandoned",
        runbook=_GUARD,
        expression=_happened("fraiseql_guard_abandoned_total", "job, instance") + " > 0",
        hold="0s",  # requests abandoned at once raise the increase for [5m] alone: a hold could outlast it
        severity=_WARNING,
        summary="The app of {{ $labels.instance }} goes on after its deadline",
        description="Requests of {{ $labels.instance }} ({{ $labels.job }}) were cancelled and did not end: the app"
        " ignores the cancellation, so that no deadline bounds its work.",
    ),
    Alert(
        name="GuardSocketsNearlyFull",
        runbook=_GUARD,
        expression="fraiseql:sockets:ratio > 0.8",
        hold="5m",
        severity=_WARNING,
        summary="{{ $labels.instance }} has {{ $value | humanizePercentage }} of its WebSockets open",
        description="{{ $labels.instance }} ({{ $labels.job }}) has more than 80 % of its allowed WebSockets open."
        " Callers without a verified user may be refused already.",
    ),
    Alert(
        name="GuardSocketReconnectStorm",
        runbook=_GUARD,
        # More than five times the open connections in a minute; a few lone clients are no storm.
        expression="fraiseql:sockets_opened:rate * 12 > sum by (job) (fraiseql_guard_sockets)"
        " and on (job) fraiseql:sockets_opened:rate > 0.5",
        hold="3m",
        severity=_WARNING,
        summary="Clients of {{ $labels.job }} open their WebSockets again and again",
        description="In a minute, clients of {{ $labels.job }} open more than five times as many WebSockets as stay"
        " open: something ends them, and the clients come back.",
    ),
    Alert(
        name="GuardSlowConsumers",
        runbook=_GUARD,
        expression="fraiseql:slow_consumers:rate > 0.05",
        hold="5m",
        severity=_WARNING,
        summary='{{ $value | printf "%.3g" }} WebSockets of {{ $labels.instance }} are ended each second because their'
        " clients do not read",
        description="Clients of {{ $labels.instance }} ({{ $labels.job }}) do not read what they have asked for: their"
        " network is slow, or they keep memory busy on purpose.",
    ),
)

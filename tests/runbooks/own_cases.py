"""The same as cases.py, for the alerts about the guard itself, and for further ways in which the contract's fire."""

from __future__ import annotations

from collections.abc import Mapping

from tests.runbooks.cases import JOB, POD, Case

_POD = 'job="blog",instance="a:1"'

FURTHER: Mapping[str, Case] = {
    "AuthenticationServiceDown": Case(
        {f'fraiseql_guard_key_source_errors_total{{{_POD},source="jwks"}}': "0x8 0+1x40"},
        "8m",
        JOB,
        "Authentication at blog is failing as a whole",
        "At blog more than half of all requests fail to authenticate, or the keys that tokens are verified with cannot"
        " be read.",
        [{f'fraiseql_guard_key_source_errors_total{{{_POD},source="jwks"}}': "3+0x40"}],
    ),
    "GraphQLDoSDetected": Case(
        {f'fraiseql_guard_sanctions_total{{{_POD},policy="dos"}}': "0x8 1+0x50"},
        "5m",
        {**JOB, "policy": "dos"},
        "A caller was blocked for expensive queries",
        "blog is under attack by expensive queries; the guard has blocked a caller for them.",
    ),
}

OWN: Mapping[str, Case] = {
    "GuardStoreDown": Case(
        {f"fraiseql_guard_store_breaker_open{{{_POD}}}": "1x20"},
        "2m",
        POD,
        "a:1 has given up its store",
        "The breaker of a:1 (blog) is open: limits are decided without Redis, as the failure policy says, and sanctions"
        " of other workers are not seen.",
        [{f"fraiseql_guard_store_breaker_open{{{_POD}}}": "0x20"}],
    ),
    "GuardStoreFailing": Case(
        {f'fraiseql_guard_store_failures_total{{{_POD},reason="timeout"}}': "0+3x60"},
        "12m",
        {**JOB, "reason": "timeout"},
        "0.2 exchanges with the store fail a second (timeout)",
        "Exchanges of blog with Redis go on failing: timeout.",
        [{f'fraiseql_guard_store_failures_total{{{_POD},reason="timeout"}}': "0+1x60"}],
    ),
    "GuardMonitoring": Case(
        {f'fraiseql_guard_mode_monitor{{{_POD},protection="auth"}}': "1x120"},
        "16m",
        {**JOB, "protection": "auth"},
        "The protection auth of blog refuses nothing",
        "auth is in monitor mode: what it would refuse is counted and logged, and passes.",
        [{f'fraiseql_guard_mode_monitor{{{_POD},protection="auth"}}': "0x120"}],
    ),
    "GuardSanctionImposed": Case(
        {f'fraiseql_guard_sanctions_total{{{_POD},policy="brute_force"}}': "0x8 1+0x50"},
        "4m",
        {**JOB, "policy": "brute_force"},
        "1 blocked automatically (brute_force)",
        "The guard of blog has blocked callers for brute_force within 5m. The log says whom, and lifting is one"
        " command.",
        [{f'fraiseql_guard_sanctions_total{{{_POD},policy="operator"}}': "0x8 1+0x50"}],
    ),
    "GuardSharedPeer": Case(
        {f"fraiseql_guard_shared_peer{{{_POD}}}": "1x20"},
        "2m",
        POD,
        "A proxy in front of a:1 is not trusted",
        "All callers behind a proxy of a:1 (blog) look alike: they share one bucket and nobody of them is blocked. Name"
        " the proxy among the trusted ones.",
        [{f"fraiseql_guard_shared_peer{{{_POD}}}": "0x20"}],
    ),
    "GuardFaults": Case(
        {f'fraiseql_guard_faults_total{{{_POD},part="settle"}}': "_x24 1+0x50"},
        "8m",
        {**POD, "part": "settle"},
        "The guard of a:1 is broken in part: settle",
        "Something unexpected happened inside the guard (settle). What could not be checked was refused. The log's"
        " guard.fault lines say what it was.",
        [{f'fraiseql_guard_faults_total{{{_POD},part="settle"}}': "1+0x60"}],
    ),
    "GuardLabelOverflow": Case(
        {f'fraiseql_guard_label_overflow_total{{{_POD},metric="m_total"}}': "0x8 7+0x50"},
        "4m",
        {**JOB, "metric": "m_total"},
        "m_total has more callers than labels",
        "Events of m_total are counted under __other__: more users or addresses than a metric may have. Sums are still"
        " exact; the log has the names.",
        [{f'fraiseql_guard_label_overflow_total{{{_POD},metric="m_total"}}': "7+0x50"}],
    ),
    "GuardLogLinesLost": Case(
        {f"fraiseql_guard_log_failures_total{{{_POD}}}": "0x8 7+0x50"},
        "4m",
        POD,
        "a:1 cannot write its log",
        "Log lines of a:1 (blog) are lost: the disk is full, the file cannot be opened, or nobody reads the pipe.",
        [{f"fraiseql_guard_log_failures_total{{{_POD}}}": "7+0x50"}],
    ),
    "GuardRequestsAbandoned": Case(
        {f"fraiseql_guard_abandoned_total{{{_POD}}}": "0+1x60"},
        "12m",
        POD,
        "The app of a:1 goes on after its deadline",
        "Requests of a:1 (blog) were cancelled and did not end: the app swallows its cancellation, and its work is no"
        " longer bounded.",
        [{f"fraiseql_guard_abandoned_total{{{_POD}}}": "7+0x60"}],
    ),
}

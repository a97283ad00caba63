"""The same as cases.py, for the alerts about the guard itself, and for further ways in which the contract's fire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.operations.runbooks.cases import _IDLE, _POOL, JOB, POD, Case, connections, failing, operations, requests

_POD = 'job="blog",instance="a:1"'
_TOKENS = f'fraiseql_guard_auth_failures_total{{{_POD},failure_reason="invalid_signature"}}'
_FAULTS = f'fraiseql_guard_faults_total{{{_POD},part="settle"}}'
_OPENED = f'fraiseql_guard_sockets_opened_total{{{_POD},protocol="graphql_transport_ws"}}'
_SLOW = f'fraiseql_guard_sockets_closed_total{{{_POD},reason="slow_consumer"}}'
_SOCKETS_LIMIT = f"fraiseql_guard_sockets_limit{{{_POD}}}"
_ABANDONED = f"fraiseql_guard_abandoned_total{{{_POD}}}"
_ABANDONED_TEXT = (
    "The app of a:1 goes on after its deadline",
    "Requests of a:1 (blog) were cancelled and did not end: the app ignores the cancellation, so that no deadline "
    "bounds its work.",
)
_FAULTS_TEXT = (
    "The guard of a:1 is broken in part: settle",
    "An unexpected error happened inside the guard (settle). What could not be checked was refused. The guard.fault "
    "lines in the log say what it was.",
)


def refusals(code: str, protection: str = "rate_limit") -> str:
    """The series of a code's refusals."""
    return f'fraiseql_guard_refusals_total{{{_POD},protection="{protection}",code="{code}"}}'


def sockets(protocol: str = "graphql_transport_ws") -> str:
    """The series of open WebSockets."""
    return f'fraiseql_guard_sockets{{{_POD},protocol="{protocol}"}}'


def pool_of(size: int, active: int, admitted: str, refused: str) -> Case:
    """A pool that is used up at the guard's own limit, below its size."""
    return Case(
        {**connections(active, size), **operations(admitted, refused)},
        "8m",
        POD,
        "100% of the database connections are in use or asked for",
        _POOL,
    )


FURTHER: Sequence[tuple[str, Case]] = (
    # Of how many connections the guard lets operations have: in_flight.py.
    ("DatabaseConnectionPoolExhausted", pool_of(1, 1, "0+1x60", "0+9x60")),
    ("DatabaseConnectionPoolExhausted", pool_of(2, 1, "0+2x60", "0+9x60")),
    ("DatabaseConnectionPoolExhausted", pool_of(5, 3, "0+2x60", "0+3x60")),
    ("DatabaseConnectionPoolExhausted", pool_of(10, 6, "0+1x60", "0+9x60")),
    ("DatabaseConnectionPoolExhausted", pool_of(10, 5, _IDLE, "0+1x60")),  # a trickle, and nothing gets through
    ("DatabaseConnectionPoolExhausted", pool_of(20, 16, "0+24x60", "0+430x60")),
    ("DatabaseConnectionPoolExhausted", pool_of(100, 96, "0+90x60", "0+10x60")),
    (
        "DatabaseConnectionPoolExhausted",
        Case(
            {**connections(7, 10, waiting=2) | connections(7, 10, waiting=3), **operations(_IDLE)},
            "5m",
            POD,
            "100% of the database connections are in use or asked for",
            _POOL,
        ),
    ),
    (
        # All users come through one address (a server in front that asks for them): their tokens fail.
        "AuthenticationServiceDown",
        Case(
            {
                requests(outcome="unauthenticated"): "0+2x60",
                requests("own"): "0+9x60",
                _TOKENS: "0+2x60",
                failing(): "1x60",
            },
            "8m",
            JOB,
            "Authentication at blog is failing as a whole",
            "At blog more than half of all requests fail to authenticate, or the keys that tokens are verified with"
            " cannot be read.",
        ),
    ),
    (
        "AuthenticationServiceDown",
        Case(
            {f'fraiseql_guard_key_source_errors_total{{{_POD},source="url"}}': "0x8 0+1x40"},
            "8m",
            JOB,
            "Authentication at blog is failing as a whole",
            "At blog more than half of all requests fail to authenticate, or the keys that tokens are verified with"
            " cannot be read.",
            [{f'fraiseql_guard_key_source_errors_total{{{_POD},source="url"}}': "3+0x40"}],
        ),
    ),
    (
        "GraphQLDoSDetected",
        Case(
            {f'fraiseql_guard_sanctions_total{{{_POD},policy="dos"}}': "0x8 1+0x50"},
            "5m",
            {**JOB, "policy": "dos"},
            "A caller was blocked for expensive queries",
            "blog is under attack by expensive queries; the guard has blocked a caller for them.",
        ),
    ),
    # An instance that is scraped for the first time has something to tell.
    ("GuardFaults", Case({_FAULTS: "_x24 3+0x50"}, "8m", {**POD, "part": "settle"}, *_FAULTS_TEXT)),
    ("GuardRequestsAbandoned", Case({_ABANDONED: "_x24 5+0x50"}, "8m", POD, *_ABANDONED_TEXT)),
    (
        "GuardStoreDown",
        Case(
            {f"fraiseql_guard_store_breaker_open{{{_POD}}}": "1 1 0 1 1 0 1 1 0 1 1 0 1 1 0 1 1 0"},
            "4m",
            POD,
            "a:1 decides without its store (breaker open)",
            "The breaker of a:1 (blog) is open, or opens again and again: limits are decided without Redis, as the "
            "failure policy says, and sanctions of other workers are not seen.",
        ),
    ),
)

OWN: Mapping[str, Case] = {
    "GuardUnavailable": Case(
        {
            refusals("OVERLOADED"): "0+430x60",
            refusals("GUARD_FAULT"): "0+1x60",
            refusals("QUERY_TIMEOUT", "timeout"): "0+9x60",
            requests(outcome="refused"): "0+431x60",
            requests(): "0+24x60",
        },
        "8m",
        {**JOB, "code": "OVERLOADED"},
        "94.51% of all requests are answered 503 OVERLOADED",
        "The guard of blog answers more than 5 % of all requests with 503, for reasons that callers cannot change; "
        "OVERLOADED is one of them.",
        [
            {refusals("OVERLOADED"): "0+3x60", requests(outcome="refused"): "0+3x60", requests(): "0+57x60"},
            {refusals("OVERLOADED"): _IDLE, requests(): _IDLE},
            {refusals("OVERLOADED"): "0x9 1x60", requests(outcome="refused"): "0x9 1x60"},  # the only one of the night
            {refusals("RATE_LIMITED"): "0+60x60", requests(outcome="refused"): "0+60x60"},
            {refusals("CONCURRENCY_LIMIT"): "0+60x60", requests(outcome="refused"): "0+60x60"},
        ],
    ),
    "GuardConcurrencyLimit": Case(
        {refusals("CONCURRENCY_LIMIT"): "0+15x60", requests(outcome="refused"): "0+15x60", requests(): "0+45x60"},
        "12m",
        JOB,
        "25% of all requests are refused because their callers have too many operations at work",
        "More than 10 % of the requests to blog are answered CONCURRENCY_LIMIT: one caller asks for too much at once,"
        " or operations take so long that everybody does.",
        [
            {refusals("CONCURRENCY_LIMIT"): "0+6x60", requests(outcome="refused"): "0+6x60", requests(): "0+54x60"},
            {refusals("CONCURRENCY_LIMIT"): "0+1x60", requests(outcome="refused"): "0+1x60"},
        ],
    ),
    "AppServerErrors": Case(
        {requests(outcome="failed"): "0+6x60", requests("other"): "0+54x60", requests("own"): "0+500x60"},
        "10m",
        JOB,
        "The app fails to serve 10% of all requests",
        "The app behind the guard of blog answers more than 5 % of all requests with a status of 500 or more.",
        [
            {requests(outcome="failed"): "0+3x60", requests(): "0+57x60"},
            {requests(outcome="failed"): "0x9 2x60"},
            {requests(outcome="refused"): "0+60x60"},
            {requests(outcome="failed"): _IDLE, requests(): _IDLE},
        ],
    ),
    "AppGraphQLErrors": Case(
        {
            f"fraiseql_graphql_queries_errors{{{_POD}}}": "0+20x60",
            f"fraiseql_graphql_queries_success{{{_POD}}}": "0+20x60",
        },
        "12m",
        JOB,
        "50% of the GraphQL requests end in errors",
        "More than a quarter of the GraphQL requests that reach the app of blog end in errors, a timeout or a"
        " disconnect, whatever their HTTP status is.",
        [
            {
                f"fraiseql_graphql_queries_errors{{{_POD}}}": "0+10x60",
                f"fraiseql_graphql_queries_success{{{_POD}}}": "0+30x60",
            },
            {
                f"fraiseql_graphql_queries_errors{{{_POD}}}": "0x9 3x60",
                f"fraiseql_graphql_queries_success{{{_POD}}}": _IDLE,
            },
        ],
    ),
    "GuardAbsent": Case(
        {
            f"fraiseql_response_time_seconds_count{{{_POD}}}": "0+1x20 stale",
            'fraiseql_response_time_seconds_count{job="blog",instance="b:1"}': "0+1x22 stale",
        },
        "10m",
        JOB,
        "No instance of blog is seen any more",
        "Prometheus has seen 2 instances of blog within 1h and sees none now: all are gone, or Prometheus cannot "
        "read their metrics.",
        [
            {
                f"fraiseql_response_time_seconds_count{{{_POD}}}": "0+1x20 stale",
                'fraiseql_response_time_seconds_count{job="blog",instance="b:1"}': "0+1x60",
            },
        ],
    ),
    "GuardInstanceAbsent": Case(
        {
            f"up{{{_POD}}}": "1x20 0x40",
            f"fraiseql_response_time_seconds_count{{{_POD}}}": "0+1x20 stale",
            'up{job="blog",instance="b:1"}': "1x60",
            'fraiseql_response_time_seconds_count{job="blog",instance="b:1"}': "0+1x60",
        },
        "9m",
        POD,
        "a:1 does not answer Prometheus",
        "Prometheus cannot scrape a:1 (blog): it has ended, its event loop is blocked, or it refuses to show its "
        "metrics.",
        [
            {f"up{{{_POD}}}": "1x20 0x2 1x40", f"fraiseql_response_time_seconds_count{{{_POD}}}": "0+1x60"},
            {'up{job="node",instance="n:1"}': "0x60"},  # another program's
            # Taken away, as by a deployment.
            {f"up{{{_POD}}}": "1x20 stale", f"fraiseql_response_time_seconds_count{{{_POD}}}": "0+1x20 stale"},
        ],
    ),
    "GuardAdminTokenGuessed": Case(
        {f'fraiseql_guard_admin_failures_total{{{_POD},token="wrong"}}': "0+3x60"},
        "8m",
        JOB,
        "0.2 wrong tokens a second are sent to the operator's API",
        "The operator's API of blog gets wrong tokens again and again: an attacker guesses, or a program of yours "
        "still uses an old token.",
        [
            {f'fraiseql_guard_admin_failures_total{{{_POD},token="wrong"}}': "0x9 3x60"},  # typing errors
            {f'fraiseql_guard_admin_failures_total{{{_POD},token="missing"}}': "0+30x60"},
        ],
    ),
    "GuardStoreDown": Case(
        {f"fraiseql_guard_store_breaker_open{{{_POD}}}": "1x20"},
        "2m",
        POD,
        "a:1 decides without its store (breaker open)",
        "The breaker of a:1 (blog) is open, or opens again and again: limits are decided without Redis, as the "
        "failure policy says, and sanctions of other workers are not seen.",
        [
            {f"fraiseql_guard_store_breaker_open{{{_POD}}}": "0x20"},
            {f"fraiseql_guard_store_breaker_open{{{_POD}}}": "0x4 1 0x20"},  # a hiccup
        ],
    ),
    "GuardStoreFailing": Case(
        {f'fraiseql_guard_store_failures_total{{{_POD},reason="timeout"}}': "0+3x60"},
        "12m",
        {**JOB, "reason": "timeout"},
        "0.2 calls to the store fail a second (timeout)",
        "Calls of blog to Redis go on failing: timeout.",
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
        "Callers blocked automatically: 1 (brute_force)",
        "The guard of blog has blocked callers for brute_force within 5m. The log names them, and lifting is one"
        " command.",
        [{f'fraiseql_guard_sanctions_total{{{_POD},policy="operator"}}': "0x8 1+0x50"}],
    ),
    "GuardSharedPeer": Case(
        {f"fraiseql_guard_shared_peer{{{_POD}}}": "1x20"},
        "2m",
        POD,
        "A proxy in front of a:1 is not trusted",
        "All callers behind a proxy of a:1 (blog) look alike: they share one bucket and none of them is blocked. "
        "Name the proxy in FRAISEQL_GUARD_TRUSTED_PROXIES.",
        [{f"fraiseql_guard_shared_peer{{{_POD}}}": "0x20"}],
    ),
    "GuardFaults": Case(
        {_FAULTS: "0x24 1x50"},
        "8m",
        {**POD, "part": "settle"},
        *_FAULTS_TEXT,
        [
            {_FAULTS: "1+0x60"},
            {_FAULTS: "_x24 0x60"},
            {_FAULTS: "1x20 stale _x4 1x40"},  # scrapes were missed, longer than any look back
            {_FAULTS: "1x4 stale _x23 1x40"},
        ],
    ),
    "GuardLabelOverflow": Case(
        {f'fraiseql_guard_label_overflow_total{{{_POD},metric="m_total"}}': "0x8 7+0x50"},
        "4m",
        {**JOB, "metric": "m_total"},
        "m_total has more callers than it can name",
        "Events of m_total are counted under __other__: there are more users or addresses than a metric may name. "
        "Sums are still exact; the log has the names.",
        [{f'fraiseql_guard_label_overflow_total{{{_POD},metric="m_total"}}': "7+0x50"}],
    ),
    "GuardLogLinesLost": Case(
        {f"fraiseql_guard_log_failures_total{{{_POD}}}": "0x8 7+0x50"},
        "4m",
        POD,
        "a:1 cannot write its log",
        "Log lines of a:1 (blog) are lost: the disk is full, the file cannot be opened, or the pipe is not read.",
        [{f"fraiseql_guard_log_failures_total{{{_POD}}}": "7+0x50"}],
    ),
    "GuardRequestsAbandoned": Case(
        {_ABANDONED: "0x26 5x50"},  # all at once
        "8m",
        POD,
        *_ABANDONED_TEXT,
        [{_ABANDONED: "7+0x60"}, {_ABANDONED: "7x4 stale _x23 7x40"}, {_ABANDONED: "0x60"}],
    ),
    "GuardSocketsNearlyFull": Case(
        {sockets(): "0x4 1000x60", sockets("other"): "0x4 700x60", _SOCKETS_LIMIT: "2000x60"},
        "8m",
        POD,
        "a:1 has 85% of its WebSockets open",
        "a:1 (blog) has more than 80 % of its allowed WebSockets open. Callers without a verified user may be "
        "refused already.",
        [
            {sockets(): "1600x60", sockets("other"): "0x60", _SOCKETS_LIMIT: "2000x60"},
            {sockets(): "0x8 1900x8 0x60", _SOCKETS_LIMIT: "2000x60"},  # a peak
            # One worker of two is nearly full, and the other takes what comes.
            {
                sockets(): "1700x60",
                'fraiseql_guard_sockets{job="blog",instance="a:1",protocol="other"}': "0x60",
                _SOCKETS_LIMIT: "4000x60",
            },
        ],
    ),
    "GuardSocketReconnectStorm": Case(
        {_OPENED: "0+150x60", sockets(): "100x60"},
        "10m",
        JOB,
        "Clients of blog open their WebSockets again and again",
        "In a minute, clients of blog open more than five times as many WebSockets as stay open: something ends "
        "them, and the clients come back.",
        [
            {_OPENED: "0x8 500x60", sockets(): "500x8 500x60"},  # a deployment: all come back once
            {_OPENED: "0+15x60", sockets(): "100x60"},  # pages that are opened and left
            {_OPENED: "0+1x60", sockets(): "0x60"},  # a program that asks one thing a socket
            {_OPENED: "0x60", sockets(): "0x60"},
        ],
    ),
    "GuardSlowConsumers": Case(
        {_SLOW: "0+3x60"},
        "12m",
        POD,
        "0.2 WebSockets of a:1 are ended each second because their clients do not read",
        "Clients of a:1 (blog) do not read what they have asked for: their network is slow, or they keep memory busy on"
        " purpose.",
        [{_SLOW: "0x9 5x60"}, {_SLOW.replace("slow_consumer", "client"): "0+60x60"}],
    ),
}

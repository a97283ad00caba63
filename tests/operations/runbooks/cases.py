"""For every alert: series that make it fire, the text that it then has, and series that it must keep silent about.

Values are promtool's: ``0+60x40`` is a counter that grows by 60 with each of 40 scrapes, 15 seconds apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Input = Mapping[str, str]

JOB = {"job": "blog"}
POD = {"job": "blog", "instance": "a:1"}
_SEEN = 'fraiseql_response_time_seconds_count{job="blog",instance="a:1"}'
_LIMITED = 'fraiseql_guard_rate_limit_exceeded_total{job="blog",instance="a:1"}'
_FAILED = 'fraiseql_guard_auth_failures_total{job="blog",instance="a:1",failure_reason="invalid_token"}'
_TIMEOUTS = 'fraiseql_guard_refusals_total{job="blog",instance="a:1",protection="timeout",code="QUERY_TIMEOUT"}'
_STOPPED = 'fraiseql_guard_statement_timeouts_total{job="blog",instance="a:1"}'
_MEMORY = 'fraiseql_guard_memory_usage_ratio{job="blog",instance="a:1"}'


@dataclass(frozen=True, slots=True)
class Case:
    """One alert's test. ``at`` is when it fires; ``labels`` are those besides severity and runbook."""

    fires: Input
    at: str
    labels: Mapping[str, str]
    summary: str
    description: str
    silent: Sequence[Input] = field(default_factory=tuple)


def requests(kind: str = "guarded", outcome: str = "answered") -> str:
    """The series of requests of one kind that had one outcome."""
    return f'fraiseql_guard_requests_total{{job="blog",instance="a:1",kind="{kind}",outcome="{outcome}"}}'


def failing(source: str = "token") -> str:
    """The gauge of addresses that fail."""
    return f'fraiseql_guard_failing_addresses{{job="blog",instance="a:1",source="{source}"}}'


def connections(active: int, total: int, waiting: int = 0, instance: str = "a:1") -> dict[str, str]:
    """The gauges of a pool that stays as it is."""
    target = f'job="blog",instance="{instance}"'
    return {
        f"fraiseql_db_connections_active{{{target}}}": f"{active}x60",
        f"fraiseql_db_connections_total{{{target}}}": f"{total}x60",
        f"fraiseql_guard_db_connections_waiting{{{target}}}": f"{waiting}x60",
    }


def operations(reached: str, refused: str = "0+0x60") -> dict[str, str]:
    """The counters of operations that reached the app, and of those that were refused for the pool."""
    code = 'protection="rate_limit",code="OVERLOADED"'
    return {
        'fraiseql_graphql_queries_total{job="blog",instance="a:1"}': reached,
        f'fraiseql_guard_refusals_total{{job="blog",instance="a:1",{code}}}': refused,
    }


def logins(outcome: str) -> str:
    """The series of logins that the app reported."""
    return f'fraiseql_guard_logins_total{{job="blog",instance="a:1",outcome="{outcome}"}}'


def limited_by(user: str, address: str = "203.0.113.9") -> str:
    """The series of a user's refusals for the rate."""
    return f'fraiseql_rate_limit_exceeded_total{{job="blog",instance="a:1",user_id="{user}",ip_address="{address}"}}'


def failed_from(address: str) -> str:
    """The series of an address's failed authentications."""
    return (
        'fraiseql_auth_failures_total{job="blog",instance="a:1",failure_reason="invalid_token",user_id="anonymous",'
        f'ip_address="{address}"}}'
    )


def timed_out(user: str) -> str:
    """The series of a user's queries that were stopped at their deadline."""
    return f'fraiseql_errors_total{{job="blog",instance="a:1",error_code="QUERY_TIMEOUT",user_id="{user}"}}'


def duration_of(metric: str, total: str, count: str, labels: str) -> Input:
    """The two series of a histogram that make its mean."""
    return {
        f'{metric}_sum{{job="blog",instance="a:1",{labels}}}': total,
        f'{metric}_count{{job="blog",instance="a:1",{labels}}}': count,
    }


_QUERY = "fraiseql_graphql_query_duration_seconds"
_SQL = "fraiseql_db_query_duration_seconds"
_OF_BOB = 'user_id="bob"'
_OF_POSTS = 'query_type="select",table_name="posts"'
_IDLE = "0+0x60"

_POOL = (
    "More than 90 % of the connection pool of a:1 (blog) are in use, or would be: requests that wait for a connection,"
    " and those that are refused (OVERLOADED) to keep some free, count as well."
)

CONTRACT: Mapping[str, Case] = {
    "HighRateLimitViolations": Case(
        {_LIMITED: "0+90x60"},
        "12m",
        JOB,
        "6 requests a second are refused by rate limits",
        "blog refuses more than 5 requests a second with 429. Find out whether that is one caller (an attack, a loop)"
        " or everybody (a limit that is too low).",
        [{_LIMITED: "0+75x60"}, {_LIMITED: _IDLE}, {_LIMITED: "0+900x4 3600+0x56"}],
    ),
    "RateLimitAbuseDetected": Case(
        {limited_by("bob"): "0+180x60", limited_by("anonymous"): "0+600x60", limited_by("alice"): "0+15x60"},
        "8m",
        {**JOB, "user_id": "bob"},
        "User bob is refused 12 times a second",
        "User bob of blog is refused more than 10 times a second, and goes on. Block the user, or raise the user's "
        "limit if the traffic is wanted.",
        [
            {limited_by("bob"): "0+150x60"},
            {limited_by("anonymous"): "0+6000x60"},
            {limited_by("__other__"): "0+6000x60"},
            {limited_by("a"): "0+90x60", limited_by("b"): "0+90x60"},
        ],
    ),
    "RateLimitingImpactingUsers": Case(
        {_LIMITED: "0+15x60", requests(outcome="refused"): "0+15x60", requests("other"): "0+45x60"},
        "12m",
        JOB,
        "25% of all requests are refused by rate limits",
        "More than 10 % of the requests to blog are answered 429. If no single caller stands out, the limits are too"
        " low for the ordinary traffic.",
        [
            {_LIMITED: "0+6x60", requests(): "0+60x60"},
            {_LIMITED: _IDLE, requests(): _IDLE},
            {_LIMITED: "0+1x60", requests(): "0+2x60"},  # one crawler at night
        ],
    ),
    "HighAuthFailureRate": Case(
        {_FAILED: "0+90x60"},
        "12m",
        JOB,
        "6 authentications fail a second",
        "More than 5 authentications a second fail at blog. The reasons tell an attack (invalid_token from few"
        " addresses) from a rotation gone wrong (invalid_signature from everywhere).",
        [{_FAILED: "0+75x60"}, {_FAILED: _IDLE}],
    ),
    "AuthenticationServiceDown": Case(
        {
            # At night: one request in 15 s fails, while Prometheus and probes ask as often, and pages are looked at.
            requests(outcome="unauthenticated"): "0+1x60",
            requests("own"): "0+2x60",
            requests("other"): "0+3x60",
            requests("browser"): "0+1x60",
            _FAILED.replace("invalid_token", "missing_token"): "0+1x60",
            failing(): "3x60",
        },
        "8m",
        JOB,
        "Authentication at blog is failing as a whole",
        "At blog more than half of all requests fail to authenticate, or the keys that tokens are verified with cannot"
        " be read.",
        [
            {
                requests(outcome="unauthenticated"): "0+30x60",
                requests(): "0+30x60",
                _FAILED: "0+30x60",
                failing(): "9x60",
            },
            {requests(outcome="unauthenticated"): _IDLE, requests(): _IDLE, _FAILED: _IDLE, failing(): "0x60"},
            {  # one client without a token, and no other caller
                requests(outcome="unauthenticated"): "0+15x60",
                _FAILED.replace("invalid_token", "missing_token"): "0+15x60",
                failing(): "1x60",
            },
            {  # one client with an old token, which asks once in a minute
                requests(outcome="unauthenticated"): "0x3 1x3 2x3 3x3 4x3 5x3 6x3 7x3 8x3 9x20",
                _FAILED: "0x3 1x3 2x3 3x3 4x3 5x3 6x3 7x3 8x3 9x20",
                failing(): "1x60",
            },
        ],
    ),
    "CredentialStuffing": Case(
        {failing("login"): "60x60", logins("failed"): "0+6x60", logins("succeeded"): "0+2x60"},
        "8m",
        {**JOB, "source": "login"},
        "Logins fail from 60 addresses or more",
        "More than half of the logins of blog fail, and from more than 20 addresses: stolen passwords are tried, a "
        "few from each address, so that no single address is blocked.",
        [
            {failing("login"): "60x60", logins("failed"): "0+2x60", logins("succeeded"): "0+6x60"},  # a busy morning
            {failing("login"): "2x60", logins("failed"): "0+60x60", logins("succeeded"): "0+2x60"},
            {failing("token"): "60x60", logins("failed"): "0+6x60", logins("succeeded"): "0+2x60"},
            {failing("login"): "60x60", logins("failed"): _IDLE, logins("succeeded"): _IDLE},
        ],
    ),
    "BruteForceDetected": Case(
        {failed_from("203.0.113.9"): "0+165x60", failed_from("__other__"): "0+600x60"},
        "8m",
        {**JOB, "ip_address": "203.0.113.9"},
        "203.0.113.9 fails to authenticate 11 times a second",
        "More than 10 authentications a second fail from 203.0.113.9 at blog. Unless the address is a proxy of many"
        " users, block it.",
        [
            {failed_from("203.0.113.9"): "0+150x60"},
            {failed_from("__other__"): "0+6000x60"},
            {failed_from("unknown"): "0+6000x60"},
        ],
    ),
    "MassAccountLockout": Case(
        {'fraiseql_account_lockouts_total{job="blog",instance="a:1"}': "0x8 0+1x6 6+0x40"},
        "5m",
        JOB,
        "6 logins were locked out within 5m",
        "More than 5 logins of blog were locked out within 5m: passwords are being guessed, or a client still uses "
        "an old one.",
        [
            {'fraiseql_account_lockouts_total{job="blog",instance="a:1"}': "0x8 0+1x5 5+0x40"},
            {'fraiseql_account_lockouts_total{job="blog",instance="a:1"}': "40+0x60"},
        ],
    ),
    "GraphQLQueryDurationSpike": Case(
        {**duration_of(_QUERY, "0+24x60", "0+2x60", _OF_BOB), **duration_of(_QUERY, _IDLE, _IDLE, 'user_id="alice"')},
        "10m",
        JOB,
        "A GraphQL query takes 12s on average",
        "The mean GraphQL query of blog takes more than 10 seconds: expensive queries pass the limits, or the database"
        " is slow.",
        [duration_of(_QUERY, "0+18x60", "0+2x60", _OF_BOB), duration_of(_QUERY, _IDLE, _IDLE, _OF_BOB)],
    ),
    "GraphQLQueryTimeouts": Case(
        {_TIMEOUTS: "0+10x60", _STOPPED: "0+20x60"},
        "8m",
        JOB,
        "2 queries a second are stopped at their deadline",
        "More than 1 query a second of blog does not finish in time: expensive queries pass the limits, or the "
        "database is slow.",
        [
            {_TIMEOUTS: "0+15x60", _STOPPED: _IDLE},
            {_TIMEOUTS: "0+7x60", _STOPPED: "0+8x60"},
            {_TIMEOUTS.replace("QUERY_TIMEOUT", "RATE_LIMITED"): "0+300x60", _STOPPED: _IDLE},
        ],
    ),
    "GraphQLComplexityViolations": Case(
        {'fraiseql_graphql_query_complexity_exceeded_total{job="blog",instance="a:1"}': "0+30x60"},
        "12m",
        JOB,
        "2 queries a second are over the limits on complexity or depth",
        "More than 1 query a second to blog is refused as too complex or too deep: the limits are probed, or a new"
        " client asks for more than they admit.",
        [{'fraiseql_graphql_query_complexity_exceeded_total{job="blog",instance="a:1"}': "0+15x60"}],
    ),
    "GraphQLDoSDetected": Case(
        {timed_out("bob"): "0+90x60", timed_out("__other__"): "0+900x60"},
        "8m",
        {**JOB, "user_id": "bob"},
        "More than 5 queries a second of user bob are stopped at their deadline",
        "blog is under attack by expensive queries of user bob.",
        [
            {timed_out("bob"): "0+75x60"},
            {timed_out("anonymous"): "0+900x60"},
            {timed_out("__other__"): "0+900x60"},
            {'fraiseql_guard_sanctions_total{job="blog",instance="a:1",policy="brute_force"}': "0x8 9+0x50"},
        ],
    ),
    "DatabaseSlowQueries": Case(
        {**duration_of(_SQL, "0+12x60", "0+2x60", _OF_POSTS)},
        "12m",
        JOB,
        "A database query takes 6s on average",
        "The mean SQL statement of blog takes more than 5 seconds.",
        [duration_of(_SQL, "0+9x60", "0+2x60", _OF_POSTS), duration_of(_SQL, _IDLE, _IDLE, _OF_POSTS)],
    ),
    "DatabaseConnectionPoolExhausted": Case(
        {**connections(19, 20), **connections(1, 20, instance="b:1"), **operations(_IDLE)},
        "5m",
        POD,
        "95% of the database connections are in use or asked for",
        _POOL,
        [
            {**connections(18, 20), **operations(_IDLE)},
            {**connections(18, 20), **operations("0+90x60", "0+0x60")},
            {**connections(1, 20), **operations("0+60x60", "0+60x60")},  # refused for operations that use no database
            {**connections(0, 20), **operations(_IDLE, "0+60x60")},
            {**connections(6, 10), **operations("0+90x60", "0+10x60")},
        ],
    ),
    "DatabaseQueryTimeouts": Case(
        {_TIMEOUTS: _IDLE, _STOPPED: "0+3x60"},
        "10m",
        JOB,
        "0.2 queries a second are stopped at their deadline",
        "More than one query in 10 seconds of blog does not finish in time, or PostgreSQL stops one of its statements.",
        [{_TIMEOUTS: "0+1x60", _STOPPED: _IDLE}, {_TIMEOUTS: _IDLE, _STOPPED: _IDLE}],
    ),
    "DatabaseCacheHitRateLow": Case(
        {
            'pg_stat_database_blks_hit{job="pg",instance="p:1",datname="blog",datid="1"}': "0+900x120",
            'pg_stat_database_blks_read{job="pg",instance="p:1",datname="blog",datid="1"}': "0+100x120",
        },
        "20m",
        {"job": "pg", "datname": "blog"},
        "PostgreSQL finds only 90% of its blocks in its cache",
        "Database blog reads more than 5 % of its blocks from outside its cache.",
        [
            {
                'pg_stat_database_blks_hit{job="pg",instance="p:1",datname="blog",datid="1"}': "0+960x120",
                'pg_stat_database_blks_read{job="pg",instance="p:1",datname="blog",datid="1"}': "0+40x120",
            },
            {
                'pg_stat_database_blks_hit{job="pg",instance="p:1",datname="blog",datid="1"}': "0+0x120",
                'pg_stat_database_blks_read{job="pg",instance="p:1",datname="blog",datid="1"}': "0+0x120",
            },
        ],
    ),
    "HighMemoryUsage": Case(
        {_MEMORY: "0.85x60"},
        "7m",
        POD,
        "a:1 uses 85% of its memory",
        "a:1 (blog) uses more than 80 % of the memory that it may have.",
        [{_MEMORY: "0.8x60"}, {_MEMORY: "0.85x8 0.5x50"}],
    ),
    "CriticalMemoryUsage": Case(
        {_MEMORY: "0.95x60"},
        "4m",
        POD,
        "a:1 uses 95% of its memory",
        "a:1 (blog) uses more than 90 % of the memory that it may have, and will be killed when it reaches all of it.",
        [{_MEMORY: "0.9x60"}],
    ),
    "MemoryLeak": Case(
        {
            'process_resident_memory_bytes{job="blog",instance="a:1",pid="7"}': "100000000+131072x480",
            _SEEN: "0+1x480",
        },
        "110m",
        POD,
        "a:1 grew by 15MiB within 30m",
        "The resident memory of a:1 (blog) goes on growing by more than 10 MiB within 30m.",
        [
            {'process_resident_memory_bytes{job="blog",instance="a:1"}': "100000000+80000x480", _SEEN: "0+1x480"},
            {'process_resident_memory_bytes{job="prometheus",instance="p:1"}': "1+131072x480", _SEEN: "0+1x480"},
        ],
    ),
    "ExcessiveGarbageCollection": Case(
        {
            'python_gc_collections_total{job="blog",instance="a:1",generation="0"}': "0+150x120",
            'python_gc_collections_total{job="blog",instance="a:1",generation="1"}': "0+15x120",
            _SEEN: "0+1x120",
        },
        "20m",
        POD,
        "a:1 collects garbage 11 times a second",
        "Python collects garbage more than 10 times a second in a:1 (blog): the app makes many objects and keeps "
        "them for a while.",
        [
            {'python_gc_collections_total{job="blog",instance="a:1",generation="0"}': "0+150x120", _SEEN: "0+1x120"},
            {'python_gc_collections_total{job="other",instance="o:1",generation="0"}': "0+900x120", _SEEN: "0+1x120"},
        ],
    ),
}

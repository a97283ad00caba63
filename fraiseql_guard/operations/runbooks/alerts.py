"""The alerts of the contract, with its names and thresholds, and further alerts of the same runbooks.

Their expressions differ from the contract's where these could not fire while limits are enforced.
docs/runbooks/README.md gives the reason for each expression.
"""

from __future__ import annotations

from typing import Final

from fraiseql_guard.operations.runbooks.model import Alert, Runbook, Severity

_CRITICAL, _WARNING = Severity.CRITICAL, Severity.WARNING
_RATE, _AUTH, _DOS = Runbook.RATE_LIMITING, Runbook.AUTHENTICATION, Runbook.QUERY_DOS
_DATABASE, _MEMORY = Runbook.DATABASE, Runbook.MEMORY

RUNBOOK_ALERTS: Final[tuple[Alert, ...]] = (
    # --- rate limiting
    Alert(
        name="HighRateLimitViolations",
        runbook=_RATE,
        expression="fraiseql:rate_limited:rate > 5",
        hold="5m",
        severity=_WARNING,
        summary='{{ $value | printf "%.3g" }} requests a second are refused by rate limits',
        description="{{ $labels.job }} refuses more than 5 requests a second with 429. Find out whether that is one"
        " caller (an attack, a loop) or everybody (a limit that is too low).",
    ),
    Alert(
        name="RateLimitAbuseDetected",
        runbook=_RATE,
        expression="fraiseql:rate_limited_user:rate > 10",
        hold="2m",
        severity=_CRITICAL,
        summary='User {{ $labels.user_id }} is refused {{ $value | printf "%.3g" }} times a second',
        description="User {{ $labels.user_id }} of {{ $labels.job }} is refused more than 10 times a second, and goes"
        " on. Block the user, or raise the user's limit if the traffic is wanted.",
    ),
    Alert(
        name="RateLimitingImpactingUsers",
        runbook=_RATE,
        # Least traffic: one crawler at night does not affect users.
        expression="fraiseql:rate_limited:ratio > 0.1 and on (job) fraiseql:rate_limited:rate > 0.1",
        hold="5m",
        severity=_WARNING,
        summary="{{ $value | humanizePercentage }} of all requests are refused by rate limits",
        description="More than 10 % of the requests to {{ $labels.job }} are answered 429. If no single caller stands"
        " out, the limits are too low for the ordinary traffic.",
    ),
    # --- authentication
    Alert(
        name="HighAuthFailureRate",
        runbook=_AUTH,
        expression="fraiseql:auth_failures:rate > 5",
        hold="5m",
        severity=_WARNING,
        summary='{{ $value | printf "%.3g" }} authentications fail a second',
        description="More than 5 authentications a second fail at {{ $labels.job }}. The reasons tell an attack"
        " (invalid_token from few addresses) from a rotation gone wrong (invalid_signature from everywhere).",
    ),
    Alert(
        name="AuthenticationServiceDown",
        runbook=_AUTH,
        # Least traffic: one client without a token, alone at night, is no outage. It is one if several addresses fail,
        # or if tokens fail, even where all callers come through one address.
        expression="fraiseql:auth_failures:ratio > 0.5 and on (job)"
        ' (fraiseql:failing_addresses:max{source="token"} >= 3 or fraiseql:token_failures:rate > 0.05)'
        " or fraiseql:key_source_errors:increase > 0",
        hold="2m",
        severity=_CRITICAL,
        summary="Authentication at {{ $labels.job }} is failing as a whole",
        description="At {{ $labels.job }} more than half of all requests fail to authenticate, or the keys that tokens"
        " are verified with cannot be read.",
    ),
    Alert(
        name="CredentialStuffing",
        runbook=_AUTH,
        # Many addresses with many attempts that mostly fail: a handful of typing errors is no attack.
        expression='fraiseql:failing_addresses:max{source="login"} > 20'
        " and on (job) fraiseql:failed_logins:ratio > 0.5 and on (job) fraiseql:failed_logins:rate > 0.1",
        hold="2m",
        severity=_CRITICAL,
        summary="Logins fail from {{ $value }} addresses or more",
        description="More than half of the logins of {{ $labels.job }} fail, and from more than 20 addresses: stolen"
        " passwords are tried, a few from each address, so that no single address is blocked.",
    ),
    Alert(
        name="BruteForceDetected",
        runbook=_AUTH,
        expression="fraiseql:auth_failures_address:rate > 10",
        hold="2m",
        severity=_CRITICAL,
        summary='{{ $labels.ip_address }} fails to authenticate {{ $value | printf "%.3g" }} times a second',
        description="More than 10 authentications a second fail from {{ $labels.ip_address }} at {{ $labels.job }}."
        " Unless the address is a proxy of many users, block it.",
    ),
    Alert(
        name="MassAccountLockout",
        runbook=_AUTH,
        expression="fraiseql:lockouts:increase > 5",
        hold="1m",
        severity=_WARNING,
        summary="{{ $value }} logins were locked out within [5m]",
        description="More than 5 logins of {{ $labels.job }} were locked out within [5m]: passwords are being guessed,"
        " or a client still uses an old one.",
    ),
    # --- GraphQL
    Alert(
        name="GraphQLQueryDurationSpike",
        runbook=_DOS,
        expression="fraiseql:query_duration:mean > 10",
        hold="3m",
        severity=_CRITICAL,
        summary="A GraphQL query takes {{ $value | humanizeDuration }} on average",
        description="The mean GraphQL query of {{ $labels.job }} takes more than 10 seconds: expensive queries pass the"
        " limits, or the database is slow.",
    ),
    Alert(
        name="GraphQLQueryTimeouts",
        runbook=_DOS,
        expression="fraiseql:query_timeouts:rate > 1",
        hold="2m",
        severity=_CRITICAL,
        summary='{{ $value | printf "%.3g" }} queries a second are stopped at their deadline',
        description="More than 1 query a second of {{ $labels.job }} does not finish in time: expensive queries pass"
        " the limits, or the database is slow.",
    ),
    Alert(
        name="GraphQLComplexityViolations",
        runbook=_DOS,
        expression="fraiseql:complexity_violations:rate > 1",
        hold="5m",
        severity=_WARNING,
        summary='{{ $value | printf "%.3g" }} queries a second are over the limits on complexity or depth',
        description="More than 1 query a second to {{ $labels.job }} is refused as too complex or too deep: the"
        " limits are probed, or a new client asks for more than they admit.",
    ),
    Alert(
        name="GraphQLDoSDetected",
        runbook=_DOS,
        # Limits on a caller's operations at work prevent 5 timeouts a second: a block tells of the same attack earlier.
        expression='fraiseql:query_timeouts_user:rate > 5 or fraiseql:sanctions:increase{policy="dos"} > 0',
        hold="2m",
        severity=_CRITICAL,
        summary="{{ with $labels.user_id }}More than 5 queries a second of user {{ . }} are stopped at their deadline"
        "{{ else }}A caller was blocked for expensive queries{{ end }}",
        description="{{ $labels.job }} is under attack by expensive queries"
        "{{ with $labels.user_id }} of user {{ . }}{{ else }}; the guard has blocked a caller for them{{ end }}.",
    ),
    # --- database
    Alert(
        name="DatabaseSlowQueries",
        runbook=_DATABASE,
        expression="fraiseql:db_query_duration:mean > 5",
        hold="5m",
        severity=_WARNING,
        summary="A database query takes {{ $value | humanizeDuration }} on average",
        description="The mean SQL statement of {{ $labels.job }} takes more than 5 seconds.",
    ),
    Alert(
        name="DatabaseConnectionPoolExhausted",
        runbook=_DATABASE,
        expression="fraiseql:db_connections:ratio > 0.9",
        hold="2m",
        severity=_CRITICAL,
        summary="{{ $value | humanizePercentage }} of the database connections are in use or asked for",
        description="More than 90 % of the connection pool of {{ $labels.instance }} ({{ $labels.job }}) are in use, or"
        " would be: requests that wait for a connection, and those that are refused (OVERLOADED) to keep some free,"
        " count as well.",
    ),
    Alert(
        name="DatabaseQueryTimeouts",
        runbook=_DATABASE,
        expression="fraiseql:query_timeouts:rate > 0.1",
        hold="3m",
        severity=_WARNING,
        summary='{{ $value | printf "%.3g" }} queries a second are stopped at their deadline',
        description="More than one query in 10 seconds of {{ $labels.job }} does not finish in time, or PostgreSQL"
        " stops one of its statements.",
    ),
    Alert(
        name="DatabaseCacheHitRateLow",
        runbook=_DATABASE,
        expression="fraiseql:db_cache_hit:ratio < 0.95",
        hold="10m",
        severity=_WARNING,
        summary="PostgreSQL finds only {{ $value | humanizePercentage }} of its blocks in its cache",
        description="Database {{ $labels.datname }} reads more than 5 % of its blocks from outside its cache.",
    ),
    # --- memory
    Alert(
        name="HighMemoryUsage",
        runbook=_MEMORY,
        expression="fraiseql_guard_memory_usage_ratio > 0.8",
        hold="5m",
        severity=_WARNING,
        summary="{{ $labels.instance }} uses {{ $value | humanizePercentage }} of its memory",
        description="{{ $labels.instance }} ({{ $labels.job }}) uses more than 80 % of the memory that it may have.",
    ),
    Alert(
        name="CriticalMemoryUsage",
        runbook=_MEMORY,
        expression="fraiseql_guard_memory_usage_ratio > 0.9",
        hold="2m",
        severity=_CRITICAL,
        summary="{{ $labels.instance }} uses {{ $value | humanizePercentage }} of its memory",
        description="{{ $labels.instance }} ({{ $labels.job }}) uses more than 90 % of the memory that it may have, and"
        " will be killed when it reaches all of it.",
    ),
    Alert(
        name="MemoryLeak",
        runbook=_MEMORY,
        expression="fraiseql:resident_memory:growth > 10 * 1024 * 1024",
        # A cache that fills up stops growing before that.
        hold="1h",
        severity=_WARNING,
        summary="{{ $labels.instance }} grew by {{ $value | humanize1024 }}B within [30m]",
        description="The resident memory of {{ $labels.instance }} ({{ $labels.job }}) goes on growing by more than"
        " 10 MiB within [30m].",
    ),
    Alert(
        name="ExcessiveGarbageCollection",
        runbook=_MEMORY,
        expression="fraiseql:gc_collections:rate > 10",
        hold="10m",
        severity=_WARNING,
        summary='{{ $labels.instance }} collects garbage {{ $value | printf "%.3g" }} times a second',
        description="Python collects garbage more than 10 times a second in {{ $labels.instance }} ({{ $labels.job }}):"
        " the app makes many objects and keeps them for a while.",
    ),
)

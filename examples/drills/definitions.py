"""The drills: who attacks and how, which alert must fire, what the runbook does, and how recovery is verified.

Every expression and command is the runbook's (docs/runbooks), with the example names of its page replaced by those that
the look brought.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from examples.drills.container import PAGES, ROOM
from fraiseql_guard.core.settings import name_of
from fraiseql_guard.core.signals import DB_QUERY_TIMEOUT, EXPENSIVE_QUERY, Event
from fraiseql_guard.operations.runbooks.model import Runbook


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """Callers who send one document again and again. ``{n}`` is the number of the request.

    ``user`` None: the tokens are forged. ``times``: how often all of them together; None: until the end of the drill.
    ``statement`` is what runs in the app's database meanwhile, until it is stopped. With ``sockets`` each request opens
    a WebSocket and holds it, and there is no document.
    """

    document: str
    address: str
    user: str | None = None
    callers: int = 4
    pause_seconds: float = 0.1
    times: int | None = None
    statement: str = ""
    sockets: bool = False


@dataclass(frozen=True, slots=True)
class Ranked:
    """Prometheus is asked who it is: the labels of the series with the highest value."""

    expression: str


@dataclass(frozen=True, slots=True)
class Logged:
    """The log is asked (`fraiseql-guard logs`): the commonest value of ``column``, which is a ``name``."""

    event: Event
    column: str
    name: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A command of fraiseql-guard is asked: ``column`` of the first row of its list."""

    command: str
    column: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """One incident. ``actions`` are arguments of fraiseql-guard; braces are filled with what the look found.

    ``hits_everybody``: ordinary users are not served while it lasts, and must be once it has ended. ``office`` is how
    many clients hold a subscription from behind one address; they are all closed right before the attack, as by a
    deployment, and must have come back in the end.
    """

    name: str
    runbook: Runbook
    attack: Attack
    alert: str
    look: Ranked | Logged | Listed
    actions: tuple[str, ...]
    verify: str
    hits_everybody: bool = False
    office: int = 0
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


_LOCK: Final = """
    DO $migration$ BEGIN
        LOCK TABLE tb_user, tb_post IN ACCESS EXCLUSIVE MODE;
        PERFORM pg_sleep(600);
    END $migration$
"""
_TOO_DEEP: Final = "{ posts(limit: 1) { author " + "{invitedBy" * 25 + "{name}" + "}" * 25 + " } }"

DRILLS: Final[Mapping[str, Drill]] = {
    drill.name: drill
    for drill in (
        Drill(
            name="rate-limiting",
            runbook=Runbook.RATE_LIMITING,
            attack=Attack(document="{ users(limit: 1) { name } }", address="203.0.113.9", user="eve"),
            alert="HighRateLimitViolations",
            look=Ranked("topk(10, sum by (ip_address) (rate(fraiseql_rate_limit_exceeded_total[5m])))"),
            actions=("block {ip_address} --for 1h",),
            verify="fraiseql:rate_limited:rate < 5",
            environment={name_of("rate_limit_authenticated"): "300/minute"},
        ),
        Drill(
            name="authentication",
            runbook=Runbook.AUTHENTICATION,
            attack=Attack(document="{ users(limit: 1) { name } }", address="203.0.113.7"),
            alert="BruteForceDetected",
            look=Ranked("topk(10, sum by (ip_address) (rate(fraiseql_auth_failures_total[5m])))"),
            actions=("block {ip_address} --for 1h",),
            verify="fraiseql:auth_failures:rate < 5",
        ),
        Drill(
            name="query-dos",
            runbook=Runbook.QUERY_DOS,
            attack=Attack(document=_TOO_DEEP, address="203.0.113.11", user="mallory", callers=2, pause_seconds=0.2),
            alert="GraphQLComplexityViolations",
            look=Logged(EXPENSIVE_QUERY, "users", "user_id"),
            actions=("block --user {user_id} --for 1h",),
            verify="fraiseql:complexity_violations:rate < 1",
        ),
        Drill(
            name="database",
            runbook=Runbook.DATABASE,
            attack=Attack(
                document="query HeavyReport { report(seconds: 60) { users posts } }",
                address="203.0.113.{n}",
                user="colleague-{n}",
                callers=6,
            ),
            alert="DatabaseQueryTimeouts",
            look=Logged(DB_QUERY_TIMEOUT, "operation", "operation"),
            actions=("block --operation {operation} --for 1h",),
            verify="fraiseql:query_timeouts:rate < 0.1",
            environment={name_of("query_timeout"): "2"},
        ),
        Drill(
            name="memory",
            runbook=Runbook.MEMORY,
            attack=Attack(
                document="{ page(number: {n}) { sizeBytes } }",
                address="203.0.113.13",
                user="crawler",
                pause_seconds=0.05,
                times=2 * PAGES,
            ),
            alert="HighMemoryUsage",
            look=Ranked("sum by (instance) (fraiseql_cache_size_bytes)"),
            actions=("clear-caches", "gc"),
            verify="fraiseql_guard_memory_usage_ratio < 0.8",
            environment=ROOM,
        ),
        Drill(
            name="overload",
            runbook=Runbook.GUARD,
            attack=Attack(
                document="{ users(limit: 1) { name } }",
                address="203.0.113.{n}",
                user="colleague-{n}",
                callers=40,
                pause_seconds=1.0,
                statement=_LOCK,
            ),
            alert="GuardUnavailable",
            look=Listed("queries", "pid"),
            actions=("kill {pid}",),
            verify="fraiseql:unavailable:ratio < 0.05",
            hits_everybody=True,
            environment={name_of("query_timeout"): "5", name_of("database_pool_size"): "12"},
        ),
        Drill(
            name="subscriptions",
            runbook=Runbook.GUARD,
            attack=Attack(document="", address="203.0.113.15", user="trudy", sockets=True),
            alert="GuardSocketsNearlyFull",
            look=Listed("sockets --by-caller", "ip_address"),
            actions=("block {ip_address} --for 1h",),
            verify="fraiseql:sockets:ratio < 0.8",
            office=500,
            environment={
                name_of("rate_limit_sockets"): "1200/minute",  # so many clients are behind the office's address
                name_of("max_sockets_per_caller"): "150",
                name_of("max_sockets"): "450",
            },
        ),
    )
}

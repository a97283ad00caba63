"""What the guard adds to a query on the real FraiseQL app and a real PostgreSQL, each signal on and off.

Requests are driven through the ASGI interface in this process, one at a time, on one connection pool, in rounds of a
few requests of every row. Per request and row: CPU of this process (all its threads; FraiseQL's part is in both sides),
CPU of the database's processes, the median time until the answer (p50), and round trips to the database. What a row
adds is the median of its differences to the bare app in the same round, with the 95 percent interval of that median;
"quiet" is the difference between the tenths of the rounds in which each took least. The second bare row is the control:
what it adds is the error of the measurement.

Long-lived objects are set aside before (gc.freeze), as servers that fork do; the collector goes on for the rest.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.pairs import added, calmest, order
from benchmarks.peers.clock import cpu_seconds
from benchmarks.results import Clock
from fraiseql_guard.testing import make_token
from tests.support.asgi import Connection, request

SECRET = "a-secret-for-benchmarks-of-32-bytes-or-more"
LIMIT = "900000000/minute"
QUERIES = {"find": "{ users(limit: 1) { id name email } }", "run": "{ report { users posts } }"}
BARE = "bare FraiseQL"
GOAL_MS = 0.3
MEASURES = {"cpu": "CPU", "database": "db CPU", "p50": "p50"}


@dataclass
class Variant:
    """One row: the app to drive, and which of FraiseQL's dependencies are the guard's while it is driven."""

    name: str
    app: Any
    overrides: Mapping[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Figures:
    """Milliseconds a request in one round."""

    cpu: float
    database: float
    p50: float


Rounds = dict[str, list[Figures]]


def variants(host: Any) -> list[Variant]:
    """From the bare app to everything, one signal more in each row. Lines go to the null device: formatting is paid."""
    from fraiseql_guard import Guard
    from fraiseql_guard.asgi.guard import (
        AuthMiddleware,
        QueryLimitMiddleware,
        QueryTimeoutMiddleware,
        RateLimitMiddleware,
    )
    from fraiseql_guard.fraiseql import protect

    common: dict[str, Any] = {
        "jwt_secret": SECRET, "rate_limit_default": LIMIT, "rate_limit_authenticated": LIMIT, "log_file": os.devnull,
    }  # fmt: skip
    decisions = QueryTimeoutMiddleware(AuthMiddleware(QueryLimitMiddleware(RateLimitMiddleware(host, **common))))

    def wired(**options: Any) -> tuple[Any, dict[Any, Any]]:
        host.dependency_overrides.clear()
        guard = protect(host, **common, **options)
        chosen = dict(host.dependency_overrides)
        host.dependency_overrides.clear()
        return guard, chosen

    return [
        Variant(BARE, host),
        Variant("bare FraiseQL again: the error", host),
        Variant("decisions alone, no metrics", decisions),
        Variant("Guard (+ metrics, log lines)", Guard(host, **common)),
        Variant("+ identity, timed statements", *wired(mode_timeout="monitor")),
        Variant("+ limit in PostgreSQL: protect()", *wired()),
    ]


class AtOnce(Connection):
    """A client whose body has come with its head, as nearly all do: a server has it at hand."""

    async def receive(self) -> Any:
        """The next message, without a turn of the loop."""
        return self._messages.pop(0) if self._messages else await super().receive()


class Drive:
    """Sends requests to one row after the other."""

    def __init__(self, host: Any) -> None:
        self._host = host
        self._token = make_token(SECRET, sub="alice")

    async def ask(self, variant: Variant, query: str) -> float:
        """The milliseconds of one request; anything but an answer with data ends the benchmark."""
        body = json.dumps({"query": query}).encode()
        at = time.perf_counter()
        reply = await request(variant.app, body=body, token=self._token, connection=AtOnce([body]))
        took = time.perf_counter() - at
        if reply.status != 200 or b'"errors"' in reply.body:
            raise SystemExit(f"{variant.name}: {reply.status} {reply.body[:300]!r}: the figures would be worthless")
        return took * 1e3

    def turn_to(self, variant: Variant) -> None:
        """From now on FraiseQL's dependencies are this row's."""
        self._host.dependency_overrides.clear()
        self._host.dependency_overrides.update(variant.overrides)

    async def measure(self, variant: Variant, query: str, requests: int) -> Figures:
        """One row's part of a round."""
        self.turn_to(variant)
        backends = [connection.pgconn.backend_pid for connection in connections()]
        database, began = sum(map(cpu_seconds, backends)), time.process_time()
        durations = [await self.ask(variant, query) for _ in range(requests)]
        own, theirs = time.process_time() - began, sum(map(cpu_seconds, backends)) - database
        return Figures(own / requests * 1e3, theirs / requests * 1e3, statistics.median(durations))

    async def round_trips(self, variant: Variant, query: str) -> int:
        """How often one request waits for the database, from libpq's own trace."""
        self.turn_to(variant)
        with tempfile.TemporaryFile("w+") as trace:
            for connection in connections():
                connection.pgconn.trace(trace.fileno())
            await self.ask(variant, query)
            for connection in connections():
                connection.pgconn.untrace()
            trace.seek(0)
            return sum("ReadyForQuery" in line for line in trace)


def connections() -> list[Any]:
    """FraiseQL's, all of them in the pool: nothing is asked at the moment."""
    from fraiseql.fastapi.dependencies import get_db_pool

    return list(get_db_pool()._pool)  # noqa: SLF001 - there is no public way to ask


async def run(rounds: int, requests: int) -> tuple[dict[str, Rounds], dict[str, dict[str, int]]]:
    """Figures of each round, and round trips to the database, by query and row."""
    from examples.fraiseql_blog.bare import bare_app as host

    drive, figures, trips = Drive(host), {}, {}
    async with host.router.lifespan_context(host):
        rows = variants(host)
        for name, query in QUERIES.items():
            for row in rows:
                await drive.measure(row, query, 40)  # also until every connection has prepared the statement
            trips[name] = {row.name: await drive.round_trips(row, query) for row in rows}
            gc.collect()
            gc.freeze()
            of_rows: Rounds = {row.name: [] for row in rows}
            for number in range(rounds):
                for place in order(len(rows), number):
                    of_rows[rows[place].name].append(await drive.measure(rows[place], query, requests))
            figures[name] = of_rows
        for row in rows:
            if row.app is not host:
                await row.app.aclose()
    return figures, trips


def report(figures: dict[str, Rounds], trips: dict[str, dict[str, int]]) -> None:
    """Print a table a query."""
    for query, rows in figures.items():
        print(f"\n{query}: {QUERIES[query]}")
        heads = "".join(f"{head:>8}{'added':>26}{'quiet':>8}" for head in MEASURES.values())
        print(f"{'milliseconds a request':33}{heads}{'trips':>7}")
        for name, values in rows.items():
            cells = []
            for measure in MEASURES:
                own, base = ([getattr(one, measure) for one in of] for of in (values, rows[BARE]))
                more = f"{added(own, base)!s:>26}{calmest(own) - calmest(base):+8.3f}" if name != BARE else " " * 34
                cells.append(f"{statistics.median(own):8.3f}{more}")
            print(f"{name:33}{''.join(cells)}{trips[query][name]:7}")


def main(*, rounds: int, requests: int, clock: Clock, file: str | None) -> int:
    """Start the database, measure, print."""
    from examples.fraiseql_blog.database import running_database

    with running_database() as url:
        os.environ["FRAISEQL_DATABASE_URL"] = url
        with Path(os.devnull).open("w") as quiet, redirect_stdout(quiet):
            figures, trips = asyncio.run(run(rounds, requests))
    print(
        f"{rounds} rounds of {requests} requests a row, interleaved; Python {platform.python_version()}; "
        f"goal {GOAL_MS} ms\nadded: the median difference to the bare app in the same round (95 % interval); "
        "quiet: in the calmest tenth of them\n"
        "CPU: of this process; db CPU: of the database's processes; trips: to the database and back"
    )
    report(figures, trips)
    clock.save(file, {"figures": figures, "trips": trips})
    return 0

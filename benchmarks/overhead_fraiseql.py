"""What the guard adds to a query on the real FraiseQL app and a real PostgreSQL: CPU and p50, each signal on and off.

Requests are driven through the ASGI interface in this process, one at a time, on one connection pool. CPU is this
process's own; what PostgreSQL spends shows in the p50. The variants run interleaved; what one adds is the median of its
differences to the bare app in the same round, printed with the middle half of them. On a busy machine the least of all
rounds says more: it is what a round takes that nobody disturbs.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import statistics
import time
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fraiseql_guard.testing import make_token
from tests.support.asgi import graphql

SECRET = "a-secret-for-benchmarks-of-32-bytes-or-more"
LIMIT = "900000000/minute"
QUERIES = {"find": "{ users(limit: 1) { id name email } }", "run": "{ report { users posts } }"}
GOAL_MS = 0.3


@dataclass
class Variant:
    """One row: the app to drive, and which of FraiseQL's dependencies are the guard's while it is driven."""

    name: str
    app: Any
    overrides: Mapping[Any, Any] = field(default_factory=dict)


def variants(host: Any) -> list[Variant]:
    """From the bare app to everything, one signal more in each row. Lines go to the null device: formatting is paid."""
    from fraiseql_guard import Guard
    from fraiseql_guard.fraiseql import protect
    from fraiseql_guard.guard import AuthMiddleware, QueryLimitMiddleware, QueryTimeoutMiddleware, RateLimitMiddleware

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
        Variant("bare FraiseQL", host),
        Variant("decisions alone, no metrics", decisions),
        Variant("Guard (+ metrics, log lines)", Guard(host, **common)),
        Variant("+ identity, timed statements", *wired(mode_timeout="monitor")),
        Variant("+ limit in PostgreSQL: protect()", *wired()),
    ]


async def measure(host: Any, variant: Variant, query: str, token: str, requests: int) -> tuple[float, float]:
    """CPU and p50 of a request, in milliseconds; anything but an answer with data ends the benchmark."""
    host.dependency_overrides.clear()
    host.dependency_overrides.update(variant.overrides)
    durations = []
    began = time.process_time()
    for _ in range(requests):
        at = time.perf_counter()
        reply = await graphql(variant.app, query, token=token)
        durations.append(time.perf_counter() - at)
        if reply.status != 200 or b'"errors"' in reply.body:
            raise SystemExit(f"{variant.name}: {reply.status} {reply.body[:300]!r}: the figures would be worthless")
    return (time.process_time() - began) / requests * 1e3, statistics.median(durations) * 1e3


Figures = dict[str, dict[str, list[tuple[float, float]]]]


async def run(rounds: int, requests: int) -> Figures:
    """(CPU, p50) of each round by query and variant."""
    from examples.fraiseql_blog.bare import bare_app as host

    token = make_token(SECRET, sub="alice")
    figures: Figures = {}
    async with host.router.lifespan_context(host):
        rows = variants(host)
        for name, query in QUERIES.items():
            for row in rows:
                await measure(host, row, query, token, 20)
            for number in range(rounds):
                for row in rows if number % 2 else reversed(rows):
                    value = await measure(host, row, query, token, requests)
                    figures.setdefault(name, {}).setdefault(row.name, []).append(value)
        for row in rows:
            if row.app is not host:
                await row.app.aclose()
    return {name: {row.name: by_row[row.name] for row in rows} for name, by_row in figures.items()}


def added(values: list[tuple[float, float]], base: list[tuple[float, float]], which: int) -> str:
    """The median of the differences, and the middle half of them."""
    low, middle, high = statistics.quantiles([a[which] - b[which] for a, b in zip(values, base, strict=True)], n=4)
    return f"{middle:+6.3f} ({low:+.3f} to {high:+.3f})"


def report(figures: Figures) -> None:
    """Print a table a query."""
    for query, rows in figures.items():
        base = rows["bare FraiseQL"]
        print(f"\n{query}: {QUERIES[query]}")
        print(f"{'milliseconds a request':34}{'CPU':>8}{'least':>8}{'added':>28}{'p50':>8}{'least':>8}{'added':>28}")
        for name, values in rows.items():
            cells = [
                f"{statistics.median(v[which] for v in values):8.3f}{min(v[which] for v in values):8.3f}"
                f"{added(values, base, which):>28}"
                for which in (0, 1)
            ]
            print(f"{name:34}{''.join(cells)}")


def main(*, rounds: int, requests: int, file: str | None) -> int:
    """Start the database, measure, print."""
    from examples.fraiseql_blog.database import running_database

    with running_database() as url:
        os.environ["FRAISEQL_DATABASE_URL"] = url
        with Path(os.devnull).open("w") as quiet, redirect_stdout(quiet):
            figures = asyncio.run(run(rounds, requests))
    print(f"{rounds} rounds of {requests} requests, interleaved; Python {platform.python_version()}; goal {GOAL_MS} ms")
    report(figures)
    if file:
        Path(file).write_text(json.dumps(figures, indent=2), encoding="utf-8")
    return 0

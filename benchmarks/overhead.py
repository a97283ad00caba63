"""CPU per request that each middleware adds to a bare ASGI app, in memory and on a real Redis, side by side.

Requests are driven through the ASGI interface in this process, so that neither a server nor a socket (but Redis's) is
part of the figure. CPU is this process's own (user and system); Redis spends its own elsewhere. The variants run
interleaved, several rounds; printed are the median and the spread. Every request brings variables that none had before,
but in the rows that say otherwise: what comes again byte for byte is not read again.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks import overhead_fraiseql
from benchmarks.results import Clock
from fraiseql_guard import (
    AuthMiddleware,
    Guard,
    MetricsMiddleware,
    QueryLimitMiddleware,
    QueryTimeoutMiddleware,
    RateLimitMiddleware,
)
from fraiseql_guard.testing import make_token
from tests.support.redis_server import RedisServer

SECRET = "a-secret-for-benchmarks-of-32-bytes-or-more"
LIMIT = "900000000/minute"
DOCUMENT = "query Posts($n:Int){posts(limit:$n){id title author{id name} comments(limit:3){id body}}}"
BODY = json.dumps({"query": DOCUMENT, "variables": {"n": 10, "unique": 100_000_000}}).encode()
ANSWER = json.dumps({"data": {"posts": [{"id": str(n), "title": "A title"} for n in range(10)]}}).encode()
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())],
}
RULES: list[dict[str, Any]] = [
    *({"name": f"path-{n}", "match": {"path": f"/api/{n}/*"}, "rate": LIMIT} for n in range(8)),
    *({"name": f"field-{n}", "match": {"root_fields": [f"field{n}"]}, "max_depth": 5} for n in range(8)),
    *({"name": f"tier-{n}", "match": {"tiers": [f"tier{n}"]}, "timeout": 60} for n in range(3)),
    {
        "name": "posts",
        "match": {"path": "/graphql", "methods": ["POST"], "only_root_fields": ["posts"]},
        "rate": LIMIT,
        "cost": 2,
        "max_complexity": 5000,
        "timeout": 20,
    },
]
"""Twenty, of which the last is that of every request here."""
App = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass(frozen=True)
class Variant:
    """One row: a name and the app to drive; ``again`` with the same request all the time."""

    name: str
    app: App
    again: bool = False


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """Reads its body and answers: the least that an app does."""
    while (await receive()).get("more_body"):
        pass
    await send(START)
    await send({"type": "http.response.body", "body": ANSWER})


def scope_of(token: str) -> dict[str, Any]:
    """A browser-like request."""
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/graphql", "raw_path": b"/graphql", "root_path": "", "query_string": b"",
        "client": ("203.0.113.7", 40000), "server": ("127.0.0.1", 80),
        "headers": [
            (b"host", b"api.example.org"), (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64)"),
            (b"accept", b"application/json"), (b"content-type", b"application/json"),
            (b"content-length", str(len(BODY)).encode()), (b"authorization", b"Bearer " + token.encode()),
        ],
    }  # fmt: skip


async def one(app: App, scope: dict[str, Any], body: bytes) -> None:
    """Drive one request; anything but a complete 200 ends the benchmark."""
    statuses: list[int] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(dict(scope), receive, send)
    if statuses != [200]:
        raise SystemExit(f"a request was answered {statuses}: the figures would be worthless")


async def measure(row: Variant, token: str, numbers: Iterator[int], *, requests: int, concurrency: int) -> float:
    """CPU microseconds a request."""
    scope = scope_of(token)

    async def worker(count: int) -> None:
        for _ in range(count):
            number = b"%d" % next(numbers)  # made for every row alike, so that it counts for none
            body = BODY.replace(b"100000000", b"100000000" if row.again else number)
            await one(row.app, scope, body)

    await worker(20)
    began = time.process_time()
    await asyncio.gather(*(worker(requests // concurrency) for _ in range(concurrency)))
    return (time.process_time() - began) / (requests // concurrency * concurrency) * 1e6


def variants(redis_url: str) -> list[Variant]:
    """All rows. The log goes to the null device: formatting is paid for, a disk is not."""
    common: dict[str, Any] = {
        "rate_limit_default": LIMIT, "rate_limit_authenticated": LIMIT, "jwt_secret": SECRET, "log_file": os.devnull,
        "max_in_flight": 1_000,
    }  # fmt: skip
    singles = [MetricsMiddleware, RateLimitMiddleware, AuthMiddleware, QueryLimitMiddleware, QueryTimeoutMiddleware]
    return [
        Variant("bare app", bare),
        *(Variant(f"{single.__name__}, memory", single(bare, **common)) for single in singles),
        Variant("RateLimitMiddleware, Redis", RateLimitMiddleware(bare, redis_url=redis_url, **common)),
        Variant("Guard, memory", Guard(bare, **common)),
        Variant("Guard, memory, with rules", Guard(bare, rules=RULES, **common)),
        Variant("Guard, memory, requests repeated", Guard(bare, **common), again=True),
        Variant("Guard, memory, with rules, requests repeated", Guard(bare, rules=RULES, **common), again=True),
        Variant("Guard, Redis", Guard(bare, redis_url=redis_url, **common)),
    ]


async def run(rounds: int, requests: int) -> dict[str, dict[int, list[float]]]:
    """Figures by variant and concurrency, the variants interleaved in every round."""
    token = make_token(SECRET, sub="alice")
    figures: dict[str, dict[int, list[float]]] = {}
    numbers = itertools.count(100_000_001)
    with RedisServer() as server:
        rows = variants(server.url)
        for _ in range(rounds):
            for row in rows:
                for concurrency in (1, 64):
                    value = await measure(row, token, numbers, requests=requests, concurrency=concurrency)
                    figures.setdefault(row.name, {}).setdefault(concurrency, []).append(value)
        for row in rows:
            if hasattr(row.app, "aclose"):
                await row.app.aclose()
    return figures


def main() -> int:
    """Print the table; ``--json FILE`` writes it."""
    clock = Clock("overhead")
    parser = argparse.ArgumentParser(prog="python -m benchmarks overhead", description=__doc__)
    parser.add_argument(
        "--host", choices=("asgi", "fraiseql"), default="asgi", help="fraiseql: the real one, with a database"
    )
    parser.add_argument("--rounds", type=int, help="5; with --host fraiseql 150")
    parser.add_argument("--requests", type=int, help="a round, variant and concurrency: 3000; with --host fraiseql 8")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    if options.host == "fraiseql":
        rounds, requests = options.rounds or 150, options.requests or 8
        return overhead_fraiseql.main(rounds=rounds, requests=requests, clock=clock, file=options.json)
    options.rounds, options.requests = options.rounds or 5, options.requests or 3_000
    figures = asyncio.run(run(options.rounds, options.requests))
    print(
        f"CPU microseconds per request, median of {options.rounds} rounds (spread), Python {platform.python_version()}"
    )
    print(f"{'':34}{'one at a time':>24}{'64 at a time':>24}{'added':>10}")
    base = statistics.median(figures["bare app"][1])
    for name, by_concurrency in figures.items():
        cells = [f"{statistics.median(v):9.1f} ({min(v):.1f}-{max(v):.1f})" for v in by_concurrency.values()]
        print(f"{name:34}{cells[0]:>24}{cells[1]:>24}{statistics.median(by_concurrency[1]) - base:10.1f}")
    clock.save(options.json, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())

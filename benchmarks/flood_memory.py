"""What a guard holds after so many distinct attackers: requests through the ASGI interface, each of another client.

``python -m benchmarks.flood_memory KIND ATTACKERS [REDIS_URL]`` prints one JSON object. Half of the attackers bring a
token that another issuer signed, half a query that is too deep. A process of its own, so that nothing else grows in it.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.flood_attacks import DEEP, DOCUMENT, USERS, distinct, distinct_64s, query
from examples.starlette_blog.bare import bare_app, schema
from fraiseql_guard import Guard
from fraiseql_guard.core import signals
from fraiseql_guard.testing import make_token

KINDS = {"IPv4": distinct, "IPv6 /64": distinct_64s}
FALLBACKS = signals.STORE_FALLBACKS.name
CONCURRENCY = 32
WARM_UP = 2_000
_SECRET = "a-secret-for-benchmarks-of-32-bytes-or-more"
Sent = tuple[dict[str, Any], bytes]


def scope_of(address: str, body: bytes, token: str | None) -> Sent:
    """A request without a proxy."""
    headers = [(b"host", b"api.example.org"), (b"content-type", b"application/json")]
    headers.append((b"content-length", b"%d" % len(body)))
    if token is not None:
        headers.append((b"authorization", b"Bearer " + token.encode()))
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/graphql", "raw_path": b"/graphql", "root_path": "", "query_string": b"", "headers": headers,
        "client": (address, 40_000), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    return scope, body


def attackers(kind: str) -> Iterator[Sent]:
    """Each a client of its own."""
    tokens = itertools.cycle([make_token("another-secret-of-32-bytes-at-least!", sub=f"guess-{n}") for n in range(500)])
    for number, address in enumerate(KINDS[kind]()):
        if number % 2:
            yield scope_of(address, query(DEEP, unique=number), None)
        else:
            yield scope_of(address, query("{ posts { id } }"), next(tokens))


def users() -> Iterator[Sent]:
    """Ordinary ones."""
    tokens = [make_token(_SECRET, sub=f"user-{number}") for number in range(USERS)]
    for number in itertools.count():
        yield scope_of(f"198.18.0.{number % USERS}", query(DOCUMENT, n=3, unique=number), tokens[number % USERS])


async def send(app: Any, sent: Sent) -> int:
    """The status of the answer."""
    statuses: list[int] = []
    scope, body = sent

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def answer(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope, receive, answer)
    return statuses[0]


async def drive(app: Any, requests: Iterator[Sent], count: int, statuses: dict[int, int], say: str = "") -> None:
    """So many requests, CONCURRENCY at a time."""
    left = itertools.islice(requests, count)
    done = itertools.count(1)

    async def client() -> None:
        for each in left:
            status = await send(app, each)
            statuses[status] = statuses.get(status, 0) + 1
            if say and (number := next(done)) % max(1, count // 10) == 0:
                resident = rss_bytes() / 1e6
                print(f"  {say}: {number} of {count}, {resident:.1f} MB resident", file=sys.stderr, flush=True)

    await asyncio.gather(*(client() for _ in range(CONCURRENCY)))


def size_of(log: Path) -> int:
    """Bytes; 0 if there is none."""
    return log.stat().st_size if log.exists() else 0


def rss_bytes() -> int:
    """Resident now, after a collection."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def measure(kind: str, count: int, redis_url: str | None) -> dict[str, Any]:
    """Bytes that ``count`` attackers added."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "guard.log")
        options = {"jwt_secret": _SECRET, "auth_required": False, "redis_url": redis_url, "log_file": log}
        guard = Guard(bare_app, schema=schema, **options)
        await drive(guard, users(), WARM_UP, {})
        before, statuses = rss_bytes(), dict[int, int]()
        began = time.perf_counter()
        await drive(guard, attackers(kind), count, statuses, f"{count} attackers, {kind}")
        seconds, after = time.perf_counter() - began, rss_bytes()
        await guard.aclose()
        text = guard.recorder.metrics.render().decode()
        fallbacks = sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(FALLBACKS))
        lines = {line.partition("{")[2] for line in text.splitlines() if "{" in line}
        return {
            "attack": f"{count:,} distinct attackers, {kind}",
            "memory_bytes": after - before,
            "label_values": len({part for line in lines for part in line.rpartition("}")[0].split(",")}),
            "log_bytes": size_of(log),
            "seconds": round(seconds, 1),
            "decided_without_store": fallbacks,
            "statuses": statuses,
        }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(sys.argv[1], int(sys.argv[2]), (sys.argv[3:] or [None])[0]))))

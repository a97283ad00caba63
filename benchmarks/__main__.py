"""``python -m benchmarks``: list the benchmarks, or run one by name."""

from __future__ import annotations

import importlib
import signal
import sys

BENCHMARKS = {
    "ablate": "each cache and fast path of the guard switched off in turn, on a real server: CPU per request that it "
    "saves; --short takes about four minutes",
    "flood": "ordinary users beside each attack, 1 to 10, with and without the guard: p50, p99, goodput, memory, "
    "labels, log bytes; --short takes less than five minutes",
    "hostile": "CPU until a hostile request is refused, by attack and size, beside parsers and other limiters",
    "mutations": "a million damaged requests through the whole guard: all answered, none by a fault",
    "overhead": "CPU per request of the bare app, each middleware and the whole guard, in memory and on Redis; "
    "--host fraiseql: on a real FraiseQL query",
    "peers": "other rate limiters and ours on one app and Redis: requests/s, CPU, commands, Redis killed and frozen; "
    "--short takes less than five minutes",
    "report": "docs/performance.md and its charts, written from the results beside it; --measure takes them anew: less "
    "than an hour",
    "sanctions": "up to 100,000 sanctions: longest stall of the event loop, duration and Redis's time of status, "
    "top, the console, the list of blocks and lifting all, on Redis and in memory",
    "scale": "1, 2 and 4 workers on one Redis and on a cluster: requests/s, CPU of workers and Redis, exact limits; on "
    "these costs a simulation of 100 workers and 10 nodes; --short takes less than two minutes",
    "soak": "500 sockets and streams beside plain requests for ten minutes, workers killed, Redis restarted: what is "
    "left of them in the end (nothing); --seconds 60 for a minute",
    "sockets": "CPU per operation and event over a WebSocket, memory of 1,000 idle ones, p99 of events beside a client "
    "that does not read, the moment a silent client is ended; bare and guarded",
    "start": "CPU, memory and modules of a new process that imports a guard, and of one that mounts it, beside Python, "
    "graphql-core, FastAPI and Strawberry",
    "summary": "short runs of overhead, peers, hostile, flood, sockets and scale, and one table: under 20 minutes",
    "tokens": "CPU to verify, remember and refuse a token, by algorithm, beside PyJWT and joserfc",
    "tuning": "an hour of traffic made in a minute, in monitor mode, tuned and enforced: ordinary users that are "
    "refused then (none), and attacks that are not (none)",
    "workers": "a scrape after 1,000 recycled workers: its time, files, and how long the event loop stands still",
}


def main() -> int:
    """Run the benchmark that the first argument names."""
    if len(sys.argv) < 2 or sys.argv[1] not in BENCHMARKS:
        for name, what in BENCHMARKS.items():
            print(f"python -m benchmarks {name}\n    {what}")
        return 0 if len(sys.argv) < 2 else 2
    name = sys.argv.pop(1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit ends the servers, a signal would not
    return int(importlib.import_module(f"benchmarks.{name}").main() or 0)


if __name__ == "__main__":
    sys.exit(main())

"""Each cache and fast path of the guard switched off in turn, on a real server: what it saves.

Two servers a row, uvicorn in processes of their own and one real Redis: the guard as it is, and without that part. They
are asked in turns, in short rounds. Shown are the CPU microseconds that the server takes a request, and how many more
it takes without the part: the median of the rounds' differences with its 95 percent interval. A figure whose interval
includes zero buys nothing that this machine can see. The row ``nothing`` is the error of the measurement, and ``guard``
(less, not more) is what all of it costs.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.ablate_load import CONNECTIONS, Asked, Clients, asked
from benchmarks.ablate_server import Server
from benchmarks.ablations import ABLATIONS, Ablation
from benchmarks.pairs import added, order
from benchmarks.peers.costs import database_url
from benchmarks.peers.effort import Progress
from benchmarks.results import Clock
from tests.support.redis_server import RedisServer

_WARM_UP = 400


@dataclass(frozen=True, slots=True)
class Effort:
    """So many rounds, and requests a round and server."""

    rounds: int
    requests: int


@dataclass(slots=True)
class Row:
    """What one ablation costs one kind of requests: CPU microseconds a request by round, with the part and without."""

    name: str
    what: str
    asked: str
    with_part: list[float] = field(default_factory=list)
    without: list[float] = field(default_factory=list)

    def line(self) -> str:
        """As it is printed."""
        more = added(self.without, self.with_part)
        interval = f"({more.low:+.1f} to {more.high:+.1f})"
        return f"{self.name:13}{self.what:48}{self.asked:24}{statistics.median(self.with_part):8.1f}" + (
            f"{more.value:+9.1f} {interval}"
        )

    def facts(self) -> dict[str, Any]:
        """As it is written."""
        return {**asdict(self), "added": asdict(added(self.without, self.with_part))}


class Pair:
    """Two servers of one row and one limit, with the part and without it."""

    def __init__(self, name: str, row: Ablation, redis_url: str, limit: str) -> None:
        self._open = ExitStack()
        with ExitStack() as opened:
            urls = [database_url(redis_url, number) for number in (0, 1)]
            self._servers = [
                opened.enter_context(Server(each, url, limit)) for each, url in zip(("-", name), urls, strict=True)
            ]
            self._clients = [opened.enter_context(Clients(server.ready())) for server in self._servers]
            self._open = opened.pop_all()

    def close(self) -> None:
        """End both."""
        self._open.close()

    def warm_up(self, how: Asked) -> None:
        """The first answers may be others."""
        for clients in self._clients:
            clients.ask(how, _WARM_UP, count_statuses=False)

    def measure(self, how: Asked, requests: int, number: int) -> tuple[float, float]:
        """One round: microseconds a request with the part, and without it."""
        figures = [0.0, 0.0]
        asked_for = max(1, requests // CONNECTIONS) * CONNECTIONS
        for place in order(2, number):
            server, clients = self._servers[place], self._clients[place]
            before = server.cpu_seconds()
            clients.ask(how, requests)
            figures[place] = (server.cpu_seconds() - before) / asked_for * 1e6
        return figures[0], figures[1]


def measured(name: str, row: Ablation, ways: Mapping[str, Asked], redis: RedisServer, effort: Effort) -> list[Row]:
    """All rows of one ablation."""
    rows = [Row(name, row.what, each) for each in row.asked]
    with ExitStack() as stack:
        pairs: dict[str, Pair] = {}
        for each in rows:
            limit = ways[each.asked].limit
            if limit not in pairs:
                pairs[limit] = Pair(name, row, redis.url, limit)
                stack.callback(pairs[limit].close)
            pairs[limit].warm_up(ways[each.asked])
        for number in range(effort.rounds):
            for each in rows:
                how = ways[each.asked]
                with_part, without = pairs[how.limit].measure(how, effort.requests, number)
                each.with_part.append(with_part)
                each.without.append(without)
    return rows


def run(names: Sequence[str], effort: Effort, file: Path | None) -> dict[str, str]:
    """Print every row once it is measured, and write all that there is. Returns what could not be measured, and why."""
    clock = Clock("ablate")
    heading = f"Python {platform.python_version()}, {effort.rounds} rounds of {effort.requests} requests"
    print(f"{heading}, {CONNECTIONS} at a time: CPU microseconds a request")
    print(f"{'':13}{'switched off':48}{'asked':24}{'with it':>8}{'more without it':>25}", flush=True)
    ways, progress, written, failed = asked(), Progress(), [], {}
    with RedisServer() as redis:
        for number, name in enumerate(names, start=1):
            progress.step(f"{number} of {len(names)}: {name}")
            try:
                rows = measured(name, ABLATIONS[name], ways, redis, effort)
            except (RuntimeError, OSError) as error:
                failed[name] = str(error)
                continue
            finally:
                progress.end()
            for row in rows:
                print(row.line(), flush=True)
                written.append(row.facts())
            clock.save(file, written)
    return failed


def main() -> int:
    """Print the table; ``--json FILE`` writes it after every row. 1 if a row could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks ablate", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"these rows alone: {', '.join(ABLATIONS)}")
    parser.add_argument("--short", action="store_true", help="about four minutes")
    parser.add_argument("--rounds", type=int, help="200; with --short 40")
    parser.add_argument("--requests", type=int, help="a round and server: 64")
    parser.add_argument("--json", metavar="FILE", type=Path)
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in ABLATIONS]:
        parser.error(f"{', '.join(unknown)}: known are {', '.join(ABLATIONS)}")
    rounds, requests = (40, 64) if options.short else (200, 64)
    effort = Effort(options.rounds or rounds, options.requests or requests)
    try:
        failed = run(options.names or list(ABLATIONS), effort, options.json)
    except KeyboardInterrupt:
        return 130
    for name, why in failed.items():
        print(f"{name} could not be measured: {why}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

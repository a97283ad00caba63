"""What a scrape costs after many workers were recycled: its time, and how long the event loop stands still meanwhile.

A directory is filled as PROMETHEUS_MULTIPROC_DIR is after so many workers, each with the series of a busy one. Before:
prometheus_client's MultiProcessCollector in the event loop, without anything folded. After: the guard's page, which
folds what the dead counted and merges in a thread; the first scrape after all have died at once, those that follow, and
one that folds one more worker.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks.results import Clock

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
PROBE_SECONDS = 0.001
CALLERS = 100
"""Users that each worker counts: about 700 series in all, a histogram of 14 lines among them for each bucket."""


def main() -> int:
    """Print the table; ``--json FILE`` writes it."""
    clock = Clock("workers")
    parser = argparse.ArgumentParser(prog="python -m benchmarks workers", description=__doc__)
    parser.add_argument("--recycled", type=int, default=1_000, help="dead workers (1000)")
    parser.add_argument("--scrapes", type=int, default=20, help="scrapes of each kind (20)")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--inside", metavar="DIRECTORY", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        print(json.dumps(asyncio.run(measure(Path(options.inside), options.recycled, options.scrapes))))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks", "workers", "--inside", folder]
        command += ["--recycled", str(options.recycled), "--scrapes", str(options.scrapes)]
        environ = {**os.environ, VARIABLE: folder}  # prometheus_client decides with its first import
        done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, check=True)
    rows = json.loads(done.stdout)
    print(f"After {options.recycled} recycled workers, Python {platform.python_version()}")
    print(f"{'':54}{'files':>7}{'scrape ms':>12}{'loop stands still ms':>22}")
    for row in rows:
        print(f"{row['name']:54}{row['files']:7}{row['scrape_ms']:12.1f}{row['stall_ms']:22.1f}")
    clock.save(options.json, rows)
    return 0


async def measure(folder: Path, recycled: int, scrapes: int) -> list[dict[str, Any]]:
    """The rows."""
    from prometheus_client.multiprocess import MultiProcessCollector

    from fraiseql_guard.telemetry import Metrics
    from fraiseql_guard.telemetry.metrics import exposition

    fill(folder, recycled)
    metrics: Any = None
    rows = []

    async def theirs() -> None:
        exposition.render(MultiProcessCollector.merge(map(str, files_in(folder))))

    async def ours() -> None:
        await metrics.page()

    async def row(name: str, scrape: Callable[[], Awaitable[None]], times: int) -> None:
        files = len(files_in(folder))
        spent, stall = await timed(scrape, times)
        rows.append({"name": name, "files": files, "scrape_ms": spent * 1e3, "stall_ms": stall * 1e3})
        print(f"  {name}: done", file=sys.stderr, flush=True)

    await row("nothing folded, merged in the loop (before)", theirs, 3)
    metrics = Metrics(workers=4)  # a first part is folded at its start
    await row("all dead at once: the first scrape", ours, 1)
    while any("~" not in path.stem and "folded" not in path.stem for path in dead_files(folder)):
        await ours()
    await row("folded: every further scrape", ours, scrapes)
    fill(folder, 1, begin=recycled)
    await row("one more worker recycled: the scrape that folds it", ours, 1)
    return rows


async def timed(scrape: Callable[[], Awaitable[None]], times: int) -> tuple[float, float]:
    """Median seconds of a scrape, and the longest that the loop stood still."""
    worst, ended = 0.0, False

    async def probe() -> None:
        nonlocal worst
        while not ended:
            began = time.perf_counter()
            await asyncio.sleep(PROBE_SECONDS)
            worst = max(worst, time.perf_counter() - began - PROBE_SECONDS)

    task = asyncio.create_task(probe())
    await asyncio.sleep(0.05)
    worst, spent = 0.0, []
    for _ in range(times):
        began = time.perf_counter()
        await scrape()
        spent.append(time.perf_counter() - began)
        await asyncio.sleep(10 * PROBE_SECONDS)  # the probe looks between two of them
    ended = True
    await task
    return sorted(spent)[len(spent) // 2], worst


def files_in(folder: Path) -> list[Path]:
    """All files of values."""
    return list(folder.glob("*.db"))


def dead_files(folder: Path) -> list[Path]:
    """Files of workers that this benchmark has made."""
    return [path for path in folder.glob("counter_*.db") if path.stem != f"counter_{os.getpid()}"]


def fill(folder: Path, workers: int, *, begin: int = 0) -> None:
    """Leave what so many dead workers leave: one child counts, and its files are copied under pids of no process."""
    from fraiseql_guard.telemetry.metrics.process_locks import ALIVE, PREFIX, pid_space

    with tempfile.TemporaryDirectory() as name:
        environ = {**os.environ, VARIABLE: name}
        subprocess.run([sys.executable, "-c", _BUSY, str(CALLERS)], env=environ, check=True)
        made = {path.name.rpartition("_")[0]: path.read_bytes() for path in Path(name).glob("*.db")}
    for number in range(begin, begin + workers):
        pid = 4_200_000 + number  # above the greatest that Linux has (2 ** 22)
        (folder / f"{PREFIX}{pid}_{pid_space()}_{number:08x}{ALIVE}").touch()
        for prefix, content in made.items():
            (folder / f"{prefix}_{pid}.db").write_bytes(content)


_BUSY = """
import sys
from fraiseql_guard.core import signals as s
from fraiseql_guard.telemetry import Metrics
metrics = Metrics(workers=4)
for number in range(int(sys.argv[1])):
    metrics.inc(s.HTTP_REQUESTS, "/graphql", "200", f"user-{number}")
    metrics.inc(s.RATE_LIMIT_EXCEEDED, f"user-{number}", f"10.0.0.{number}")
    metrics.observe(s.RESPONSE_TIME, number / 100)
metrics.set(s.DB_CONNECTIONS_TOTAL, 10)
"""

if __name__ == "__main__":
    sys.exit(main())

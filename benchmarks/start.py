"""What a guard costs before its first request: CPU, memory and modules of new processes that import it, and mount it.

Each row is a process of its own, all rows in turns; printed are the lowest of all rounds, because whatever else runs
can only add. CPU is that of the whole process, from its start to its end, the interpreter's own included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.results import Clock

_MOUNTED: Final = """
import asyncio
from fraiseql_guard import Guard

async def app(scope, receive, send):
    while (await receive())["type"] != "lifespan.shutdown":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})

async def main():
    said = iter(("lifespan.startup", "lifespan.shutdown"))

    async def receive():
        return {"type": next(said)}

    async def send(message):
        assert message["type"].endswith(".complete"), message

    await Guard(app)({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)

asyncio.run(main())
"""

ROWS: Final[Mapping[str, str]] = {
    "Python alone": "",
    "what a guard is built on: asyncio, starlette, prometheus_client, orjson": "import asyncio, orjson, "
    "prometheus_client, starlette.requests",
    "from fraiseql_guard import Guard": "from fraiseql_guard import Guard",
    "a guard mounted, started and ended": _MOUNTED,
    "beside it: import graphql": "import graphql",
    "beside it: import fastapi": "import fastapi",
    "beside it: import strawberry": "import strawberry",
}
"""What each process does. A package that is not installed is left out."""

_REPORT: Final = """
import json, sys
ours = sum(name.partition(".")[0] == "fraiseql_guard" for name in sys.modules)
print(json.dumps([len(sys.modules), ours]))
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one process: seconds of CPU, MiB of memory at its largest, modules that are loaded, and ours among them."""

    cpu_seconds: float
    memory_mib: float
    modules: int
    ours: int


def cost(code: str) -> Cost | None:
    """That of a new process that runs this code; None if it cannot."""
    process = subprocess.Popen(
        [sys.executable, "-c", code + _REPORT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_without_settings(),
    )
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        return None
    modules, ours = json.loads(printed.splitlines()[-1])
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, modules, ours)


def _without_settings() -> dict[str, str]:
    """This environment, with bytecode cached as it is in production and without settings of a guard."""
    ours = ("FRAISEQL_", "PYTHONDONTWRITEBYTECODE", "PROMETHEUS_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def measure(rounds: int) -> dict[str, Cost]:
    """The lowest of each row."""
    found: dict[str, list[Cost]] = {}
    for _ in range(rounds + 1):  # the first round compiles what was never imported, and does not count
        for name, code in ROWS.items():
            if (one := cost(code)) is not None:
                found.setdefault(name, []).append(one)
    return {name: min(costs[1:], key=lambda each: each.cpu_seconds) for name, costs in found.items()}


def main() -> None:
    """Print a row for each; ``--json FILE`` writes them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", metavar="FILE")
    clock, options = Clock("start"), parser.parse_args()
    rows: dict[str, Any] = measure(options.rounds)
    width = max(map(len, rows)) + 2
    print(f"{'':{width}}{'CPU s':>8}{'MiB':>8}{'modules':>9}{'ours':>6}")
    for name, row in rows.items():
        print(f"{name:{width}}{row.cpu_seconds:8.3f}{row.memory_mib:8.1f}{row.modules:9}{row.ours:6}")
    clock.save(options.json, rows)


if __name__ == "__main__":
    main()

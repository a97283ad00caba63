"""Ordinary users at a fixed rate beside ten times as much of each attack: what they feel, with the guard and without.

The blog runs on a real uvicorn, the guard on a real Redis where there is one; the users and the attackers are processes
of their own, and send at their rate whatever becomes of the answers (open loop: who waits for a late one has waited).
Every row starts a server of its own: calm first, then the attack, for the same time, because a full garbage collection
of the app comes every few seconds and is longer than anything else. Good is an answer 200 within a second; busy is the
server's share of one core, wait its time without one that it could have used. Memory, label values and log are what the
attack added. Goals: p99 at most 1.5 times the calm one (of all rows together), goodput at least 95 %, at most 40 MB
more after a million distinct attackers. A row's own p99 is judged where it rests on enough requests. Where the server
waits the machine does something else as well, and the times say nothing; where it is busy all the time, it is too slow
for the rate.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.flood_attacks import ATTACKS, OPERATOR
from benchmarks.flood_memory import KINDS
from benchmarks.flood_server import Server
from benchmarks.results import Clock
from tests.support.redis_server import RedisServer
from tools.components import ComponentError

SECRET: Final = "a-secret-for-benchmarks-of-32-bytes-or-more"
TIMES: Final = 10
"""The attack's rate over that of the users."""
MOST_SLOWER, LEAST_GOOD, MOST_MEMORY_BYTES = 1.5, 0.95, 40_000_000
TOGETHER: Final = "all rows together"
ENOUGH: Final = 500
"""Requests, at least, of which the slowest hundredth is not a single one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much of everything."""

    attacks: Sequence[str]
    rate: float
    seconds: float
    attackers: int
    bare: bool


def plan_of(options: argparse.Namespace) -> Plan:
    """The short form or the long one."""
    chosen = [name for name, attack in ATTACKS.items() if attack.short or not options.short]
    chosen = [name for name in ATTACKS if any(word in name for word in options.only)] if options.only else chosen
    return Plan(
        attacks=chosen,
        rate=options.rate,
        seconds=3.0 if options.short else 20.0,
        attackers=options.attackers if options.attackers is not None else 20_000 if options.short else 1_000_000,
        bare=not options.no_bare,
    )


def prepare(server: Server, rate: float, seconds: float, attack: str | None) -> Any:
    """A process that sends from :func:`begin` on; what it has seen comes from :func:`collect`."""
    order = {"port": server.port, "rate": rate, "seconds": seconds, "attack": attack, "secret": SECRET}
    process: Any = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.flood_load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    process.stdin.write(json.dumps(order) + "\n")
    process.stdin.flush()
    if process.stdout.readline() != "ready\n":
        raise SystemExit("a load generator does not start")
    return process


def begin(*processes: Any) -> None:
    """All at once."""
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.close()


def alone(server: Server, rate: float, seconds: float) -> dict[str, Any]:
    """Users without attackers."""
    users = prepare(server, rate, seconds, None)
    begin(users)
    return collect(users)


def collect(process: Any) -> dict[str, Any]:
    """What a process has seen."""
    with process.stdout:
        found: dict[str, Any] = json.loads(process.stdout.read() or "{}")
    if process.wait():
        raise SystemExit("a load generator failed: the figures would be worthless")
    return found


def felt(found: dict[str, Any]) -> dict[str, float]:
    """Milliseconds and goodput of ordinary users."""
    times = sorted(found["seconds"]) or [0.0]
    return {
        "p50_ms": times[len(times) // 2] * 1e3,
        "p99_ms": times[min(len(times) - 1, int(len(times) * 0.99))] * 1e3,
        "goodput": found["good"] / max(1, found["sent"]),
    }


def measure(server: Server, plan: Plan, name: str, before: Callable[[], None]) -> dict[str, Any]:
    """One attack on one server: calm, what happens ``before`` the attack, then the attack."""
    attack, guarded = ATTACKS[name], server.app == "guard"
    seconds = plan.seconds if guarded else plan.seconds / 2  # no goal is judged without the guard
    first = felt(alone(server, plan.rate, min(5.0, seconds)))  # is slower
    calm_found = alone(server, plan.rate, seconds)
    calm = felt(calm_found)
    before()
    kept = (server.rss_bytes(), server.label_values() if guarded else 0, server.log_bytes())
    attackers = prepare(server, plan.rate * TIMES * attack.share, seconds, name)
    users = prepare(server, plan.rate, seconds, None)
    cpu, starved, began = server.cpu_seconds(), server.starved_seconds(), time.perf_counter()
    begin(attackers, users)
    under_found = collect(users)
    under = felt(under_found)
    elapsed = time.perf_counter() - began
    busy, starved = (server.cpu_seconds() - cpu) / elapsed, (server.starved_seconds() - starved) / elapsed
    theirs = collect(attackers)
    row = {
        "attack": name,
        "app": server.app,
        "first": first,
        "calm": calm,
        "under": under,
        "times": {"calm": calm_found["seconds"], "under": under_found["seconds"]},
        "statuses": theirs["statuses"],
    }
    row |= {
        "sent": theirs["sent"],
        "left_out": theirs["left_out"],
        "memory_bytes": server.rss_bytes() - kept[0],
        "busy": busy,
        "starved": starved,
    }
    if guarded:
        row |= {"label_values": server.label_values() - kept[1], "log_bytes": server.log_bytes() - kept[2]}
    return row


def rows(plan: Plan, redis_url: str | None) -> Iterator[dict[str, Any]]:
    """Attack by attack, without the guard and with it."""
    environ = {"FRAISEQL_JWT_SECRET": SECRET, "FRAISEQL_GUARD_TRUSTED_PROXIES": "127.0.0.1"}
    environ |= {"FRAISEQL_GUARD_AUTH_REQUIRED": "false"}  # so that attacks without a token go as far as they can
    environ |= {"FRAISEQL_GUARD_DATABASE_POOL_SIZE": "20"}  # what the guard reads of a FraiseQL app by itself
    environ |= {"FRAISEQL_GUARD_ADMIN_TOKENS": f"operator={OPERATOR}"}
    environ |= {"FRAISEQL_REDIS_URL": redis_url} if redis_url else {}
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(plan.attacks):
            change, namespace = ATTACKS[name].before, f"flood{number}"
            if change is not None and not redis_url:
                say(f"{number + 1} of {len(plan.attacks)}: {name}: left out without Redis")
                continue
            for app in ("bare", "guard") if plan.bare else ("guard",):
                say(f"{number + 1} of {len(plan.attacks)}: {name}, {app}")
                own = {**environ, **ATTACKS[name].settings, "FRAISEQL_GUARD_NAMESPACE": namespace}
                before = partial(change, redis_url, namespace) if change and redis_url and app == "guard" else _nothing
                with Server(app, own, Path(folder, f"{number}-{app}.log")) as server:
                    yield measure(server, plan, name, before)


def _nothing() -> None:
    """Most attacks find Redis as it is."""


def memory(plan: Plan, redis_url: str | None) -> Iterator[dict[str, Any]]:
    """After many distinct attackers."""
    for kind in KINDS if plan.attackers else ():
        say(f"{plan.attackers:,} distinct attackers, {kind}")
        command = [sys.executable, "-m", "benchmarks.flood_memory", kind, str(plan.attackers)]
        done = subprocess.run([*command, *([redis_url] if redis_url else [])], stdout=subprocess.PIPE, check=True)
        yield {**json.loads(done.stdout), "app": "guard"}


def p99(times: Sequence[float]) -> float:
    """Milliseconds; of no times 1."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] * 1e3 if ordered else 1.0


def verdict(row: dict[str, Any], calm: Sequence[float]) -> list[str]:
    """The goals of a row, met or missed."""
    if row["app"] != "guard":
        return []
    goals = []
    if "under" in row:
        if len(row["times"]["under"]) >= ENOUGH:
            goals = [slower(row["under"]["p99_ms"], calm)]
        goals += [(f"goodput {row['under']['goodput']:.1%}", row["under"]["goodput"] >= LEAST_GOOD)]
    else:
        goals = [(f"memory {row['memory_bytes'] / 1e6:+.1f} MB", row["memory_bytes"] <= MOST_MEMORY_BYTES)]
    return [told(*goal) for goal in goals]


def slower(p99_ms: float, calm: Sequence[float]) -> tuple[str, bool]:
    """How much slower than calm, and whether that meets the goal."""
    times = p99_ms / p99(calm)
    return f"p99 {times:.2f}x calm", times <= MOST_SLOWER


def told(what: str, met: bool) -> str:
    """A goal with its outcome."""
    return f"{'met' if met else 'MISSED'}: {what}"


def show(row: dict[str, Any], goals: list[str]) -> None:
    """A line of the table."""
    under = row.get("under")
    times = " " * 37
    if under:
        times = f"{under['p50_ms']:8.1f}{under['p99_ms']:9.1f}{under['goodput']:8.0%}"
        times += f"{row['busy']:6.0%}{row['starved']:6.0%}"
    kept = f"{row['label_values']:8}{row['log_bytes']:11,}" if "log_bytes" in row else " " * 19
    memory = f"{row['memory_bytes'] / 1e6:+8.1f}"
    print(f"{row['attack'][:44]:45}{row['app']:6}{times}{memory}{kept}  {', '.join(goals)}", flush=True)


def say(what: str) -> None:
    """Progress."""
    print(f"  {what}", file=sys.stderr, flush=True)


def open_redis(stack: contextlib.ExitStack) -> str | None:
    """The URL of a Redis, where it can be had."""
    try:
        return stack.enter_context(RedisServer()).url
    except (OSError, RuntimeError, ComponentError) as error:
        say(f"without Redis ({error}): each process counts alone")
        return None


def main() -> int:
    """Print the table; ``--json FILE`` has what there is so far after every row."""
    clock = Clock("flood")
    parser = argparse.ArgumentParser(prog="python -m benchmarks flood", description=__doc__)
    parser.add_argument(
        "--short", action="store_true", help="less than five minutes: fewer rows, seconds and attackers"
    )
    parser.add_argument(
        "--rate", type=float, default=30.0, help="ordinary requests a second (30); attacks: ten times that"
    )
    parser.add_argument(
        "--attackers", type=int, help="distinct ones of the memory rows: 1,000,000 (short: 20,000); 0: none"
    )
    parser.add_argument("--only", nargs="*", metavar="WORD", help="attacks whose name contains one of these")
    parser.add_argument("--no-bare", action="store_true", help="only with the guard")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    plan = plan_of(options)
    python = platform.python_version()
    print(f"{plan.rate:g} ordinary requests/s beside {plan.rate * TIMES:g}/s of an attack, Python {python}")
    print(
        f"{'':51}{'p50 ms':>8}{'p99 ms':>9}{'good':>8}{'busy':>6}{'wait':>6}{'MB':>8}{'labels':>8}{'log bytes':>11}",
        flush=True,
    )
    found: list[dict[str, Any]] = []
    calm: list[float] = []
    under: list[float] = []
    with contextlib.ExitStack() as stack:
        redis_url = open_redis(stack)
        for make in (rows, memory):
            for row in make(plan, redis_url):
                times = row.get("times", {}) if row["app"] == "guard" else {}
                calm += times.get("calm", ())
                under += times.get("under", ())
                row["goals"] = verdict(row, calm)
                row.pop("times", None)
                show(row, row["goals"])
                found.append(row)
                clock.save(options.json, found)
    if under:
        together = {"attack": TOGETHER, "app": "guard", "calm_p99_ms": p99(calm), "under_p99_ms": p99(under)}
        found.append({**together, "goals": [told(*slower(p99(under), calm))]})
        print(f"{TOGETHER}: p99 {p99(calm):.1f} ms calm, {p99(under):.1f} ms under attack  {found[-1]['goals'][0]}")
        clock.save(options.json, found)
    missed = sum(goal.startswith("MISSED") for row in found for goal in row["goals"])
    print(f"{missed} goals missed")
    return 0


if __name__ == "__main__":
    sys.exit(main())

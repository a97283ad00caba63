"""Workers on one Redis and on a cluster: what each more of them carries, whether limits stay exact, what Redis spends.

Workers are uvicorn processes with the whole guard in front of an app that computes nothing, on ports of their own, over
which the load is spread evenly (a balancer's work). All share the machine's cores with Redis and with the load, so
requests a second say more about the cores than about the guard; CPU per request, of workers and of Redis, does not. The
costs that are measured here feed a simulation (scale_model.py) of up to 100 workers and 10 nodes, each with a core of
its own, which is first asked for the points that were measured.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from benchmarks.pairs import order
from benchmarks.peers.effort import Progress
from benchmarks.peers.environment import PeersEnvironmentError, prepare
from benchmarks.results import Clock, machine
from benchmarks.scale_fleet import (
    PLENTY,
    Fleet,
    Load,
    Monitor,
    Replayed,
    Store,
    Way,
    decisions_of,
    idle_cpu_seconds,
    redis_version,
    replay,
    round_trip_seconds,
    stores,
)
from benchmarks.scale_load import Order
from benchmarks.scale_report import lines
from benchmarks.scale_simulation import Calibration, Effort, Measured, Served, simulated

WORKERS: Final = (1, 2, 4)
NODES: Final = 3
CONNECTIONS: Final = 16
"""To each worker, as many as it would have from a busy balancer."""
CALLERS: Final = 2_000
_MOST: Final = max(WORKERS)
_RATE, _BURST = 100, 20
"""Of the limits that are counted exactly: a day passes until a bucket is full again, so that none refills meanwhile."""
_LIMITED: Final = {
    "rate_limit_default": f"{_RATE}/day",
    "rate_limit_burst": _BURST,
    "max_in_flight": 1_000,  # one caller has all connections: no other limit is to refuse it
}
_SECONDS_A_TOKEN: Final = 86_400 / _RATE
_SHORT: Final = Effort(rounds=3, requests=1_500, simulated=8_000, idle_seconds=2.0)
_COUNTED: Final = 500
_DEEP: Final = 32
WAYS: Final[Mapping[str, Way]] = {
    "alone": Way(connections=1, together=1, pause_seconds=0.0002),
    "beside": Way(connections=CONNECTIONS, together=1),
    "together": Way(connections=CONNECTIONS, together=_DEEP),
}
"""How Redis is asked for decisions: by a worker that has little to do, by many, and by many that are so busy that they
send several at once."""


@dataclass(slots=True)
class Point:
    """One store and number of workers, round by round: CPU in microseconds a request, of Redis beyond what it uses
    without requests."""

    store: str
    workers: int
    per_second: list[float] = field(default_factory=list)
    worker_us: list[float] = field(default_factory=list)
    redis_us: list[float] = field(default_factory=list)
    load_us: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Exact:
    """One limit over all workers: how often callers were admitted, and how often they may be."""

    store: str
    workers: int
    callers: int
    requests: int
    allowed: int
    admitted: Mapping[int, int]
    """How many callers were admitted so often."""

    @property
    def holds(self) -> bool:
        """Whether every caller got exactly what the limit gives."""
        return self.admitted == {self.allowed: self.callers}


def measured(
    fleets: Sequence[Fleet], idle: Mapping[str, float], load: Load, effort: Effort, progress: Progress
) -> list[Point]:
    """Rounds, interleaved. ``idle``: what the nodes of a store use of a core without requests."""
    points = {(fleet.store.name, count): Point(fleet.store.name, count) for fleet in fleets for count in WORKERS}
    rows = [(fleet, count, fleet.store.pids()) for fleet in fleets for count in WORKERS]
    for number in range(effort.rounds):
        progress.step(f"round {number + 1} of {effort.rounds}")
        for place in order(len(rows), number):
            fleet, count, nodes = rows[place]
            requests = effort.requests * count
            chosen = Order(
                ports=fleet.ports[:count], connections=CONNECTIONS, requests=requests, warm_up=requests // 5,
                callers=CALLERS, pids=[*fleet.pids[:count], *nodes],
            )  # fmt: skip
            seen = load.carry_out(chosen)
            if seen.statuses != {200: requests}:
                raise SystemExit(f"answers {seen.statuses}: the figures would be worthless")
            point = points[fleet.store.name, count]
            point.per_second.append(requests / seen.elapsed)
            point.worker_us.append(sum(seen.cpu_seconds[pid] for pid in fleet.pids[:count]) / requests * 1e6)
            decided = sum(seen.cpu_seconds[pid] for pid in nodes) - idle[fleet.store.name] * seen.elapsed
            point.redis_us.append(decided / requests * 1e6)
            point.load_us.append(seen.load_cpu_seconds / requests * 1e6)
            point.p50_ms.append(seen.p50_seconds * 1e3)
            point.p99_ms.append(seen.p99_seconds * 1e3)
    return list(points.values())


@dataclass(slots=True)
class Watched:
    """What workers send to a store, and what it costs there."""

    commands: float
    """A request, without upkeep."""
    upkeep_commands: float
    """A second and worker: what workers tell and ask without any request."""
    upkeep_us: float
    """CPU of Redis for each of these."""
    idle_cores: float
    """What all nodes together use of a core while workers have no requests."""
    round_trip_us: float
    replayed: dict[str, dict[str, float]] = field(default_factory=dict)
    """By the way that decisions were asked for again: medians of the rounds."""


def watched(fleet: Fleet, load: Load, effort: Effort, bare_cpu: float) -> Watched:
    """Listen to what is sent, then send the same decisions again, faster than workers can."""
    store, pids = fleet.store, fleet.store.pids()
    with Monitor(store) as monitor:
        time.sleep(effort.idle_seconds)
        idle = sum(map(len, monitor.commands())) / effort.idle_seconds
    idle_cpu = idle_cpu_seconds(pids, effort.idle_seconds)
    with Monitor(store) as monitor:
        began = time.perf_counter()
        load.carry_out(Order(ports=fleet.ports, connections=1, requests=_COUNTED, callers=CALLERS))
        elapsed = time.perf_counter() - began
        by_node = monitor.commands()
    sent = sum(map(len, by_node))
    again: dict[str, list[Replayed]] = {name: [] for name in WAYS}
    decisions = decisions_of(by_node[0])
    for _ in range(effort.rounds):
        for name, way in WAYS.items():
            count = effort.requests // (4 if way.pause_seconds else 1)
            again[name].append(replay(store.nodes[0], pids[0], decisions, way, count=count))
    return Watched(
        commands=(sent - idle * elapsed) / _COUNTED,
        upkeep_commands=idle / len(fleet.ports),
        upkeep_us=max(0.0, idle_cpu - bare_cpu) / max(idle, 1e-9) * 1e6,
        idle_cores=idle_cpu,
        round_trip_us=statistics.median(round_trip_seconds(store.nodes[0], _COUNTED)) * 1e6,
        replayed={name: _medians(each) for name, each in again.items()},
    )


def _medians(rounds: Sequence[Replayed]) -> dict[str, float]:
    return {
        "cpu_us": statistics.median(each.cpu_seconds for each in rounds) * 1e6,
        "per_second": statistics.median(1 / each.seconds for each in rounds),
        "reads": statistics.median(each.reads for each in rounds),
        "wakes": statistics.median(each.wakes for each in rounds),
    }


def exact(store: Store, callers: int) -> Exact:
    """So many callers over all workers. The workers are new ones, which remember no refusal of other callers' runs."""
    allowed = _RATE + _BURST
    requests = allowed * (5 if callers == 1 else 2) * callers
    with Fleet(store, _MOST, **_LIMITED) as fleet, Load() as load:
        store.flush()
        seen = load.carry_out(
            Order(ports=fleet.ports, connections=CONNECTIONS, requests=requests, callers=callers),
            seconds=_SECONDS_A_TOKEN,
        )
    if set(seen.statuses) - {200, 429, 403}:
        raise SystemExit(f"answers {seen.statuses}: the figures would be worthless")
    if seen.elapsed >= _SECONDS_A_TOKEN:
        raise SystemExit("so slow that a bucket refilled: nothing can be said of exactness")
    return Exact(store.name, len(fleet.ports), callers, requests, allowed, seen.admitted)


def run(effort: Effort, progress: Progress) -> dict[str, Any]:
    """Everything that is measured, and what follows from it."""
    with stores(NODES) as both, Load() as load:
        bare = {store.name: idle_cpu_seconds(store.pids(), effort.idle_seconds) for store in both}
        exacts: list[Exact] = []
        for store in both:
            progress.step(f"exactness: {store.name}")
            exacts += [exact(store, callers) for callers in (1, 50)]
            store.flush()
        progress.step("starting workers")
        with (
            Fleet(both[0], _MOST, rate_limit_default=PLENTY) as one,
            Fleet(both[1], _MOST, rate_limit_default=PLENTY) as many,
        ):
            seen = {}
            for fleet in (one, many):
                progress.step(f"what Redis is asked: {fleet.store.name}")
                seen[fleet.store.name] = watched(fleet, load, effort, bare[fleet.store.name])
            idle = {name: each.idle_cores for name, each in seen.items()}
            points = measured((one, many), idle, load, effort, progress)
        version = redis_version(both[0].nodes[0])
    progress.step("simulation")
    calibrations = {store.name: calibration(store, points, seen[store.name]) for store in both}
    given = [
        Measured(point.store, point.workers, *(statistics.median(each) for each in (point.per_second, point.redis_us)))
        for point in points
    ]
    cores = machine()["cores"]
    return {
        "redis": version,
        "cores": cores,
        "nodes": NODES,
        "connections": CONNECTIONS,
        "together": _DEEP,
        "points": [asdict(point) for point in points],
        "watched": {name: asdict(each) for name, each in seen.items()},
        "exact": [{**asdict(each), "holds": each.holds} for each in exacts],
        "simulation": simulated(calibrations, given, effort, cores=cores, connections=CONNECTIONS),
    }


def calibration(store: Store, points: Sequence[Point], seen: Watched) -> Calibration:
    """The costs of a store, from what was measured with one worker and from what was asked for again."""
    one = next(point for point in points if point.store == store.name and point.workers == 1)
    return Calibration(
        worker_us=statistics.median(one.worker_us),
        load_us=statistics.median(one.load_us),
        **{
            name: Served(cpu_us=each["cpu_us"], reads=each["reads"], wakes=each["wakes"])
            for name, each in seen.replayed.items()
        },
        upkeep_us=seen.upkeep_us,
        upkeep_per_second=seen.upkeep_commands,
        round_trip_us=seen.round_trip_us,
        nodes=len(store.nodes),
    )


def main() -> int:
    """Print the tables; ``--json FILE`` writes them. 1 if a limit was not exact."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks scale", description=__doc__)
    parser.add_argument(
        "--short", action="store_true", help="under two minutes: fewer rounds, fewer simulated requests"
    )
    parser.add_argument("--rounds", type=int, help="12; with --short 3")
    parser.add_argument("--requests", type=int, help="a round and worker: 8000; with --short 1500")
    parser.add_argument("--seed", type=int, default=1, help="of the simulation (1)")
    parser.add_argument("--json", metavar="FILE")
    clock, options = Clock("scale"), parser.parse_args()
    usual = _SHORT if options.short else Effort()
    rounds, requests = options.rounds or usual.rounds, options.requests or usual.requests
    effort = replace(usual, rounds=rounds, requests=requests, seed=options.seed)
    progress = Progress()
    try:
        prepare([])
    except PeersEnvironmentError as error:
        print(f"the environment of the workers cannot be made: {error}", file=sys.stderr)
        return 1
    figures = run(effort, progress)
    progress.end()
    print("\n".join(lines(figures)))
    clock.save(options.json, figures)
    return 0 if all(each["holds"] for each in figures["exact"]) else 1


if __name__ == "__main__":
    sys.exit(main())

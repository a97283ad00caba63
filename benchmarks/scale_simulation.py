"""What follows from measured costs: the model held against the points that were measured, then larger fleets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from benchmarks.scale_model import Costs, Outcome, Size, bend, offered, saturated

FLEETS: Final = (1, 2, 4, 8, 16, 32, 64, 100)
NODE_COUNTS: Final = (1, 3, 10)
LOADS: Final = (0.05, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
"""Shares of what a fleet carries."""
_ENOUGH: Final = 0.95
"""Of what workers carry whose store takes no time."""
_ROUNDS: Final = 20
"""Requests of each connection, at least: a fleet that has just begun is no fleet at work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is measured and simulated: rounds, requests a round and worker, requests a simulated point."""

    rounds: int = 12
    requests: int = 8_000
    simulated: int = 40_000
    idle_seconds: float = 5.0
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a node spends on a decision (microseconds of CPU), and how often it reads and wakes up for one."""

    cpu_us: float
    reads: float
    wakes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Measured: microseconds of CPU of a worker and of the load a request, and of Redis for each of the commands of
    upkeep; what a decision takes of Redis when it is asked for alone, beside others, and in one write with others."""

    worker_us: float
    load_us: float
    alone: Served
    beside: Served
    together: Served
    upkeep_us: float
    upkeep_per_second: float
    round_trip_us: float
    nodes: int = 1

    def costs(self) -> Costs:
        """Those of the model: three unknowns (decision, read, wake) from three measured sums. What differs between
        alone and beside is how often a node wakes up; between beside and together, how often it reads."""
        alone, beside, together = self.alone, self.beside, self.together
        wake = _least(alone.cpu_us - beside.cpu_us, alone.wakes - beside.wakes)
        rest = beside.cpu_us - together.cpu_us - wake * (beside.wakes - together.wakes)
        read = _least(rest, beside.reads - together.reads)
        decision = together.cpu_us - read * together.reads - wake * together.wakes
        return Costs(
            worker=self.worker_us * 1e-6,
            client=self.load_us * 1e-6,
            decision=max(0.0, decision) * 1e-6,
            read=read * 1e-6,
            wake=wake * 1e-6,
            hop=max(0.0, self.round_trip_us - read - wake) / 2 * 1e-6,
            upkeep=self.upkeep_us * 1e-6,
            upkeep_per_second=self.upkeep_per_second,
        )


def _least(difference: float, times: float) -> float:
    """A cost that happens so many times in a difference; none where noise is larger than it."""
    return max(0.0, difference / times) if times > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Measured:
    """A point to hold the model against: medians of its rounds."""

    store: str
    workers: int
    per_second: float
    redis_us: float


def simulated(
    calibrations: Mapping[str, Calibration],
    measured: Sequence[Measured],
    effort: Effort,
    *,
    cores: int,
    connections: int,
) -> dict[str, Any]:
    """Everything, as it is written."""
    one, *others = calibrations.values()
    many = others[-1] if others else one
    by_nodes = {nodes: one if nodes == 1 else many for nodes in NODE_COUNTS}
    carried = [
        {"workers": workers, "nodes": nodes, **_carried(by_nodes[nodes], workers, nodes, effort, connections)}
        for nodes in NODE_COUNTS
        for workers in FLEETS
    ]
    loads = {nodes: _loads(by_nodes[nodes], nodes, carried, effort) for nodes in NODE_COUNTS}
    return {
        "seed": effort.seed,
        "costs_us": {name: _microseconds(each.costs()) for name, each in calibrations.items()},
        "validation": [_held(each, calibrations[each.store], effort, cores, connections) for each in measured],
        "carried": carried,
        "loads": {str(nodes): rows for nodes, rows in loads.items()},
        "advice": advice(carried, loads),
    }


def _microseconds(costs: Costs) -> dict[str, float]:
    return {name: value if name == "upkeep_per_second" else value * 1e6 for name, value in asdict(costs).items()}


def _held(point: Measured, calibration: Calibration, effort: Effort, cores: int, connections: int) -> dict[str, Any]:
    """The model's answer beside a measured point: requests a second on so many cores, Redis's CPU a decision."""
    size = Size(workers=point.workers, nodes=calibration.nodes, cores=cores)
    costs = calibration.costs()
    said = saturated(costs, size, connections=connections, requests=effort.simulated, seed=effort.seed)
    redis_us = _redis_us(costs, said)
    return {
        "store": point.store,
        "workers": point.workers,
        "per_second": point.per_second,
        "simulated_per_second": said.per_second,
        "deviation": said.per_second / point.per_second - 1,
        "redis_us": point.redis_us,
        "simulated_redis_us": redis_us,
        "redis_deviation": redis_us / point.redis_us - 1,
    }


def _redis_us(costs: Costs, said: Outcome) -> float:
    """Microseconds of Redis a decision."""
    return (costs.decision + costs.read * said.reads_per_decision + costs.wake * said.wakes_per_decision) * 1e6


def _carried(calibration: Calibration, workers: int, nodes: int, effort: Effort, connections: int) -> dict[str, float]:
    """What a fleet carries at most, each process on a core of its own, and clients that cost it nothing."""
    costs = replace(calibration.costs(), client=0.0)
    requests = max(effort.simulated, _ROUNDS * workers * connections)
    said = saturated(
        costs, Size(workers=workers, nodes=nodes), connections=connections, requests=requests, seed=effort.seed
    )
    return {
        "per_second": said.per_second,
        "share": said.per_second * costs.worker / workers,
        "node_busy": said.node_busy,
        "together": said.together,
    }


def _loads(
    calibration: Calibration, nodes: int, carried: Sequence[Mapping[str, Any]], effort: Effort
) -> list[dict[str, float]]:
    """The largest fleet at growing shares of what it carries."""
    workers = FLEETS[-1]
    most = next(row["per_second"] for row in carried if (row["workers"], row["nodes"]) == (workers, nodes))
    costs = replace(calibration.costs(), client=0.0)
    rows = []
    for load in LOADS:
        said = offered(
            costs,
            Size(workers=workers, nodes=nodes),
            per_second=load * most,
            requests=effort.simulated,
            seed=effort.seed,
        )
        rows.append(
            {
                "load": load,
                "per_second": load * most,
                "p50_ms": said.p50 * 1e3,
                "p99_ms": said.p99 * 1e3,
                "decision_p50_ms": said.decision_p50 * 1e3,
                "decision_p99_ms": said.decision_p99 * 1e3,
                "node_busy": said.node_busy,
                "worker_busy": said.worker_busy,
            }
        )
    return rows


def advice(carried: Sequence[Mapping[str, Any]], loads: Mapping[int, Sequence[Mapping[str, float]]]) -> dict[str, Any]:
    """What one Redis core carries, at which load its answers take twice as long, and how many workers at full load
    that is; then the least number of nodes for the largest fleet."""
    single = [row for row in carried if row["nodes"] == 1]
    most = max(row["per_second"] for row in single)
    worker = next(row["per_second"] for row in single if row["workers"] == 1)
    rows = loads[1]
    bends_at = bend([(row["per_second"], row["decision_p99_ms"]) for row in rows])
    largest = max(row["workers"] for row in carried)
    enough = [row["nodes"] for row in carried if row["workers"] == largest and row["share"] >= _ENOUGH]
    return {
        "redis_core_per_second": most,
        "bends_at_per_second": bends_at,
        "bends_at_load": bends_at / most,
        "worker_per_second": worker,
        "workers_per_core": int(bends_at // worker),
        "largest_fleet": largest,
        "nodes_for_largest": min(enough, default=None),
    }

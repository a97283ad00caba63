"""Scale: workers on one Redis and on a cluster, and larger fleets simulated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.charts import OTHERS, Axis, Line, lines, number_of
from benchmarks.scale_report import scaled, told_advice
from benchmarks.sections import Chart, Section
from benchmarks.sections import Line as SummaryLine

_COLOURS = (0, 2, 3, 4)
_QUIET = 0.85
"""The share of the cores that busy workers get on a machine that does nothing else."""


def section(figures: Mapping[str, Any]) -> Section:
    """``figures``: what ``python -m benchmarks scale`` writes."""
    said, measured = figures["simulation"], list(scaled(figures))
    rows = [
        ["store", "workers", "requests/s", "of ideal", "cores used", "worker, µs a request", "Redis, µs", "simulated"]
    ]
    for row, held in zip(measured, said["validation"], strict=True):
        cells = [
            f"{row['per_second']:,.0f}",
            f"{row['share']:.0%}",
            f"{row['cores']:.2f}",
            number_of(row["worker_us"]),
            number_of(row["redis_us"]),
        ]
        simulated = f"{held['simulated_per_second']:,.0f}/s ({held['deviation']:+.0%})"
        rows.append([row["store"], str(row["workers"]), *cells, simulated])
    return Section(
        charts=[
            Chart(svg=_carried(said), shows="requests a second by the number of workers and of Redis nodes, simulated"),
            Chart(svg=_waiting(said), shows="how long a decision takes at growing load, simulated", part="load"),
        ],
        text=" ".join(
            filter(
                None,
                [
                    _exact(figures),
                    _commands(figures),
                    told_advice(said["advice"]),
                    _deviation(said),
                    _quiet(figures["cores"], measured),
                ],
            )
        ),
        table=rows,
        summary=[*_summary(figures, measured)],
    )


def _carried(said: Mapping[str, Any]) -> str:
    counts = list(dict.fromkeys(row["nodes"] for row in said["carried"]))
    workers = [row["workers"] for row in said["carried"] if row["nodes"] == counts[0]]
    one = next(row["per_second"] for row in said["carried"])
    drawn = [Line("ideal", [(count, one * count) for count in workers], OTHERS, ideal=True)]
    for colour, nodes in zip(_COLOURS, counts, strict=False):
        points = [(row["workers"], row["per_second"]) for row in said["carried"] if row["nodes"] == nodes]
        drawn.append(Line(_nodes(nodes), points, colour))
    return lines(
        "What workers carry on so many Redis nodes, each on a core of its own",
        Axis(label="workers", log=True),
        Axis(label="requests/s", log=True),
        drawn,
    )


def _waiting(said: Mapping[str, Any]) -> str:
    drawn = []
    for colour, (nodes, rows) in zip(_COLOURS, said["loads"].items(), strict=False):
        points = [(row["load"] * 100, row["decision_p99_ms"]) for row in rows]
        drawn.append(Line(_nodes(int(nodes)), points, colour))
    return lines(
        f"p99 of a decision, {said['advice']['largest_fleet']} workers, at growing load",
        Axis(label="load, % of what the fleet carries"),
        Axis(label="p99, ms", log=True),
        drawn,
    )


def _nodes(count: int) -> str:
    return f"{count} node" if count == 1 else f"{count} nodes"


def _exact(figures: Mapping[str, Any]) -> str:
    requests = sum(each["requests"] for each in figures["exact"])
    workers, allowed = (figures["exact"][0][name] for name in ("workers", "allowed"))
    wrong = [each["store"] for each in figures["exact"] if not each["holds"]]
    if wrong:
        return f"Limits were NOT exact over {workers} workers on: {', '.join(wrong)}."
    callers = " and of ".join(dict.fromkeys(str(each["callers"]) for each in figures["exact"]))
    return (
        f"Over {workers} workers limits were exact, on one Redis and on the cluster: of {requests:,} requests of "
        f"{callers} callers, every caller's were admitted {allowed} times (limit and burst), and not once more."
    )


def _commands(figures: Mapping[str, Any]) -> str:
    told = [f"{each['commands']:.2f} on {name}" for name, each in figures["watched"].items()]
    return f"Redis commands a request: {', '.join(told)}."


def _deviation(said: Mapping[str, Any]) -> str:
    """How far the model is off where it could be tried."""
    most = max(said["validation"], key=lambda row: abs(row["deviation"]))
    redis = max(said["validation"], key=lambda row: abs(row["redis_deviation"]))
    return (
        f"Where the simulation could be held against measured points it was off by at most {abs(most['deviation']):.0%}"
        f" in requests/s and {abs(redis['redis_deviation']):.0%} in Redis's CPU."
    )


def _quiet(cores: int, measured: list[dict[str, Any]]) -> str:
    """Whether something else used the cores where all of them should have been used up."""
    used = min((row["cores"] for row in measured if row["workers"] >= cores), default=cores)
    if used >= cores * _QUIET:
        return ""
    return (
        f"The machine was not quiet: workers, Redis and load got {used:.1f} of {cores} cores at the worst, so that "
        "requests/s, and how far the simulation is off in them, say little here."
    )


def _summary(figures: Mapping[str, Any], measured: list[dict[str, Any]]) -> list[SummaryLine]:
    first, *_, last = [row for row in measured if row["store"] == measured[0]["store"]]
    advice = figures["simulation"]["advice"]
    holds = all(each["holds"] for each in figures["exact"])
    allowed = figures["exact"][0]["allowed"]
    return [
        SummaryLine(
            f"CPU of a request, {last['workers']} workers on one Redis",
            f"{last['worker_us']:.0f} µs, Redis {last['redis_us']:.1f}",
            f"one worker {first['worker_us']:.0f} µs, Redis {first['redis_us']:.1f}",
        ),
        SummaryLine(
            f"limits over {last['workers']} workers",
            "exact" if holds else "NOT EXACT",
            f"{allowed} of each caller admitted",
        ),
        SummaryLine(
            "decisions/s of one Redis core (simulated)",
            f"{advice['redis_core_per_second']:,.0f}",
            f"p99 doubles at {advice['bends_at_per_second']:,.0f}: {advice['workers_per_core']} busy workers",
        ),
    ]

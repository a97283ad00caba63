"""What ``python -m benchmarks scale`` prints."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import Any, Final

_WAYS: Final = {
    "alone": "one connection, one at a time",
    "beside": "many connections, one at a time each",
    "together": "many connections, many at once each",
}
_MEASURED: Final = (
    ("req/s", "per_second", 10, ",.0f"),
    ("of ideal", "share", 10, ".0%"),
    ("worker", "worker_us", 9, ".1f"),
    ("of one", "cpu_share", 8, ".0%"),
    ("Redis", "redis_us", 8, ".1f"),
    ("load", "load_us", 8, ".1f"),
    ("cores", "cores", 7, ".2f"),
    ("p50 ms", "p50_ms", 9, ".2f"),
    ("p99 ms", "p99_ms", 9, ".2f"),
)
_HELD: Final = (
    ("req/s", "per_second", 10, ",.0f"),
    ("simulated", "simulated_per_second", 11, ",.0f"),
    ("off by", "deviation", 8, "+.0%"),
    ("Redis us", "redis_us", 10, ".1f"),
    ("simulated", "simulated_redis_us", 11, ".1f"),
    ("off by", "redis_deviation", 8, "+.0%"),
)
"""Head, name, width and format of the columns."""


def lines(figures: Mapping[str, Any]) -> Iterator[str]:
    """All tables."""
    yield "Measured: medians of the rounds; CPU in microseconds a request; Redis: all nodes, beyond what they use idle"
    yield _head(_MEASURED)
    for row in scaled(figures):
        yield _line(row, _MEASURED)
    yield "of ideal: requests/s beside so many times those of one worker (all share the cores); of one: the CPU that a"
    yield "request takes with one worker, as a share of what it takes here; cores: what workers, Redis and load got of"
    yield f"{figures['cores']}: where it is less with the most workers, something else used them\n"
    for name, seen in figures["watched"].items():
        upkeep = f"{seen['upkeep_commands']:.1f} commands a second and worker, {seen['upkeep_us']:.0f} us each"
        yield f"{name}: {seen['commands']:.2f} commands a request; upkeep {upkeep}; idle nodes use"
        yield f"{seen['idle_cores']:.1%} of a core. One node, asked for the same decisions again:"
        for way, again in seen["replayed"].items():
            yield (
                f"  {_WAYS[way]:40}{again['per_second']:10,.0f}/s{again['cpu_us']:8.1f} us"
                f"{again['reads']:8.2f} reads{again['wakes']:8.2f} wakes a decision"
            )
    yield ""
    for each in figures["exact"]:
        word = "exact" if each["holds"] else "NOT EXACT"
        yield f"{word}: {each['store']}, {each['workers']} workers, {each['requests']} requests: {told_admitted(each)}"
    yield ""
    yield from _simulated(figures["simulation"])


def scaled(figures: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The measured points as medians, beside one worker on the same store."""
    first: dict[str, dict[str, Any]] = {}
    for point in figures["points"]:
        row = {key: statistics.median(value) if isinstance(value, list) else value for key, value in point.items()}
        one = first.setdefault(row["store"], row)
        row["share"] = row["per_second"] / (one["per_second"] * row["workers"] / one["workers"])
        row["cpu_share"] = one["worker_us"] / row["worker_us"]
        row["cores"] = (row["worker_us"] + row["redis_us"] + row["load_us"]) * 1e-6 * row["per_second"]
        yield row


def told_admitted(exact: Mapping[str, Any]) -> str:
    """How often callers were admitted, beside how often they may be."""
    found = ", ".join(f"{callers} callers {times} times" for times, callers in exact["admitted"].items())
    return f"each caller may be admitted {exact['allowed']} times; admitted: {found}"


def told_advice(found: Mapping[str, Any]) -> str:
    """What one core of Redis carries, and when to shard."""
    nodes = found["nodes_for_largest"]
    need = f"need {nodes} nodes, of those simulated" if nodes else "need more nodes than were simulated"
    return (
        f"One Redis core carries {found['redis_core_per_second']:,.0f} decisions/s. The p99 of a decision has doubled "
        f"at {found['bends_at_per_second']:,.0f}/s ({found['bends_at_load']:.0%} of that), which is what "
        f"{found['workers_per_core']} workers ask for that never rest ({found['worker_per_second']:,.0f}/s each). "
        f"Shard beyond: {found['largest_fleet']} such workers {need}."
    )


def _head(columns: tuple[tuple[str, str, int, str], ...]) -> str:
    return f"{'store':16}{'workers':>8}" + "".join(f"{head:>{width}}" for head, _, width, _ in columns)


def _line(row: Mapping[str, Any], columns: tuple[tuple[str, str, int, str], ...]) -> str:
    cells = (f"{format(row[name], form):>{width}}" for _, name, width, form in columns)
    return f"{row['store']:16}{row['workers']:8}" + "".join(cells)


def _simulated(said: Mapping[str, Any]) -> Iterator[str]:
    yield "Simulated on these costs, held against what was measured:"
    yield _head(_HELD)
    for row in said["validation"]:
        yield _line(row, _HELD)
    yield "\nSimulated, each worker and node on a core of its own: requests/s (share of what the workers could)"
    nodes = list(dict.fromkeys(row["nodes"] for row in said["carried"]))
    yield f"{'workers':>8}" + "".join(f"{f'{count} node' + ('s' if count > 1 else ''):>20}" for count in nodes)
    for workers in dict.fromkeys(row["workers"] for row in said["carried"]):
        cells = [row for row in said["carried"] if row["workers"] == workers]
        yield f"{workers:8}" + "".join(f"{row['per_second']:13,.0f} ({row['share']:4.0%})" for row in cells)
    yield f"\n{'load':>8}" + "".join(f"{f'{count}: decision p50, p99 ms':>30}" for count in nodes)
    for rows in zip(*said["loads"].values(), strict=True):
        cells = (f"{row['decision_p50_ms']:20.2f}{row['decision_p99_ms']:10.2f}" for row in rows)
        yield f"{rows[0]['load']:8.0%}" + "".join(cells)
    yield "\n" + told_advice(said["advice"])

"""Overhead: CPU that each middleware adds to a request."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks.charts import OURS, Axis, Bar, bars, number_of
from benchmarks.sections import Chart, Line, Section

_BARE: Final = "bare app"
_ONE, _MANY = "1", "64"
_GUARD: Final = ("Guard, memory", "Guard, memory, requests repeated", "Guard, Redis")


def section(figures: Mapping[str, Mapping[str, Sequence[float]]]) -> Section:
    """``figures``: CPU microseconds of each round, by variant and by how many requests are under way at once."""
    medians = {
        name: {at_once: statistics.median(rounds) for at_once, rounds in by_number.items()}
        for name, by_number in figures.items()
    }
    bare = medians[_BARE]
    added = {
        name: {at_once: value - bare[at_once] for at_once, value in each.items()}
        for name, each in medians.items()
        if name != _BARE
    }
    memory, again, redis = (added[name][_ONE] for name in _GUARD)
    chart = bars(
        "CPU that each middleware adds to a request, one at a time",
        Axis(label="CPU added, µs a request"),
        [Bar(name, each[_ONE], OURS) for name, each in added.items()],
    )
    rows = [["", "one at a time", "64 at a time"]]
    rows.append([f"{_BARE} (uses)", *(f"{number_of(bare[each])} µs" for each in (_ONE, _MANY))])
    rows += [[name, *(f"+{number_of(each[at])} µs" for at in (_ONE, _MANY))] for name, each in added.items()]
    return Section(
        charts=[Chart(svg=chart, shows="CPU that each middleware adds to a request")],
        text=(
            f"The whole guard adds {number_of(memory)} µs of CPU to a GraphQL request in memory and {number_of(redis)} "
            f"µs on Redis; to a request that comes again byte for byte, {number_of(again)} µs."
        ),
        table=rows,
        summary=[
            Line("CPU added, whole guard, in memory", f"{memory:.0f} µs", f"the bare app uses {bare[_ONE]:.1f} µs"),
            Line(
                "CPU added, whole guard, on Redis", f"{redis:.0f} µs", f"at 64 at once {added[_GUARD[2]][_MANY]:.0f} µs"
            ),
        ],
    )

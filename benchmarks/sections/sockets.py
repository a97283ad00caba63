"""Sockets: what a WebSocket costs, bare and guarded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from benchmarks.charts import OTHERS, OURS, Axis, Bar, bars, number_of
from benchmarks.sections import Chart, Line, Section

_CPU: Final = {"CPU µs an operation": "an operation", "CPU µs an event": "an event"}


def section(figures: Mapping[str, Any]) -> Section:
    """``figures``: the goals, and what was measured bare and guarded, by name."""
    bare, guarded = figures["bare"], figures["guarded"]
    drawn = []
    for name, what in _CPU.items():
        drawn += [Bar(f"{what}, guarded", guarded[name], OURS), Bar(f"{what}, bare", bare[name], OTHERS)]
    chart = bars("CPU over a WebSocket", Axis(label="CPU, µs", log=True), drawn)
    rows = [["", "bare", "guarded", "goal"]]
    rows += [[name, _told(bare[name]), _told(guarded[name]), goal] for name, goal in figures["goals"].items()]
    operation, event = (guarded[name] - bare[name] for name in _CPU)
    return Section(
        charts=[Chart(svg=chart, shows="CPU of an operation and of an event over a WebSocket, bare and guarded")],
        text=(
            f"The guard adds {number_of(operation)} µs of CPU to an operation and {number_of(event)} µs to an event. "
            f"An idle socket takes {_told(guarded['KiB an idle socket'])} KiB in all."
        ),
        table=rows,
        summary=[
            Line(f"WebSocket: {name}", _told(guarded[name]), f"bare {_told(bare[name])}; goal {goal}")
            for name, goal in figures["goals"].items()
        ],
    )


def _told(value: float | None) -> str:
    return "never" if value is None else number_of(value)

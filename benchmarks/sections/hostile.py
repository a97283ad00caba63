"""Hostile: CPU until a hostile request is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from benchmarks.charts import OTHERS, OURS, Axis, Bar, bars, number_of
from benchmarks.sections import Chart, Line, Section

_SHOWN: Final = {
    "guard": "fraiseql-guard, the whole guard",
    "reader": "fraiseql-guard, its reader alone",
    "no schema": "fraiseql-guard, without a schema",
    "parse": "graphql-core, parse",
    "validate": "graphql-core, parse and validate",
    "strawberry": "Strawberry's limits",
    "graphene": "Graphene's limits",
    "armor": "graphql-armor (node)",
}
_OURS: Final = ("guard", "reader", "no schema")


def section(figures: Mapping[str, Any]) -> Section:
    """``figures``: a summary of each column, and the goals."""
    found = {name: figures["summary"][name] for name in _SHOWN if name in figures["summary"]}
    limit = figures["limit_ms"]

    def note(each: Mapping[str, float]) -> str:
        return f"({each['stopped']:.0f} stopped)" if each["stopped"] else ""

    chart = bars(
        "The dearest hostile request: CPU until it is decided",
        Axis(label="CPU, ms", log=True),
        [
            Bar(_SHOWN[name], each["worst_ms"], OURS if name in _OURS else OTHERS, note(each))
            for name, each in found.items()
        ],
    )
    rows = [["", "median", "worst", "refused", "admitted", "stopped", "broke"]]
    rows += [
        [_SHOWN[name], *(f"{number_of(each[f'{of}_ms'])} ms" for of in ("median", "worst"))]
        + [f"{each[what]:.0f}" for what in ("refused", "admitted", "stopped", "broke")]
        for name, each in found.items()
    ]
    ours = found["guard"]
    missed = [goal["text"] for goal in figures["goals"] if not goal["met"]]
    others = {name: each for name, each in found.items() if name not in _OURS}
    return Section(
        charts=[Chart(svg=chart, shows="CPU of the dearest hostile request, by who decides it")],
        text=(
            f"The guard decides the median request in {number_of(ours['median_ms'])} ms of CPU and the dearest in "
            f"{number_of(ours['worst_ms'])} ms. Stopped are those that took more than {number_of(limit)} ms; broke "
            f"those that ended in an error that is no refusal. {_missed(missed)}"
        ).strip(),
        table=rows,
        summary=[
            Line(f"CPU of {what} hostile request", f"{ours[f'{of}_ms']:.2f} ms", _beside(others, of, limit))
            for what, of in (("the median", "median"), ("the dearest", "worst"))
        ],
    )


def _beside(others: Mapping[str, Mapping[str, float]], of: str, limit: float) -> str:
    told = []
    for name, each in others.items():
        over = of == "worst" and each["stopped"]
        milliseconds = each[f"{of}_ms"]
        told.append(f"{name} over {limit:,.0f}" if over else f"{name} {milliseconds:.2f}")
    return ", ".join(told)


def _missed(goals: list[str]) -> str:
    return f"Goals missed in this run: {'; '.join(goals)}." if goals else "All goals were met in this run."

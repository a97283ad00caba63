"""Flood: what ordinary users feel beside attacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor
from typing import Any, Final

from benchmarks.charts import OTHERS, OURS, Axis, Bar, bars, number_of
from benchmarks.sections import Chart, Line, Section

Rows = Sequence[Mapping[str, Any]]
_STARVED: Final = 0.25
"""The share of time without a core from which on times say little: the load is there too, on few cores."""


def section(figures: Rows) -> Section:
    """``figures``: a row for each attack and app, with what users felt; then memory, then all rows together."""
    felt = [row for row in figures if "under" in row]
    guarded = {row["attack"]: row for row in felt if row["app"] == "guard"}
    bare = {row["attack"]: row for row in felt if row["app"] == "bare"}
    drawn = []
    for attack, row in guarded.items():
        drawn.append(Bar(f"{attack}: guarded", row["under"]["p99_ms"], OURS, _good(row)))
        if attack in bare:
            drawn.append(Bar("without the guard", bare[attack]["under"]["p99_ms"], OTHERS, _good(bare[attack])))
    chart = bars("p99 of ordinary users beside each attack", Axis(label="p99, ms", log=True), drawn)
    rows = [["attack", "p99, guarded", "good answers", "p99 without", "good answers", "memory added"]]
    for attack, row in guarded.items():
        cells = [f"{number_of(row['under']['p99_ms'])} ms", f"{row['under']['goodput']:.0%}"]
        other = bare.get(attack)
        cells += (
            [f"{number_of(other['under']['p99_ms'])} ms", f"{other['under']['goodput']:.0%}"] if other else ["", ""]
        )
        rows.append([attack, *cells, f"{row['memory_bytes'] / 1e6:+.1f} MB"])
    missed = [
        f"{row['attack']}: {goal.partition(': ')[2]}" for row in figures for goal in row["goals"] if _is_missed(goal)
    ]
    return Section(
        charts=[Chart(svg=chart, shows="p99 of ordinary users beside each attack, with and without the guard")],
        text=" ".join(filter(None, [_starved(felt), _worst(guarded, bare), _memory(figures), _missed(missed)])),
        table=rows,
        summary=_summary(guarded, bare),
    )


def _good(row: Mapping[str, Any]) -> str:
    return f"({row['under']['goodput']:.0%} good)"


def _is_missed(goal: str) -> bool:
    return goal.startswith("MISSED")


def _least(rows: Mapping[str, Mapping[str, Any]]) -> tuple[str, float]:
    """The attack beside which the fewest answers were good, and their share."""
    attack, row = min(rows.items(), key=lambda item: item[1]["under"]["goodput"])
    return attack, row["under"]["goodput"]


def _starved(felt: Rows) -> str:
    """Whether the machine did something else as well."""
    most = max((row["starved"] for row in felt), default=0.0)
    if most <= _STARVED:
        return ""
    return (
        f"The machine was not quiet: servers waited for a core up to {most:.0%} of the time, so times say little here."
    )


def _worst(guarded: Mapping[str, Mapping[str, Any]], bare: Mapping[str, Mapping[str, Any]]) -> str:
    attack, least = _least(guarded)
    # Never rounded up: what is said to be all is all.
    if least < 1:
        text = f"With the guard at least {floor(least * 1000) / 1000:.1%} of the users' answers were good ({attack})"
    else:
        text = "With the guard all of the users' answers were good, whatever the attack"
    if bare:
        other, share = _least(bare)
        text += f"; without it as few as {share:.0%} ({other})"
    return f"{text}."


def _memory(rows: Rows) -> str:
    kept = [row for row in rows if "under" not in row and "memory_bytes" in row]
    return " ".join(f"Memory added by {row['attack']}: {row['memory_bytes'] / 1e6:+.1f} MB." for row in kept)


def _missed(missed: Sequence[str]) -> str:
    return f"Goals missed in this run: {'; '.join(missed)}." if missed else "All goals were met in this run."


def _summary(guarded: Mapping[str, Mapping[str, Any]], bare: Mapping[str, Mapping[str, Any]]) -> list[Line]:
    _, least = _least(guarded)
    slowest = max(row["under"]["p99_ms"] for row in guarded.values())
    without = "not measured"
    slow = "not measured"
    if bare:
        other, share = _least(bare)
        without = f"without the guard {share:.0%} ({other})"
        slow = f"without the guard {max(row['under']['p99_ms'] for row in bare.values()):,.0f} ms"
    return [
        Line("fewest good answers of users beside an attack", f"{least:.0%}", without),
        Line("highest p99 of users beside an attack", f"{slowest:,.0f} ms", slow),
    ]

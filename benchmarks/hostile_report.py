"""What ``python -m benchmarks hostile`` prints: one table, a summary of each column, and the goals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.hostile_ours import GUARD, READER, SCHEMALESS
from benchmarks.hostile_peers import Figure

MEDIAN_MS: Final = 0.3
WORST_MS: Final = 5.0
REMEMBERED_US: Final = 10.0
APART: Final = 3.9
"""Growth is judged between sizes that differ at least by this: 4, but for what a repetition does not fill."""
LINEAR: Final = 2.0
"""CPU may grow by so much more than the size: half-way between linear (1) and quadratic (4)."""
NOISE_MS: Final = 0.2
"""Growth to less than this is not looked at: fixed costs and the clock decide it."""
OURS: Final = (READER, SCHEMALESS, GUARD)
_MARKS: Final[Mapping[str, str]] = {"refused": "r", "admitted": "a", "too long": "!"}


@dataclass(frozen=True, slots=True)
class Row:
    """One attack at one size: CPU by column, and the code with which our reader refuses it."""

    family: str
    attack: str
    size: str
    bytes: int
    code: str
    figures: Mapping[str, Figure]


@dataclass(frozen=True, slots=True)
class Goal:
    """What was measured against what was asked for."""

    text: str
    met: bool


def growths(rows: Sequence[Row], column: str) -> Iterator[tuple[Row, float, float]]:
    """Each row with its CPU and its bytes as multiples of those of the next size of its attack that is far smaller."""
    for number, larger in enumerate(rows):
        smaller = [row for row in rows[:number] if row.attack == larger.attack and row.bytes * APART <= larger.bytes]
        before, after = (row.figures.get(column) for row in (smaller[-1] if smaller else larger, larger))
        if smaller and before and after and before.ms > 0:
            yield larger, after.ms / before.ms, larger.bytes / smaller[-1].bytes


def show(rows: Sequence[Row], columns: Sequence[str]) -> None:
    """The table, and under it a line for each column."""
    factors = {(row.attack, row.size): factor for row, factor, _ in growths(rows, READER)}
    print("CPU ms until a request is refused (r) or admitted (a); ! exceeds the limit; else how it broke.")
    print("growth: the reader's CPU as a multiple of that at a quarter of the size\n")
    titles = "".join(f"{title:>{_width(title)}}" for title in columns)
    print(f"{'attack':24}{'size':>8}{'bytes':>9}{titles}{'growth':>8}  refused with")
    for row in rows:
        cells = "".join(f"{_cell(row.figures.get(title)):>{_width(title)}}" for title in columns)
        factor = factors.get((row.attack, row.size))
        grown = "" if factor is None else f"{factor:.1f}"
        print(f"{row.attack:24}{row.size:>8}{row.bytes:9}{cells}{grown:>8}  {row.code}")
    print()
    for title, each in summary(rows, columns).items():
        print(
            f"{title:>{_width(title)}}  median {each['median_ms']:9.3f} ms, worst {each['worst_ms']:9.1f} ms; "
            f"{each['refused']} refused, {each['admitted']} admitted, {each['stopped']} over the limit, "
            f"{each['broke']} broke"
        )


def summary(rows: Sequence[Row], columns: Sequence[str]) -> dict[str, dict[str, float]]:
    """CPU of the median and of the worst, and how many requests ended how, of each column that has figures. One that
    was stopped is worth the limit at which it was."""
    found = {}
    for title in columns:
        figures = [row.figures[title] for row in rows if title in row.figures]
        known = [figure.ms for figure in figures if not math.isnan(figure.ms)]
        if not known:
            continue
        outcomes = [figure.outcome for figure in figures]
        refused, admitted, stopped = (outcomes.count(name) for name in _MARKS)
        found[title] = {
            "median_ms": statistics.median(known),
            "worst_ms": max(known),
            "refused": refused,
            "admitted": admitted,
            "stopped": stopped,
            "broke": len(outcomes) - refused - admitted - stopped,
        }
    return found


def goals(rows: Sequence[Row], remembered: Mapping[str, float]) -> Iterator[Goal]:
    """The issue's goals, on everything of ours that was measured."""
    for column in OURS:
        yield from _speed(rows, column)
    for column in OURS:
        yield _linear(rows, column)
    for case, microseconds in remembered.items():
        text = f"a remembered document, {case}: {microseconds:.1f} µs (at most {REMEMBERED_US:g})"
        yield Goal(text, microseconds <= REMEMBERED_US)


def _speed(rows: Sequence[Row], column: str) -> Iterator[Goal]:
    refused = [row for row in rows if row.figures[column].outcome == "refused"]
    for what, chosen in (("refused", refused), ("all", rows)):
        if not chosen:
            continue
        median = statistics.median(row.figures[column].ms for row in chosen)
        text = f"{column}, {len(chosen)} {what}: median {median:.3f} ms (at most {MEDIAN_MS:g})"
        yield Goal(text, median <= MEDIAN_MS)
        dear = sorted(chosen, key=lambda row: -row.figures[column].ms)
        over = _distinct(row.attack for row in dear if row.figures[column].ms > WORST_MS)
        text = f"{column}, {len(chosen)} {what}: worst {dear[0].figures[column].ms:.1f} ms (at most {WORST_MS:g})"
        yield Goal(text + (f"; over it: {', '.join(over)}" if over else ""), not over)


def _linear(rows: Sequence[Row], column: str) -> Goal:
    steeper = {
        row.attack: cpu / size
        for row, cpu, size in growths(rows, column)
        if cpu / size > LINEAR and row.figures[column].ms > NOISE_MS
    }
    worst = ", ".join(f"{attack} ({excess:.1f})" for attack, excess in steeper.items())
    text = f"{column}: linear, CPU grows at most {LINEAR:g} times as much as the size"
    return Goal(text + (f"; more: {worst}" if worst else ""), not steeper)


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _width(title: str) -> int:
    return max(len(title), 11) + 2


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return "-"
    if figure.outcome == "too long":
        return f">{figure.ms:.0f} !"
    mark = _MARKS.get(figure.outcome)
    return figure.outcome[:11] if mark is None else f"{figure.ms:.3f} {mark}"

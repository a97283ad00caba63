"""What the results of each benchmark come to: a chart or two, a sentence, a table, and its lines of the summary.

One module a benchmark, each with ``section(figures)``: what is written on the page and what ``make bench`` prints come
from here alone, and from nothing but the figures of a result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the summary: what was measured, ours, and what stands beside it."""

    what: str
    ours: str
    beside: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """An SVG, the end of its file's name (empty for the only one), and what it shows in a few words."""

    svg: str
    shows: str
    part: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What a page says of one result; ``table`` is Markdown's, its head first."""

    charts: Sequence[Chart]
    text: str
    table: Sequence[Sequence[str]]
    summary: Sequence[Line] = field(default=())


def table(rows: Sequence[Sequence[str]]) -> str:
    """Markdown of a table whose first row is its head."""
    head, *rest = ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
    return "\n".join([head, "|" + "---|" * len(rows[0]), *rest])

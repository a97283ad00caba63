"""Lays rows out for a terminal: as an aligned table if no word has to be broken, else each cell on a line of its
own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

_GAP: Final = 2
_LONGEST_WORD: Final = 64
"""Longest word that is never broken: no code, address or digest is longer."""


def table_of(headers: Sequence[str], rows: Sequence[Sequence[str]], *, width: int) -> RenderableType:
    """The rows for a terminal of ``width`` columns. Cells are printed as they are, and must not hold control
    characters."""
    widths = _widths(headers, rows, width)
    return _records(headers, rows) if widths is None else _table(headers, rows, widths)


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for header, width in zip(headers, widths, strict=True):
        table.add_column(header, overflow="fold", width=width)
    for row in rows:
        # Text keeps rich from reading [brackets] in names as markup.
        table.add_row(*map(Text, row))
    return table


def _records(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Group:
    """Each row as lines of a label and a value, with an empty line between rows."""
    found: list[RenderableType] = []
    for row in rows:
        lines = Table.grid(padding=(0, _GAP, 0, 0))
        lines.add_column(style="bold", no_wrap=True)
        lines.add_column(overflow="fold")
        for header, cell in zip(headers, row, strict=True):
            lines.add_row(header, Text(cell))
        found += [lines, Text()]
    return Group(*found[:-1])


def _widths(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """The width of each column: as wide as its content if there is room, else at least as wide as its longest word.
    None if there is no room for the longest words."""
    columns = [[header, *(row[number] for row in rows)] for number, header in enumerate(headers)]
    least = [max(map(_longest_word, column)) for column in columns]
    wanted = [max(each, *map(cell_len, column)) for each, column in zip(least, columns, strict=True)]
    # Room beyond the longest words, after the gaps between columns.
    room = width - _GAP * (len(columns) - 1) - sum(least)
    if room < 0:
        return None
    # The columns that lack least get their full width first.
    for number in sorted(range(len(columns)), key=lambda each: wanted[each] - least[each]):
        more = min(wanted[number] - least[number], room)
        least[number] += more
        room -= more
    return least


def _longest_word(text: str) -> int:
    return min(max(_lengths(text), default=0), _LONGEST_WORD)


def _lengths(text: str) -> Iterable[int]:
    return map(cell_len, text.split())

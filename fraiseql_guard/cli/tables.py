"""Rows for a terminal: an aligned table where no word has to be broken for it, else each row as lines of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

_GAP: Final = 2
_LONGEST_WORD: Final = 64
"""A longer run without a blank may be broken: no code, address or digest is one."""


def table_of(headers: Sequence[str], rows: Sequence[Sequence[str]], *, width: int) -> RenderableType:
    """The rows in so many columns of a terminal. Texts are printed as they are: they hold no control characters."""
    widths = _widths(headers, rows, width)
    return _records(headers, rows) if widths is None else _table(headers, rows, widths)


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for header, width in zip(headers, widths, strict=True):
        table.add_column(header, overflow="fold", width=width)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _records(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Group:
    """Each row as a label and a value a line, with an empty line after it."""
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
    """As wide as each column wants to be, or as it can be without a broken word; None if there is no room for that."""
    columns = [[header, *(row[number] for row in rows)] for number, header in enumerate(headers)]
    least = [max(map(_longest_word, column)) for column in columns]
    wanted = [max(each, *map(cell_len, column)) for each, column in zip(least, columns, strict=True)]
    room = width - _GAP * (len(columns) - 1) - sum(least)
    if room < 0:
        return None
    for number in sorted(range(len(columns)), key=lambda each: wanted[each] - least[each]):
        more = min(wanted[number] - least[number], room)
        least[number] += more
        room -= more
    return least


def _longest_word(text: str) -> int:
    return min(max(_lengths(text), default=0), _LONGEST_WORD)


def _lengths(text: str) -> Iterable[int]:
    return map(cell_len, text.split())

"""How answers are shown: aligned on a terminal, tab-separated in a pipe, JSON when asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fraiseql_guard.cli.durations import in_words
from fraiseql_guard.operator.shapes import plain

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(value: Any) -> None:
    """As JSON, with every non-ASCII character escaped: no terminal and no locale can spoil it."""
    print(json.dumps(plain(value), indent=2))


def on_terminal() -> bool:
    """Whether a person looks at the output."""
    return sys.stdout.isatty()


def printable(value: object) -> str:
    """One line without control characters: names come from outside, and may aim at the terminal or at the columns."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape", "surrogatepass").decode() for each in str(value)
    )


def grid(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """The rows as an aligned table."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in headers:
        table.add_column(header, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def print_rows(headers: Sequence[str], rows: Sequence[Sequence[object]], *, none: str) -> None:
    """Rows, aligned on a terminal and else one tab-separated line each; ``none`` is said on standard error if there
    are none, so that a pipe reads nothing."""
    if not rows:
        print(none, file=sys.stderr)
    elif on_terminal():
        Console().print(grid(headers, rows))
    else:
        for row in rows:
            print_line("\t".join(printable(cell) for cell in row))


def remaining(seconds: float | None) -> object:
    """A time that is left, in words for a person and as whole seconds for a pipe; None where nothing ends."""
    if seconds is None or not on_terminal():
        return None if seconds is None else round(seconds)
    return in_words(seconds)


def print_line(text: str) -> None:
    """A line in whatever encoding the output has: what it cannot show is escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))

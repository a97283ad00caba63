"""Prints the answers of commands: aligned on a terminal, tab-separated in a pipe, or as JSON.

All output goes through here, so that text from outside (names, addresses, reasons, log lines, entries of Redis, answers
of other servers) cannot control a terminal.
"""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, TextIO, TypeVar

import typer
from rich.console import Console, RenderableType

from fraiseql_guard.cli.durations import in_words
from fraiseql_guard.cli.tables import table_of
from fraiseql_guard.operations.operator.json_values import to_plain

T = TypeVar("T")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(value: Any) -> None:
    """Print a value as JSON, with every non-ASCII character escaped, so that the locale does not matter."""
    print(json.dumps(to_plain(value), indent=2))


def on_terminal() -> bool:
    """Whether the output goes to a terminal."""
    return sys.stdout.isatty()


def printable(value: object) -> str:
    """A value as one line without control characters; a dash for None and "". Names come from outside, and may try to
    confuse the terminal or the columns."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return harmless(str(value))


def harmless(text: str) -> str:
    """The text with unprintable characters written out (``\\u001b``): controls (C0, C1), marks that reverse or hide
    text, line separators, surrogates, and unassigned code points."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape", "surrogatepass").decode() for each in text
    )


def grid(headers: Sequence[str], rows: Iterable[Sequence[object]], *, width: int) -> RenderableType:
    """The rows as an aligned table, ``width`` columns wide; each cell on a line of its own if words would have to be
    broken."""
    return table_of(headers, [[printable(cell) for cell in row] for row in rows], width=width)


def print_rows(headers: Sequence[str], rows: Sequence[Sequence[object]], *, none: str) -> None:
    """Print rows: aligned on a terminal, else one tab-separated line each. If there are none, print ``none`` on
    standard error, so that a pipe reads nothing."""
    if not rows:
        warn(none)
    elif on_terminal():
        console = Console()
        console.print(grid(headers, rows, width=console.width))
    else:
        for row in rows:
            print_line("\t".join(printable(cell) for cell in row), columns=True)


def print_list(
    items: Sequence[T], headers: Sequence[str], row: Callable[[T], Sequence[object]], *, none: str, as_json: bool
) -> None:
    """Print items: as JSON, or a row for each (:func:`print_rows`)."""
    if as_json:
        print_json(items)
    else:
        print_rows(headers, list(map(row, items)), none=none)


def print_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Print labels with their values, one on a line."""
    for label, value in facts:
        print_line(f"{label:<12} {printable(value)}", hanging=13)


def remaining(seconds: float | None) -> object:
    """The time that is left: in words on a terminal, as whole seconds in a pipe; None for an entry that does not
    end."""
    if seconds is None or not on_terminal():
        return None if seconds is None else round(seconds)
    return in_words(seconds)


def print_text(text: str) -> None:
    """Print a text of several lines."""
    for line in text.split("\n"):
        print_line(line)


def print_line(text: str, *, hanging: int | None = None, columns: bool = False) -> None:
    """Print a line, made safe, in any encoding. On a terminal it is wrapped between words, and goes on below its own
    indentation, or below ``hanging`` blanks. ``columns`` keeps the tabs between cells."""
    safe = "\t".join(map(harmless, text.split("\t"))) if columns else harmless(text)
    _say(safe, sys.stdout, hanging)


def print_command(text: str) -> None:
    """Print a line that is meant to be copied, and so is never wrapped."""
    _write(harmless(text), sys.stdout)


def warn(text: str) -> None:
    """Print a line on standard error."""
    _say(harmless(text), sys.stderr, None)


def _say(text: str, stream: TextIO, hanging: int | None) -> None:
    width = shutil.get_terminal_size().columns
    # A pipe has no width: its lines are whole.
    if stream.isatty() and len(text) > width:
        indent = " " * (len(text) - len(text.lstrip(" ")) if hanging is None else hanging)
        # Addresses, hashes and commands are copied from the screen, and must not be cut.
        unbroken = {"break_long_words": False, "break_on_hyphens": False}
        text = textwrap.fill(text, width, subsequent_indent=indent, **unbroken)  # type: ignore[arg-type]
    _write(text, stream)


def _write(text: str, stream: TextIO) -> None:
    # Characters that the encoding lacks are written out, so that no locale makes the command fail.
    encoding = stream.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream)

"""How answers are shown: aligned on a terminal, tab-separated in a pipe, JSON when asked for.

Everything that a command says goes through here, and nothing that comes from outside (names, addresses, reasons, log
lines, what Redis or another server holds) reaches a terminal as more than text.
"""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console, RenderableType

from fraiseql_guard.cli.durations import in_words
from fraiseql_guard.cli.tables import table_of
from fraiseql_guard.operations.operator.json_values import to_plain

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(value: Any) -> None:
    """As JSON, with every non-ASCII character escaped: no terminal and no locale can spoil it."""
    print(json.dumps(to_plain(value), indent=2))


def on_terminal() -> bool:
    """Whether a person looks at the output."""
    return sys.stdout.isatty()


def printable(value: object) -> str:
    """One line without control characters: names come from outside, and may aim at the terminal or at the columns.
    What is not there is a dash."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return harmless(str(value))


def harmless(text: str) -> str:
    """The text with everything written out that is not printed as it is: controls (C0, C1), what reverses or hides
    text, separators of lines, surrogates, what Unicode has not assigned."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape", "surrogatepass").decode() for each in text
    )


def grid(headers: Sequence[str], rows: Iterable[Sequence[object]], *, width: int) -> RenderableType:
    """The rows as an aligned table of a terminal so wide, or one after the other where words would break."""
    return table_of(headers, [[printable(cell) for cell in row] for row in rows], width=width)


def print_rows(headers: Sequence[str], rows: Sequence[Sequence[object]], *, none: str) -> None:
    """Rows, aligned on a terminal and else one tab-separated line each; ``none`` is said on standard error if there
    are none, so that a pipe reads nothing."""
    if not rows:
        warn(none)
    elif on_terminal():
        console = Console()
        console.print(grid(headers, rows, width=console.width))
    else:
        for row in rows:
            print_line("\t".join(printable(cell) for cell in row), columns=True)


def print_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Labels with their values, one a line."""
    for label, value in facts:
        print_line(f"{label:<12} {printable(value)}", hanging=13)


def remaining(seconds: float | None) -> object:
    """A time that is left, in words for a person and as whole seconds for a pipe; None where nothing ends."""
    if seconds is None or not on_terminal():
        return None if seconds is None else round(seconds)
    return in_words(seconds)


def print_text(text: str) -> None:
    """Several lines."""
    for line in text.split("\n"):
        print_line(line)


def print_line(text: str, *, hanging: int | None = None, columns: bool = False) -> None:
    """A line, whatever stands in it and whatever encoding the output has. On a terminal it is wrapped between words,
    below its own indentation or ``hanging`` blanks. ``columns`` keeps tabs, between cells that are printable."""
    safe = "\t".join(map(harmless, text.split("\t"))) if columns else harmless(text)
    _say(safe, sys.stdout, hanging)


def print_command(text: str) -> None:
    """A line that is there to be copied: never wrapped."""
    _write(harmless(text), sys.stdout)


def warn(text: str) -> None:
    """A line on standard error."""
    _say(harmless(text), sys.stderr, None)


def _say(text: str, stream: TextIO, hanging: int | None) -> None:
    width = shutil.get_terminal_size().columns
    if stream.isatty() and len(text) > width:
        indent = " " * (len(text) - len(text.lstrip(" ")) if hanging is None else hanging)
        unbroken = {"break_long_words": False, "break_on_hyphens": False}
        text = textwrap.fill(text, width, subsequent_indent=indent, **unbroken)  # type: ignore[arg-type]
    _write(text, stream)


def _write(text: str, stream: TextIO) -> None:
    encoding = stream.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream)

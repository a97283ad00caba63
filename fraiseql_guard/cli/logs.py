"""``fraiseql-guard logs``: answers the runbooks' questions from the guard's log."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from fraiseql_guard.cli.errors import REFUSED, exit_on_error
from fraiseql_guard.cli.render import print_json, print_text
from fraiseql_guard.operations.log_analysis.log_line import LogFilter, moment
from fraiseql_guard.operations.log_analysis.reading import lines_of, opened, size_of
from fraiseql_guard.operations.log_analysis.report import as_json as report_as_json
from fraiseql_guard.operations.log_analysis.report import as_text as report_as_text
from fraiseql_guard.operations.log_analysis.summary import LogSummary


def logs(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Logs, also compressed; - is standard input.")],
    since: Annotated[str, typer.Option(help="From a moment on: an age (10m, 2h) or a date.")] = "",
    until: Annotated[str, typer.Option(help="Up to a moment.")] = "",
    event: Annotated[list[str] | None, typer.Option(help="Only this event; may be given again.")] = None,
    top: Annotated[int, typer.Option(min=1, max=1000, help="How many users, addresses, ...")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say who was refused, for what and when, and whether that is an attack or a misconfiguration.

    Lines may be wrapped as CRI, Docker (json-file), kubectl (--prefix, --timestamps) and docker compose do. Lines that
    are none of the guard's are counted and passed over. Ends with 1 if no line matches.
    """
    now = datetime.now(UTC)
    with exit_on_error():
        # An age is counted from one moment, whatever the reading takes.
        wanted = LogFilter(
            since=moment(since, now) if since else "",
            until=moment(until, now) if until else "",
            events=frozenset(event or ()),
        )
        summary = LogSummary()
        with _progress(sum(map(size_of, files))) as advance:
            for path in files:
                _read(path, summary, wanted, advance)
    print_json(report_as_json(summary, top=top)) if as_json else print_text(report_as_text(summary, top=top))
    if not summary.matching:
        raise typer.Exit(REFUSED)


def _read(path: Path, summary: LogSummary, wanted: LogFilter, advance: Callable[[int], None]) -> None:
    """Add the lines of a file to the summary. ValueError if it cannot be read to its end."""
    with opened(path) as (stream, position):
        seen = 0

        def advanced() -> None:
            nonlocal seen
            # By the bytes on the disk, which are fewer than those read if the file is compressed.
            now = position()
            advance(now - seen)
            seen = now

        try:
            summary.read(lines_of(stream, advanced), wanted)
        except (EOFError, OSError) as error:  # a compressed file that is still written to, or is none
            raise ValueError(f"{path}: {error}") from None


@contextmanager
def _progress(size: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error, if that is a terminal and the size is known. Yields a function that advances it
    by so many bytes."""
    # Standard input and compressed streams may have no known size.
    if not sys.stderr.isatty() or not size:
        yield lambda _: None
        return
    columns = (TextColumn("reading"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    # transient: the bar disappears, so that the report stands alone in the end.
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading", total=size)
        yield lambda count: progress.advance(task, count)

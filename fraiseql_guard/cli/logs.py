"""``fraiseql-guard logs``: answers the runbooks' questions from the guard's log."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from fraiseql_guard.cli.errors import REFUSED, exit_on_error
from fraiseql_guard.cli.log_files import read_logs
from fraiseql_guard.cli.render import print_json, print_text
from fraiseql_guard.operations.log_analysis.log_line import LogFilter, moment
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
        # Ages are counted from one moment, however long the reading takes.
        wanted = LogFilter(
            since=moment(since, now) if since else "",
            until=moment(until, now) if until else "",
            events=frozenset(event or ()),
        )
        summary = LogSummary()
        read_logs(files, lambda lines: summary.read(lines, wanted))
    print_json(report_as_json(summary, top=top)) if as_json else print_text(report_as_text(summary, top=top))
    if not summary.matching:
        raise typer.Exit(REFUSED)

"""``fraiseql-guard drill``: rehearses a runbook's incident on a real FraiseQL, from the attack to the recovery.

Drills need the FraiseQL example, Redis, PostgreSQL, Prometheus and Alertmanager: the repository has them, a wheel does
not.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from fraiseql_guard.cli.errors import exit_on_error
from fraiseql_guard.cli.render import JsonOption

REPOSITORY: Final = Path(__file__).resolve().parents[2]
_PYTHON: Final = (3, 13)


def drill(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="rate-limiting, authentication, query-dos, database, memory, overload; without one, all.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Rehearse a runbook on a real FraiseQL: attack, alert, the command that helps, verified recovery. Takes a minute.

    Ends with 0 if all went as the runbook says and ordinary users were served meanwhile, else 1.
    """
    with exit_on_error():
        if missing := _missing(REPOSITORY):
            raise ValueError(missing)
    command = [sys.executable, "-m", "examples.drills", *(names or ()), *(["--json"] if as_json else [])]
    # In a process of its own, which starts servers and ends them.
    running = subprocess.Popen(command, cwd=REPOSITORY)  # noqa: S603 - our own module
    # wait() is repeated until the drill has ended: its servers must not outlive the command.
    while True:
        try:
            raise typer.Exit(running.wait())
        except KeyboardInterrupt:  # the drill gets Ctrl-C as well, and ends what it started
            continue


def _missing(repository: Path) -> str:
    """A sentence that says what a drill lacks on this machine; "" if it can run."""
    if not (repository / "examples" / "drills" / "__main__.py").exists():
        return (
            "a drill starts the FraiseQL example with Redis, PostgreSQL, Prometheus and Alertmanager, which are not in "
            "the installed package: run `make drills` in a clone of the repository"
        )
    if sys.version_info[:2] != _PYTHON:
        return f"a drill runs FraiseQL 1.9, which is published for Python 3.13 alone; this is {sys.version.split()[0]}"
    return ""

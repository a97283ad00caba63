"""The command's root: version, help, and the list of commands."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from fraiseql_guard.cli.alerts import alerts, dashboard
from fraiseql_guard.cli.config import config
from fraiseql_guard.cli.documents import documents
from fraiseql_guard.cli.explain import explain
from fraiseql_guard.cli.logs import logs
from fraiseql_guard.cli.token import token

app = typer.Typer(
    help="Protections and operational signals for GraphQL on ASGI.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def main(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and end.", is_eager=True)] = False,
) -> None:
    """Protections and operational signals for GraphQL on ASGI."""
    if show_version:
        print(version("fraiseql-guard"))
        raise typer.Exit


for _command in (config, explain, token, alerts, dashboard, logs):
    app.command()(_command)
app.add_typer(documents, name="documents")

"""The command's root: version, help, and the list of commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Annotated, Final

import typer

from fraiseql_guard.cli.alerts import alerts, dashboard
from fraiseql_guard.cli.allow import allow
from fraiseql_guard.cli.api_key import api_key
from fraiseql_guard.cli.audit_documents import audit
from fraiseql_guard.cli.blocks import block, blocks, lift, unblock, unlock
from fraiseql_guard.cli.config import config
from fraiseql_guard.cli.database import kill, pool, queries
from fraiseql_guard.cli.demo import demo
from fraiseql_guard.cli.documents import documents
from fraiseql_guard.cli.drill import drill
from fraiseql_guard.cli.errors import EXIT_CODES
from fraiseql_guard.cli.explain import explain
from fraiseql_guard.cli.fleet import keys, status
from fraiseql_guard.cli.limits import limit
from fraiseql_guard.cli.logs import logs
from fraiseql_guard.cli.maintenance import actions, clear_caches, gc
from fraiseql_guard.cli.paths import paths
from fraiseql_guard.cli.refusals import why
from fraiseql_guard.cli.render import print_line
from fraiseql_guard.cli.rules import rules
from fraiseql_guard.cli.sockets import sockets
from fraiseql_guard.cli.switches import mode, set_variable
from fraiseql_guard.cli.token import token
from fraiseql_guard.cli.top import top
from fraiseql_guard.cli.tune import tune

app = typer.Typer(
    help="Protections and operational signals for GraphQL on ASGI.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=True,
    # typer's coloured traceback shows local variables, which may hold secrets.
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def main(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and end.", is_eager=True)] = False,
) -> None:
    """Protections and operational signals for GraphQL on ASGI."""
    if show_version:
        print_line(version("fraiseql-guard"))
        raise typer.Exit


_GROUPS: Final[Mapping[str, Sequence[Callable[..., None]]]] = {
    "See what is going on": (status, top, blocks, why, keys, actions, logs, queries, pool),
    "Act on all workers, within a second": (block, unblock, lift, unlock, mode, set_variable, kill, gc, clear_caches),
    "Look at the configuration": (config, paths, explain, audit, tune, token, api_key, demo),
    "Watch and rehearse": (alerts, dashboard, drill),
}
# A function called set would hide Python's own.
_NAMES: Final[Mapping[Callable[..., None], str]] = {set_variable: "set"}

for _panel, _commands in _GROUPS.items():
    for _command in _commands:
        app.command(_NAMES.get(_command), rich_help_panel=_panel)(_command)
app.add_typer(sockets, name="sockets", rich_help_panel="See what is going on")
app.add_typer(limit, name="limit", rich_help_panel="Act on all workers, within a second")
app.add_typer(allow, name="allow", rich_help_panel="Act on all workers, within a second")
app.add_typer(rules, name="rules", rich_help_panel="Look at the configuration")
app.add_typer(documents, name="documents", rich_help_panel="Look at the configuration")

"""``sockets``: lists the live connections of all workers (WebSockets and streams), and ends them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated

import typer

from fraiseql_guard.cli.connect import AsOption, UrlOption, ask
from fraiseql_guard.cli.durations import in_words
from fraiseql_guard.cli.errors import exit_on_error
from fraiseql_guard.cli.output import print_done
from fraiseql_guard.cli.render import JsonOption, on_terminal, print_json, print_line, print_rows, remaining
from fraiseql_guard.cli.targets import UserOption, address_of, command_line
from fraiseql_guard.core.live_facts import LiveFacts, LiveOperation
from fraiseql_guard.operations.operator.closing_order import CLOSING_CODE
from fraiseql_guard.operations.operator.interface import Sockets
from fraiseql_guard.operations.operator.routes import WHERE

WhereOption = Annotated[str | None, typer.Option("--address", metavar="ADDRESS", help=WHERE.doc, show_default=False)]

sockets = typer.Typer(
    help="What is open on all workers: WebSockets and streams. Without a command they are listed.",
    invoke_without_command=True,
)


@sockets.callback()
def list_sockets(
    context: typer.Context,
    user: UserOption = None,
    address: WhereOption = None,
    count: Annotated[int, typer.Option("--last", min=1, max=1000, help="How many to list.")] = 100,
    by_caller: Annotated[
        bool, typer.Option("--by-caller", help="Who has the most open: five callers of each worker.")
    ] = False,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what is open: the 20 largest connections of each worker, as they were a few seconds ago."""
    if context.invoked_subcommand is not None:
        return
    with exit_on_error():
        where = None if address is None else address_of(address)
        found = ask(url, lambda fleet: fleet.operator.sockets(count, user_id=user, ip_address=where))
    if as_json:
        print_json(found.holders if by_caller else found)
        return
    if on_terminal():
        print_line(_summary(found))
    if by_caller:
        rows = [(each.user_id, each.ip_address, each.open) for each in found.holders[:count]]
        print_rows(("user", "address", "open"), rows, none="Nothing of it is open.")
        return
    headers = ("worker", "id", "protocol", "who", "age", "operations", "messages/s", "waiting", "token ends in")
    print_rows(headers, [_row(each) for each in found.items], none="Nothing of it is open.")


def _summary(found: Sockets) -> str:
    """A line: how many connections are open, were opened in the last minute, and were closed in five minutes."""
    counts = ", ".join(f"{count:,} {name}" for name, count in found.open.items()) or "nothing"
    closed = ", ".join(f"{count:,} {reason}" for reason, count in found.closed.items()) or "none"
    return f"open: {counts}; opened in the last minute: {found.opened_last_minute:,}; closed in five: {closed}"


def _row(each: LiveFacts) -> Sequence[object]:
    who = each.ip_address if each.user_id == "anonymous" else f"{each.user_id} at {each.ip_address}"
    left = None if each.token_ends_at is None else max(0.0, each.token_ends_at - time.time())
    return (
        each.worker,
        each.id,
        each.protocol,
        who,
        remaining(each.age_seconds),
        _operations(each),
        f"{each.messages / max(1.0, each.age_seconds):.1f}",
        each.waiting_bytes,
        remaining(left),
    )


def _operations(each: LiveFacts) -> str:
    """The open operations of a connection: some by name, and the number of further ones."""
    further = each.operations_open - len(each.operations)
    named = [_operation(operation) for operation in each.operations]
    return ", ".join([*named, f"{further} more"] if further > 0 else named)


def _operation(operation: LiveOperation) -> str:
    name = operation.name or operation.query_hash[:12] or "?"
    return f"{name} ({in_words(operation.age_seconds)}, {operation.events} events)"


@sockets.command("close")
def close_sockets(
    connection_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The connection's id.", show_default=False)
    ] = None,
    user: UserOption = None,
    address: WhereOption = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them, on all workers.")] = False,
    code: Annotated[
        int, typer.Option(min=4000, max=4999, help="What WebSockets are closed with: after 4503 clients come back.")
    ] = CLOSING_CODE,
    acting_as: AsOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a connection, or those of a user, an address or network, or all. Clients may come back: block them instead
    to keep them out."""
    with exit_on_error():
        if len([each for each in (connection_id, user, address, everything or None) if each is not None]) != 1:
            example = command_line("sockets", "close", "--all")
            raise ValueError(f"which? Give an ID, --user, --address or --all: {example}")
        where = None if address is None else address_of(address)
        done = ask(
            url,
            lambda fleet: fleet.operator.close_sockets(
                connection_id=connection_id,
                user_id=user,
                ip_address=where,
                everything=everything,
                code=code,
                actor=fleet.actor,
            ),
            acting_as=acting_as,
        )
    print_done(done, as_json=as_json)


@sockets.command("drain")
def drain_sockets(
    worker: Annotated[
        str | None,
        typer.Argument(metavar="[WORKER]", help="The worker's id; all workers without one.", show_default=False),
    ] = None,
    acting_as: AsOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """End all that is open on a worker, spread over half a minute: before it is replaced, for one."""
    with exit_on_error():
        done = ask(
            url,
            lambda fleet: fleet.operator.drain_sockets(worker=worker, actor=fleet.actor),
            acting_as=acting_as,
        )
    print_done(done, as_json=as_json)

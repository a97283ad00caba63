"""``fraiseql-guard allow add|remove|list``: addresses that are not counted and never blocked automatically."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import typer

from fraiseql_guard.cli.connect import AsOption, UrlOption, ask
from fraiseql_guard.cli.errors import exit_on_error
from fraiseql_guard.cli.output import ForOption, ReasonOption, print_done, seconds_of
from fraiseql_guard.cli.render import JsonOption, print_list, remaining
from fraiseql_guard.cli.targets import address_of, command_line
from fraiseql_guard.operations.operator.interface import Allowed
from fraiseql_guard.operations.operator.routes import WHERE

allow = typer.Typer(help="Addresses that are not counted and never blocked automatically.", no_args_is_help=True)
_HEADERS: Final = ("address", "source", "ends in", "reason", "by")
_AddressArgument = Annotated[str, typer.Argument(metavar="ADDRESS", help=WHERE.doc)]


@allow.command("add")
def add(
    address: _AddressArgument,
    lasts: ForOption = "365d",
    reason: ReasonOption = "",
    acting_as: AsOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Do not count an address or a network, and never block it automatically."""
    with exit_on_error():
        seconds = seconds_of(lasts)
        address = address_of(address)
        done = ask(
            url,
            lambda fleet: fleet.operator.allow(address, reason=reason, duration_seconds=seconds, actor=fleet.actor),
            acting_as=acting_as,
        )
        # The command that ends it is printed with the same --url, ready to be copied.
        undo = command_line("allow", "remove", address, url=url)
        lifted = f", which lifted {done.affected} automatic sanctions," if done.affected else ""
        print_done(done, f"allowed {address}{lifted}", as_json=as_json, lasts_seconds=seconds, undo=undo)


@allow.command("remove")
def remove(
    address: _AddressArgument, acting_as: AsOption = None, url: UrlOption = None, as_json: JsonOption = False
) -> None:
    """Take an operator's entry off the allow-list."""
    with exit_on_error():
        address = address_of(address)
        done = ask(url, lambda fleet: fleet.operator.disallow(address, actor=fleet.actor), acting_as=acting_as)
        print_done(done, as_json=as_json)


@allow.command("list")
def list_allowed(url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List the whole allow-list: from the settings, the file and operators."""
    with exit_on_error():
        found = ask(url, lambda fleet: fleet.operator.allowed())
    print_list(found, _HEADERS, _row, none="The allow-list is empty.", as_json=as_json)


def _row(each: Allowed) -> Sequence[object]:
    return each.ip_address, each.source, remaining(each.expires_in_seconds), each.reason, each.actor

"""``fraiseql-guard limit set|clear|list``: gives one user, address or key another limit for a while."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from fraiseql_guard.cli.connect import AsOption, UrlOption, ask
from fraiseql_guard.cli.errors import exit_on_error
from fraiseql_guard.cli.output import HOUR, ForOption, print_done, seconds_of
from fraiseql_guard.cli.paging import SHOWN, LimitOption, pages, warn_of_more
from fraiseql_guard.cli.render import JsonOption, print_list, remaining
from fraiseql_guard.cli.targets import (
    AddressArgument,
    IssuerOption,
    KeyOption,
    TenantOption,
    UserOption,
    command_line,
    named,
    target_of,
    words_of,
)
from fraiseql_guard.core import parsing
from fraiseql_guard.operations.operator.interface import LimitOverride

limit = typer.Typer(help="Another limit for one user, address or key, for a while.", no_args_is_help=True)


@limit.command("set")
def set_limit(
    rate: Annotated[str, typer.Argument(metavar="LIMIT", help="As 500/minute, 10/30s, or 500/minute+5000/day.")],
    address: AddressArgument = None,
    user: UserOption = None,
    issuer: IssuerOption = None,
    tenant: TenantOption = None,
    key: KeyOption = None,
    lasts: ForOption = HOUR,
    acting_as: AsOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Raise or lower one user's, address's or key's limit for a while: it replaces all their other rates."""
    with exit_on_error():
        seconds = seconds_of(lasts)
        # Read here as well, so that a typing error is answered without asking the fleet.
        try:
            rate = str(parsing.rate(rate))
        except ValueError as error:
            raise ValueError(f"LIMIT {rate[:40]!r} {error}. Accepted: for example 500/minute") from None
        target = target_of(address, user, issuer, tenant, key=key, command="limit set 500/minute")
        done = ask(
            url,
            lambda fleet: fleet.operator.set_limit(target, rate, duration_seconds=seconds, actor=fleet.actor),
            acting_as=acting_as,
        )
        undo = command_line("limit", "clear", *words_of(target), url=url)
        print_done(done, f"limited {named(target)} to {rate}", as_json=as_json, lasts_seconds=seconds, undo=undo)


@limit.command("clear")
def clear_limit(
    address: AddressArgument = None,
    user: UserOption = None,
    issuer: IssuerOption = None,
    tenant: TenantOption = None,
    key: KeyOption = None,
    acting_as: AsOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """End one user's, address's or key's own limit: the configured ones hold again."""
    with exit_on_error():
        target = target_of(address, user, issuer, tenant, key=key, command="limit clear")
        done = ask(url, lambda fleet: fleet.operator.clear_limit(target, actor=fleet.actor), acting_as=acting_as)
        print_done(done, as_json=as_json)


@limit.command("list")
def list_limits(
    most: LimitOption = SHOWN,
    everything: Annotated[bool, typer.Option("--all", help="All of them, however many.")] = False,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the limits that operators have set."""
    with exit_on_error():
        found = ask(url, lambda fleet: pages(fleet.operator.limits_page, None if everything else most))
    warn_of_more(found)
    headers = ("who", "limit", "burst", "ends in", "by")
    print_list(found.items, headers, _row, none="Nobody has a limit of their own.", as_json=as_json)


def _row(each: LimitOverride) -> Sequence[object]:
    return named(each.target), each.limit, each.burst, remaining(each.expires_in_seconds), each.actor

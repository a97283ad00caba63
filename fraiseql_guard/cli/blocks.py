"""``block``, ``unblock``, ``lift``, ``unlock`` and ``blocks``: who is refused altogether."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from fraiseql_guard.cli.connect import AsOption, FleetConnection, UrlOption, ask
from fraiseql_guard.cli.errors import exit_on_error
from fraiseql_guard.cli.output import HOUR, ForceOption, ForOption, ReasonOption, print_done, seconds_of
from fraiseql_guard.cli.paging import SHOWN, LimitOption, lift_all, pages, warn_of_more
from fraiseql_guard.cli.render import JsonOption, print_json, print_list, remaining
from fraiseql_guard.cli.targets import (
    AddressArgument,
    IssuerOption,
    TenantOption,
    UserOption,
    command_line,
    named,
    option,
    target_of,
    words_of,
)
from fraiseql_guard.operations.operator.interface import Block, Done, Origin
from fraiseql_guard.operations.operator.shared_values import Target

DocumentOption = Annotated[str | None, typer.Option("--document", metavar="SHA256", help="A document, by its hash.")]
OperationOption = Annotated[str | None, typer.Option("--operation", metavar="NAME", help="Operations of this name.")]


def block(
    address: AddressArgument = None,
    user: UserOption = None,
    issuer: IssuerOption = None,
    tenant: TenantOption = None,
    document: DocumentOption = None,
    operation: OperationOption = None,
    lasts: ForOption = HOUR,
    reason: ReasonOption = "",
    force: ForceOption = False,
    acting_as: AsOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Refuse everything from an address, a network or a user for a while; or a document, or operations of a name."""
    with exit_on_error():
        seconds = seconds_of(lasts)
        # A document or an operation is blocked by a switch of the fleet; callers are blocked by a sanction.
        if (switch := _switch_of(document, operation, beside=(address, user))) is not None:
            kind, name = switch
            undo = command_line("unblock", *option(f"--{kind}", name), url=url)
            done = ask(
                url,
                lambda fleet: fleet.operator.switch(
                    kind, name, duration_seconds=seconds, reason=reason, actor=fleet.actor
                ),
                acting_as=acting_as,
            )
            print_done(done, f"blocked {kind} {name}", as_json=as_json, lasts_seconds=seconds, undo=undo)
            return
        target = target_of(address, user, issuer, tenant, command="block")
        done = ask(
            url,
            lambda fleet: fleet.operator.block(
                target, duration_seconds=seconds, reason=reason, force=force, actor=fleet.actor, caller=fleet.caller
            ),
            acting_as=acting_as,
        )
        undo = command_line("unblock", *words_of(target), url=url)
        print_done(done, f"blocked {named(target)}", as_json=as_json, lasts_seconds=seconds, undo=undo)


def unblock(
    address: AddressArgument = None,
    user: UserOption = None,
    issuer: IssuerOption = None,
    tenant: TenantOption = None,
    document: DocumentOption = None,
    operation: OperationOption = None,
    acting_as: AsOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """End every block of an address, a network or a user, automatic ones too; or of a document or an operation."""
    with exit_on_error():
        if (switch := _switch_of(document, operation, beside=(address, user))) is not None:
            kind, name = switch
            done = ask(url, lambda fleet: fleet.operator.unswitch(kind, name, actor=fleet.actor), acting_as=acting_as)
            print_done(done, as_json=as_json)
            return
        target = target_of(address, user, issuer, tenant, command="unblock")
        done = ask(url, lambda fleet: fleet.operator.lift(target, actor=fleet.actor), acting_as=acting_as)
        print_done(done, as_json=as_json)


def lift(
    addresses: Annotated[
        list[str] | None, typer.Argument(metavar="[ADDRESS]...", help="Addresses or networks.", show_default=False)
    ] = None,
    users: Annotated[
        list[str] | None, typer.Option("--user", metavar="ID", help="A verified user; repeatable.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All sanctions of an origin.")] = False,
    origin: Annotated[
        str | None,
        typer.Option(
            help="With --all: automatic (default), operator or any.",
            autocompletion=lambda: ["automatic", "operator", "any"],
            show_default=False,
        ),
    ] = None,
    acting_as: AsOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """End sanctions: those of the addresses and users that are named, or all of an origin."""
    with exit_on_error():
        targets = _targets_of(addresses or (), users or ())
        _check_whose(targets, origin, everything=everything)
        if everything:
            chosen = _origin(origin or Origin.AUTOMATIC.value)
            print_done(ask(url, lambda fleet: lift_all(fleet, chosen), acting_as=acting_as), as_json=as_json)
            return
        each_done = ask(url, lambda fleet: _lift_each(fleet, targets), acting_as=acting_as)
        if as_json:
            print_json(each_done)
            return
        for done in each_done:
            print_done(done)


def unlock(
    identifier: Annotated[str, typer.Argument(metavar="LOGIN", help="The login identifier that is locked out.")],
    address: Annotated[str | None, typer.Option("--at", metavar="ADDRESS", help="At this address alone.")] = None,
    acting_as: AsOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """End the lockouts of a login: at one address, or everywhere."""
    with exit_on_error():
        done = ask(
            url,
            lambda fleet: fleet.operator.unlock(identifier, ip_address=address, actor=fleet.actor),
            acting_as=acting_as,
        )
        print_done(done, as_json=as_json)


def blocks(
    most: LimitOption = SHOWN,
    everything: Annotated[bool, typer.Option("--all", help="All of them, however many.")] = False,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List sanctions in force, the longest first: who, whose doing, until when, why."""
    with exit_on_error():
        found = ask(url, lambda fleet: pages(fleet.operator.blocks_page, None if everything else most))
    headers = ("who", "origin", "policy", "ends in", "reason", "by")
    print_list(found.items, headers, _row, none="Nobody is blocked.", as_json=as_json)
    # On standard error, after the list, so that a pipe reads the rows alone.
    warn_of_more(found)


def _targets_of(addresses: Sequence[str], users: Sequence[str]) -> list[Target]:
    """The targets of the arguments, addresses first. ValueError for a text that is no address or network."""
    return [*(target_of(each, None, command="lift") for each in addresses), *(Target(user_id=each) for each in users)]


def _check_whose(targets: Sequence[Target], origin: str | None, *, everything: bool) -> None:
    """ValueError unless the arguments name either targets or --all, and --origin only with --all."""
    # Either targets or --all.
    if everything == bool(targets):
        raise ValueError(f"whose? Name addresses and users, or say --all: {command_line('lift', '--all')}")
    if origin is not None and not everything:
        raise ValueError(f"--origin goes with --all: {command_line('lift', '--all', '--origin', origin)}")


def _row(each: Block) -> Sequence[object]:
    left = remaining(each.expires_in_seconds)
    return named(each.target), each.origin.value, each.policy, left, each.reason, each.actor


async def _lift_each(fleet: FleetConnection, targets: Sequence[Target]) -> list[Done]:
    return [await fleet.operator.lift(target, actor=fleet.actor) for target in targets]


def _switch_of(document: str | None, operation: str | None, *, beside: Sequence[str | None]) -> tuple[str, str] | None:
    """The kind and the name of the override that blocks a document or an operation; None if neither is given.
    ValueError if more than one argument is given, those in ``beside`` included."""
    given = [(kind, name) for kind, name in (("document", document), ("operation", operation)) if name is not None]
    # One thing at a time, so that the command that undoes it names one thing as well.
    if len(given) + sum(each is not None for each in beside) > 1:
        raise ValueError("one thing at a time: an address, --user, --document or --operation")
    return given[0] if given else None


def _origin(word: str) -> Origin | None:
    """The value of --origin; None for any. ValueError for anything else."""
    if word == "any":
        return None
    try:
        return Origin(word)
    except ValueError:
        raise ValueError(f"--origin {word!r} is none. Accepted: automatic, operator or any") from None

"""Reads the target of a command: an address or network as an argument, or a user by --user."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from fraiseql_guard.core import parsing
from fraiseql_guard.core.limit_key import read_key
from fraiseql_guard.operations.operator.routes import ISSUER, KEY, USER, WHERE
from fraiseql_guard.operations.operator.shared_values import Target

PROGRAM: Final = "fraiseql-guard"

AddressArgument = Annotated[str | None, typer.Argument(metavar="[ADDRESS]", help=WHERE.doc, show_default=False)]
UserOption = Annotated[str | None, typer.Option("--user", metavar="ID", help=USER.doc)]
IssuerOption = Annotated[str | None, typer.Option("--issuer", help=ISSUER.doc)]
KeyOption = Annotated[str | None, typer.Option("--key", metavar="KEY", help=KEY.doc)]
TenantOption = Annotated[str | None, typer.Option("--tenant", help="The user's tenant, where tokens carry one.")]


def target_of(
    address: str | None,
    user: str | None,
    issuer: str | None = None,
    tenant: str | None = None,
    *,
    key: str | None = None,
    command: str,
) -> Target:
    """The target of a command. ValueError, with an example, unless exactly one of address, user and key is given."""
    if key is not None:
        if address is not None or user is not None or issuer or tenant:
            raise ValueError(f"--key stands alone: {PROGRAM} {command} --key tenant:acme")
        return Target(key=_read_key(key))
    if (address is None) == (user is None):
        raise ValueError(f"whom? Give an address or --user ID: {PROGRAM} {command} 203.0.113.9")
    if address is not None and (issuer or tenant):
        raise ValueError(f"--issuer and --tenant belong to a user: {PROGRAM} {command} --user ID --issuer URL")
    if user is not None:
        return Target(user_id=user, issuer=issuer, tenant=tenant)
    try:
        return Target(ip_address=address_of(str(address)))
    except ValueError as error:
        # The usual mistake is a user's id in the place of the address.
        meant = command_line(*command.split(), *option("--user", str(address)))
        raise ValueError(f"{error}. For a user: {meant}") from None


def _read_key(text: str) -> str:
    """A key with its secret parts replaced by digests, so that these alone go over the network. ValueError for a text
    that is no key."""
    try:
        return read_key(text)
    except ValueError as error:
        raise ValueError(f"{text[:20]!r} {error}") from None


def address_of(text: str) -> str:
    """``text`` itself if it is an address or a network; else ValueError."""
    try:
        parsing.network(text)
    except ValueError:
        raise ValueError(f"{text[:80]!r} is neither an address nor a network") from None
    # The text itself is passed on: the fleet shows it as the operator wrote it.
    return text


def words_of(target: Target) -> list[str]:
    """The arguments by which a command line names this target."""
    if target.key is not None:
        return option("--key", target.key)
    if target.user_id is None:
        return [str(target.ip_address)]
    further = (("--issuer", target.issuer), ("--tenant", target.tenant))
    return [
        *option("--user", target.user_id),
        *(word for name, value in further if value for word in option(name, value)),
    ]


def named(target: Target) -> str:
    """The target for people: ``user ada``, ``203.0.113.9``, ``login ada@example.org at 203.0.113.9``."""
    if target.identifier is not None:
        return f"login {target.identifier}" + (f" at {target.ip_address}" if target.ip_address else "")
    if target.key is not None:
        return f"key {target.key}"
    if target.user_id is None:
        return str(target.ip_address)
    of = ", ".join(filter(None, (target.tenant, target.issuer)))
    return f"user {target.user_id}" + (f" ({of})" if of else "")


def option(name: str, value: str) -> list[str]:
    """An option with its value, written so that a value that begins with a dash is not read as an option."""
    return [f"{name}={value}"] if value.startswith("-") else [name, value]


def command_line(*words: str, url: str | None = None) -> str:
    """A whole fraiseql-guard command, quoted for the shell."""
    through: Sequence[str] = () if url is None else ("--url", url)
    return shlex.join((PROGRAM, *words, *through))

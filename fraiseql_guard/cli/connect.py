"""Connects a command to the fleet: through the Redis that the workers share, or through a worker's HTTP API."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Final, TypeVar

import httpx
import typer

from fraiseql_guard.cli.audit import CommandAudit
from fraiseql_guard.cli.render import warn
from fraiseql_guard.core.settings import Settings, name_of
from fraiseql_guard.operations.operator.interface import NotAppliedError, Operator
from fraiseql_guard.operations.operator.remote import RemoteOperator
from fraiseql_guard.operations.operator.store_operator import StoreOperator
from fraiseql_guard.stores import open_redis

Answer = TypeVar("Answer")

UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help=f"Through the HTTP API there, with the token in {name_of('admin_token')}; "
        f"else on the Redis in {name_of('redis_url')}.",
        show_default=False,
    ),
]
AsOption = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="NAME",
        help=f"Who acts, for the audit; else {name_of('actor')}, else the user of the system. With --url the token's "
        "name acts.",
        show_default=False,
    ),
]
STORE_SECONDS: Final = 5.0
"""Longest wait for Redis: a person can wait longer than a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetConnection:
    """A connection to the fleet, and the actor that uses it."""

    operator: Operator
    actor: str
    caller: str | None = None
    """The address from which the operator is logged in (SSH); None if not known."""


def ask(
    url: str | None, action: Callable[[FleetConnection], Awaitable[Answer]], *, acting_as: str | None = None
) -> Answer:
    """Connect to the fleet, run ``action`` with the connection, and return its result. OperatorError, SettingsError or
    ValueError if connecting or the action fails."""

    async def go() -> Answer:
        async with connect(url, acting_as=acting_as) as fleet:
            return await action(fleet)

    # One event loop for a command: what it opened is closed with it.
    return asyncio.run(go())


@asynccontextmanager
async def connect(url: str | None, *, acting_as: str | None = None) -> AsyncIterator[FleetConnection]:
    """A connection to the fleet: through the API at ``url``, or through the Redis of the environment."""
    settings = Settings.load()
    if url is not None:
        if acting_as is not None:
            raise ValueError("--as goes without --url: through a worker, the name of the token is who acts")
        remote = _remote(url, settings)
        try:
            # Through a worker the actor is the token's name, which only the worker knows.
            yield FleetConnection(operator=remote, actor="")
        finally:
            await remote.aclose()
        return
    if settings.redis_url is None:
        raise ValueError(
            f"which workers? Set {name_of('redis_url')} to the Redis that they share, or go through one of them: "
            "--url https://HOST/admin"
        )
    store = open_redis(settings.redis_url, settings, timeout_seconds=STORE_SECONDS)
    try:
        operator = StoreOperator(store, settings, audit=CommandAudit(settings))
        yield FleetConnection(operator=operator, actor=acting(settings, acting_as), caller=caller())
    # The store's error does not say which variable to look at.
    except NotAppliedError as error:
        raise NotAppliedError(
            f"{error}. Is the Redis in {name_of('redis_url')} right, and can it be reached from here? "
            "Through a worker: --url https://HOST/admin"
        ) from error
    finally:
        await store.aclose()


def acting(settings: Settings, acting_as: str | None = None) -> str:
    """The actor's name for the audit: from the command (--as), else from the environment, else the system user.
    SettingsError for a name that a log line cannot show."""
    # --as passes the same checks as the variable.
    named = settings.override(actor=acting_as).actor if acting_as is not None else settings.actor
    return named or actor()


def actor() -> str:
    """The name of this machine's user, behind sudo the name of the user who called it."""
    # Windows has no user ids.
    number = os.getuid() if hasattr(os, "getuid") else -1
    # Only root can have come here by sudo: for any other user the variable may be forged.
    if number == 0 and (before := os.environ.get("SUDO_USER")):
        return before
    return _name_of_user(number) or os.environ.get("USERNAME") or f"uid {number}"


def _name_of_user(number: int) -> str | None:
    try:
        import pwd

        return pwd.getpwuid(number).pw_name
    except (ImportError, KeyError):  # Windows; a container's user without a name
        return None


def caller() -> str | None:
    """The address of the SSH client; None without SSH. An operator who blocks it is locked out."""
    # An IPv6 address may have a zone.
    first = os.environ.get("SSH_CONNECTION", "").partition(" ")[0].partition("%")[0]
    try:
        return str(ip_address(first))
    except ValueError:
        return None


def _remote(url: str, settings: Settings) -> RemoteOperator:
    if settings.admin_token is None:
        raise ValueError(
            f"--url needs a token: set {name_of('admin_token')} to one of those in {name_of('admin_tokens')} there"
        )
    remote = RemoteOperator(url, token=settings.admin_token)
    if _in_the_clear(httpx.URL(url)):
        warn(f"warning: {url} is not encrypted: the token can be read on its way")
    return remote


def _in_the_clear(url: httpx.URL) -> bool:
    """Whether a token sent to ``url`` can be read on the way: over plain HTTP to another machine."""
    if url.scheme == "https" or url.host == "localhost":
        return False
    try:
        return not ip_address(url.host).is_loopback
    except ValueError:
        return True

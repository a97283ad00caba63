"""Lists that are too long to be shown whole, and actions that take so long that they report their progress."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, Protocol, TypeVar

import typer

from fraiseql_guard.cli.connect import FleetConnection
from fraiseql_guard.cli.render import warn
from fraiseql_guard.operations.operator.interface import Done, Origin

V = TypeVar("V", covariant=True)

SHOWN: Final = 1_000
_PAGE: Final = 1_000
# Pause between two reports of an action that takes long.
_WAIT_SECONDS: Final = 2.0

LimitOption = Annotated[int, typer.Option("--limit", min=1, max=1_000_000, help="How many at most.")]


class ShownPage(Protocol[V]):
    """A page of one of the operator's lists."""

    @property
    def items(self) -> Sequence[V]:
        """The items of this page."""
        ...

    @property
    def next_cursor(self) -> str | None:
        """The cursor of the next page; None on the last one."""
        ...

    @property
    def total(self) -> int:
        """The number of items of all pages together, estimated."""
        ...


@dataclass(frozen=True, slots=True)
class ShownList(Generic[V]):
    """The items of some pages, and an estimate of how many more the list has; 0 if ``items`` is the whole list."""

    items: Sequence[V]
    more: int


async def pages(read: Callable[[int, str], Awaitable[ShownPage[V]]], most: int | None) -> ShownList[V]:
    """The first ``most`` items of a list, read page by page; None for all items."""
    found: list[Any] = []
    cursor: str | None = ""
    total = 0
    while cursor is not None and (most is None or len(found) < most):
        # The last page asks for no more than is still wanted.
        page = await read(_PAGE if most is None else min(_PAGE, most - len(found)), cursor)
        found += page.items
        cursor, total = page.next_cursor, page.total
    # The total is an estimate that may already be passed; there is at least one more.
    return ShownList(found, 0 if cursor is None else max(1, total - len(found)))


def warn_of_more(found: ShownList[Any]) -> None:
    """Print on standard error how many items are not shown, if there are any."""
    if found.more:
        warn(f"{found.more:,} more: --limit {len(found.items) + found.more}, or --all")


async def lift_all(fleet: FleetConnection, origin: Origin | None) -> Done:
    """Lift all sanctions of an origin (None: of any), and wait for the end. Progress is printed on standard error."""
    done = await fleet.operator.lift_all(origin=origin, actor=fleet.actor, wait_seconds=_WAIT_SECONDS)
    while done.details.get("running"):
        warn(done.message)
        await asyncio.sleep(_WAIT_SECONDS)
        found = await fleet.operator.lifting(origin=origin)
        if found.state == "stopped":  # its worker has ended: another one goes on
            warn(found.message)
            done = await fleet.operator.lift_all(origin=origin, actor=fleet.actor, wait_seconds=_WAIT_SECONDS)
        else:
            running = {"running": True} if found.state == "running" else {}
            done = Done(message=found.message, changed=found.lifted > 0, affected=found.lifted, details=running)
    return done

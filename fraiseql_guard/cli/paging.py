"""Lists too long to be shown whole, and what takes so long that it says how far it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, Protocol, TypeVar

import typer

from fraiseql_guard.cli.connect import Reached
from fraiseql_guard.cli.render import warn
from fraiseql_guard.operations.operator.interface import Done, Origin

V = TypeVar("V", covariant=True)

SHOWN: Final = 1_000
_PAGE: Final = 1_000
_WAIT_SECONDS: Final = 2.0

LimitOption = Annotated[int, typer.Option("--limit", min=1, max=1_000_000, help="How many at most.")]


class ShownPage(Protocol[V]):
    """A page of an operator's list."""

    @property
    def items(self) -> Sequence[V]:
        """What is on it."""
        ...

    @property
    def next_cursor(self) -> str | None:
        """What gives the next page."""
        ...

    @property
    def total(self) -> int:
        """Of all pages together, about."""
        ...


@dataclass(frozen=True, slots=True)
class ShownList(Generic[V]):
    """The items of some pages, and how many more there are, about."""

    items: Sequence[V]
    more: int


async def pages(read: Callable[[int, str], Awaitable[ShownPage[V]]], most: int | None) -> ShownList[V]:
    """At most so many items of a list, or all."""
    found: list[Any] = []
    cursor: str | None = ""
    total = 0
    while cursor is not None and (most is None or len(found) < most):
        page = await read(_PAGE if most is None else min(_PAGE, most - len(found)), cursor)
        found += page.items
        cursor, total = page.next_cursor, page.total
    return ShownList(found, 0 if cursor is None else max(1, total - len(found)))


def say_more(found: ShownList[Any]) -> None:
    """Say on standard error that not all is shown."""
    if found.more:
        warn(f"{found.more:,} more: --limit {len(found.items) + found.more}, or --all")


async def lifted(to: Reached, origin: Origin | None) -> Done:
    """Lift all sanctions of an origin; what takes long says on standard error how far it is until it is over."""
    done = await to.operator.lift_all(origin=origin, actor=to.actor, wait_seconds=_WAIT_SECONDS)
    while done.details.get("running"):
        warn(done.message)
        await asyncio.sleep(_WAIT_SECONDS)
        found = await to.operator.lifting(origin=origin)
        if found.state == "stopped":  # its worker has ended: another one goes on
            warn(found.message)
            done = await to.operator.lift_all(origin=origin, actor=to.actor, wait_seconds=_WAIT_SECONDS)
        else:
            running = {"running": True} if found.state == "running" else {}
            done = Done(message=found.message, changed=found.lifted > 0, affected=found.lifted, details=running)
    return done

"""What the app can ask about the request that it works on."""

from __future__ import annotations

import time
from collections.abc import Callable, MutableMapping
from contextvars import ContextVar
from typing import Any, Final

from fraiseql_guard.context import Context

_KEY: Final = "fraiseql_guard.request"

_current: Final[ContextVar[Context | None]] = ContextVar("fraiseql_guard_request", default=None)

current: Final[Callable[[], Context | None]] = _current.get
"""The request that this task or thread works on. Every database statement asks: no function of ours is in between."""


def enter(scope: MutableMapping[str, Any], ctx: Context) -> None:
    """The app begins to work on a request: in this task, in those that it starts, and in its threads."""
    scope[_KEY] = ctx
    ctx.attempts = ()  # its end will be seen
    _current.set(ctx)


def leave() -> None:
    """The app is done. What it started and left running still knows whose work it is."""
    _current.set(None)


def context_of(scope: MutableMapping[str, Any]) -> Context | None:
    """The request of an ASGI scope, if a guard let it pass."""
    ctx = scope.get(_KEY)
    return ctx if isinstance(ctx, Context) else None


def guard_deadline(scope: MutableMapping[str, Any], *, clock: Callable[[], float] = time.monotonic) -> float | None:
    """Seconds until the guard stops the work on a request, at least 0; None if it will not.

    None without a guard, where no timeout is set or it is in monitor mode, and once the answer is complete: background
    tasks live on. What the app asks of others (a database, another service) should be given no longer than this.
    """
    ctx = context_of(scope)
    return None if ctx is None else remaining_seconds(ctx, clock())


def remaining_seconds(ctx: Context, now: float) -> float | None:
    """The same of a request at hand."""
    return None if ctx.ends_at is None else max(0.0, ctx.ends_at - now)

"""Finds the request that the app works on, for the app itself and for parts of the guard inside it."""

from __future__ import annotations

import time
from collections.abc import Callable, MutableMapping
from contextvars import ContextVar
from typing import Any, Final

from fraiseql_guard.core.context import IDLE, RequestContext, outers

REQUEST: Final = "fraiseql_guard.core.request"
"""Key of the ASGI scope under which the innermost guard puts its context of the request."""

_current: Final[ContextVar[RequestContext | None]] = ContextVar("fraiseql_guard_request", default=None)

current: Final[Callable[[], RequestContext | None]] = _current.get
"""Returns the request that this task or thread works on. Every database statement asks, so it is the ContextVar's
own method."""


def enter(scope: MutableMapping[str, Any], ctx: RequestContext) -> None:
    """Mark a request as the one that the app works on: in this task, in tasks that it starts, and in its threads."""
    scope[REQUEST] = ctx
    ctx.attempts = ()  # logins may be tried: the guard sees the end of the request
    ctx.before = _current.get()  # an app may call another app, or itself
    _current.set(ctx)


def leave(ctx: RequestContext | None = None) -> None:
    """Mark the app's work on a request as done, and restore the request that this work was a part of.

    Without ``ctx`` no request is at work afterwards. Tasks that the app has left running keep their request.
    """
    if ctx is None:
        _current.set(None)
    # A request may end twice (the app, and its deadline): the second time changes nothing.
    elif (before := ctx.before) is not IDLE:
        _current.set(before)
        ctx.before = IDLE


def take_up(ctx: RequestContext) -> None:
    """Mark an operation of a socket as the request that this task works on, and tasks that it starts from now on. The
    socket stays at work as well."""
    ctx.attempts, ctx.before = (), None
    _current.set(ctx)


def turn_to(socket: RequestContext) -> None:
    """Mark a socket as the request that this task works on. Operations that were begun before have tasks of their
    own."""
    if _current.get() is not socket:
        _current.set(socket)


def put_down(ctx: RequestContext) -> None:
    """Mark the app's work on an operation of a socket as done, in whatever task it was done."""
    ctx.before = IDLE


def at_work(ctx: RequestContext) -> bool:
    """Whether an app works on a request at this moment."""
    return ctx.before is not IDLE


def context_of(scope: MutableMapping[str, Any]) -> RequestContext | None:
    """The request of an ASGI scope; None if no guard has let it pass. For a socket: the operation that this task works
    on, else the socket itself."""
    ctx = scope.get(REQUEST)
    if not isinstance(ctx, RequestContext):
        return None
    operation = _current.get() if ctx.socket else None
    return operation if operation is not None and operation.carrier is ctx else ctx


def guard_request_id(scope: MutableMapping[str, Any]) -> str | None:
    """The guard's own id of a request: the X-Request-ID of its answer and of its log lines. None without a guard.

    ``scope`` is an ASGI scope, such as ``request.scope`` in Starlette and FastAPI.
    """
    ctx = context_of(scope)
    return None if ctx is None else ctx.request_id


def guard_deadline(scope: MutableMapping[str, Any], *, clock: Callable[[], float] = time.monotonic) -> float | None:
    """Seconds until the guard stops the work on a request, at least 0; None if it will not.

    None without a guard, where no timeout is set or it is in monitor mode, and once the answer is complete: background
    tasks live on. What the app asks of others (a database, another service) should be given no longer than this.
    """
    ctx = context_of(scope)
    return None if ctx is None else remaining_seconds(ctx, clock())


def remaining_seconds(ctx: RequestContext, now: float) -> float | None:
    """As :func:`guard_deadline`, for a context, at the moment ``now`` of time.monotonic."""
    ends_at = stops_at(ctx)
    return None if ends_at is None else max(0.0, ends_at - now)


def stops_at(ctx: RequestContext) -> float | None:
    """When the first of the guards around the app stops the work, on the clock of time.monotonic; None if none will."""
    if ctx.outer is None:
        return ctx.ends_at
    ends = [each.ends_at for each in (ctx, *outers(ctx)) if each.ends_at is not None]
    return min(ends, default=None)

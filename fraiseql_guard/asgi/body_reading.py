"""The part of the pipeline that reads bodies: in bounds of size, memory and time, and only where they decide."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from dataclasses import replace
from typing import Final

from fraiseql_guard.asgi.body_budget import holder_of
from fraiseql_guard.asgi.deadline import Deadline
from fraiseql_guard.asgi.decisions import apply_mode, first_refusal, known_block
from fraiseql_guard.asgi.request_body import RequestBody
from fraiseql_guard.asgi.runtime import Runtime
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.signals import (
    BAD_REQUEST,
    BLOCKED,
    BODY_TIMEOUT,
    BODY_TOO_LARGE,
    GUARD_FAULT,
    RATE_LIMITED,
    Protection,
)

_LEFT: Final = Denial(BODY_TIMEOUT)
"""The refusal that charges a client which leaves in the middle of its body. The client does not receive it."""
_BY_CALLER: Final = (BLOCKED, RATE_LIMITED)
"""Codes of refusals for the caller's conduct, whatever the body holds."""
_AT_HAND_SECONDS: Final = 0.05
"""Time in which a body arrives that was sent together with its head."""


async def check_body(runtime: Runtime, ctx: RequestContext, body: RequestBody, denial: Denial | None) -> Denial | None:
    """Read the body where the checks need it, and run them: the refusal in force."""
    if denial is None:
        denial = await known_block(runtime, ctx)
    if denial is None:
        denial = await _read_and_check(runtime, ctx, body)
    return denial or (_LEFT if body.disconnected else None)


async def _read_and_check(runtime: Runtime, ctx: RequestContext, body: RequestBody) -> Denial | None:
    body.held.charge_to(holder_of(ctx), runtime.body_share_bytes)
    if ctx.page or ctx.preflight:
        return await _expect_no_body(runtime, ctx, body)
    # A body whose announced length is too large is not read.
    excess = announced_excess(runtime, ctx, buffered=ctx.operation and not ctx.upload)
    if (denial := apply_mode(runtime, ctx, excess)) is not None:
        return denial
    if not ctx.operation or not runtime.body_checks:
        return None
    if ctx.upload:
        body.buffer_bytes = runtime.settings.max_request_bytes
    try:
        content = await _read_body(runtime, body, bounded=runtime.bounds_bodies)
    except Exception as error:  # noqa: BLE001 - a server that fails here has brought no body to decide by
        return _unreadable(runtime, ctx, body, error)
    if content is None:
        return None  # the client left: the app is not asked
    if isinstance(content, Denial):
        return _check_without_body(runtime, ctx, body, content)
    ctx.body = content
    return first_refusal(runtime, ctx, runtime.body_checks)


def _check_without_body(runtime: Runtime, ctx: RequestContext, body: RequestBody, excess: Denial) -> Denial | None:
    """The refusal in force of a body that was not read to its end. In monitor mode the body streams to the app unread,
    and the other checks decide without it."""
    body.max_bytes = None
    if ctx.rules is not None:
        ctx.rule = ctx.rules.unmeasured
    others = [check for check in runtime.body_checks if check.protection is not Protection.QUERY_LIMITS]
    return apply_mode(runtime, ctx, excess) or first_refusal(runtime, ctx, others)


async def _expect_no_body(runtime: Runtime, ctx: RequestContext, body: RequestBody) -> Denial | None:
    """The refusal in force of a page or preflight that has a body: these pass unmeasured because they ask for
    nothing."""
    if runtime.body_judge is None:
        return None
    body.buffer_bytes = 0
    try:
        content = await _read_body(runtime, body, bounded=runtime.enforces(runtime.body_judge))
    except Exception as error:  # noqa: BLE001 - as above
        return _unreadable(runtime, ctx, body, error)
    if not isinstance(content, Denial):
        return None
    body.max_bytes = None
    what = "page" if ctx.page else "preflight"
    too_slow = content.code is BODY_TIMEOUT
    return _refuse_unread(runtime, ctx, content if too_slow else Denial(BAD_REQUEST, detail=f"a {what} with a body"))


def _unreadable(runtime: Runtime, ctx: RequestContext, body: RequestBody, error: Exception) -> Denial | None:
    runtime.tell(runtime.recorder.fault, "receive", error)
    body.max_bytes = None
    return _refuse_unread(runtime, ctx, Denial(GUARD_FAULT, retry_after_seconds=1.0))


def _refuse_unread(runtime: Runtime, ctx: RequestContext, denial: Denial) -> Denial | None:
    """The refusal in force of a request whose body cannot be read, in the name of the runtime's ``body_judge``."""
    return apply_mode(runtime, ctx, replace(denial, protection=runtime.body_judge))


def announced_excess(runtime: Runtime, ctx: RequestContext, *, buffered: bool) -> Denial | None:
    """The refusal of a body whose announced length is too large; None of any other."""
    settings = runtime.settings
    limit = settings.max_body_bytes if buffered else settings.max_request_bytes
    length = ctx.headers.get(b"content-length", b"")
    if length.isdigit() and len(length) < 20 and int(length) > limit:
        return Denial(BODY_TOO_LARGE, limit=limit, actual=int(length))
    return None


async def _read_body(runtime: Runtime, body: RequestBody, *, bounded: bool) -> bytes | Denial | None:
    """Read the whole body within bounds of size, memory and, if ``bounded`` (not in monitor mode), time."""
    reading = body.read_body()
    return await (_read_in_time(runtime, reading, runtime.settings.body_timeout_seconds) if bounded else reading)


async def look_at_body(
    runtime: Runtime, ctx: RequestContext, body: RequestBody, denial: Denial, *, unless: re.Pattern[bytes]
) -> bytes | Denial | None:
    """Read the body of a request that is refused already, within the usual bounds. If its caller's conduct is the
    reason, read only what has come together with the head."""
    body.held.charge_to(holder_of(ctx), runtime.body_share_bytes)
    seconds = _AT_HAND_SECONDS if denial.code in _BY_CALLER else runtime.settings.body_timeout_seconds
    return await _read_in_time(runtime, body.read_body(unless=unless), seconds)


async def _read_in_time(
    runtime: Runtime, reading: Awaitable[bytes | Denial | None], seconds: float
) -> bytes | Denial | None:
    """The result of ``reading``, or the refusal of a body that took longer than ``seconds``."""
    loop = asyncio.get_running_loop()
    deadline = Deadline(runtime.timers.of(loop), loop.time() + seconds)
    content = await deadline.bound(reading)
    return Denial(BODY_TIMEOUT, limit=seconds) if deadline.expired else content

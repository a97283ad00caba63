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
"""What a client pays for that leaves in the middle of its body: as for one that did not arrive. It is told nothing."""
_BY_CALLER: Final = (BLOCKED, RATE_LIMITED)
"""Refusals for who the caller is and has done: whatever the body holds."""
_AT_HAND_SECONDS: Final = 0.05
"""In this time comes what a client sends together with its head."""


async def check_body(runtime: Runtime, ctx: RequestContext, body: RequestBody, denial: Denial | None) -> Denial | None:
    """The refusal in force once the body is known, as far as it is read here."""
    if denial is None:
        denial = await known_block(runtime, ctx)
    if denial is None:
        denial = await _read_and_check(runtime, ctx, body)
    return denial or (_LEFT if body.disconnected else None)


async def _read_and_check(runtime: Runtime, ctx: RequestContext, body: RequestBody) -> Denial | None:
    body.held.charge_to(holder_of(ctx), runtime.body_share_bytes)
    if ctx.page or ctx.preflight:
        return await _expect_no_body(runtime, ctx, body)
    # A body that says itself that it is too long is not waited for.
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
    """The refusal in force of a body that was not read to its end. In monitor mode it streams through unread, and the
    other checks decide about what they cannot know."""
    body.max_bytes = None
    if ctx.rules is not None:
        ctx.rule = ctx.rules.unmeasured
    others = [check for check in runtime.body_checks if check.protection is not Protection.QUERY_LIMITS]
    return apply_mode(runtime, ctx, excess) or first_refusal(runtime, ctx, others)


async def _expect_no_body(runtime: Runtime, ctx: RequestContext, body: RequestBody) -> Denial | None:
    """Pages and preflights pass unmeasured because they ask for nothing, so they have no body of any length."""
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
    """A refusal of a request that no protection can decide about."""
    return apply_mode(runtime, ctx, replace(denial, protection=runtime.body_judge))


def announced_excess(runtime: Runtime, ctx: RequestContext, *, buffered: bool) -> Denial | None:
    """The refusal of a body that says itself that it is longer than is allowed."""
    settings = runtime.settings
    limit = settings.max_body_bytes if buffered else settings.max_request_bytes
    length = ctx.headers.get(b"content-length", b"")
    if length.isdigit() and len(length) < 20 and int(length) > limit:
        return Denial(BODY_TOO_LARGE, limit=limit, actual=int(length))
    return None


async def _read_body(runtime: Runtime, body: RequestBody, *, bounded: bool) -> bytes | Denial | None:
    """The whole body in bounds of size, memory and, if ``bounded``, time: in monitor mode nothing is cut."""
    reading = body.read_body()
    return await (_read_in_time(runtime, reading, runtime.settings.body_timeout_seconds) if bounded else reading)


async def look_at_body(
    runtime: Runtime, ctx: RequestContext, body: RequestBody, denial: Denial, *, unless: re.Pattern[bytes]
) -> bytes | Denial | None:
    """Read the body of a request that is refused already, in the usual bounds; of one that would be refused whatever it
    holds no more than has come with its head."""
    body.held.charge_to(holder_of(ctx), runtime.body_share_bytes)
    seconds = _AT_HAND_SECONDS if denial.code in _BY_CALLER else runtime.settings.body_timeout_seconds
    return await _read_in_time(runtime, body.read_body(unless=unless), seconds)


async def _read_in_time(
    runtime: Runtime, reading: Awaitable[bytes | Denial | None], seconds: float
) -> bytes | Denial | None:
    """What is read of a body, or that it took too long."""
    loop = asyncio.get_running_loop()
    deadline = Deadline(runtime.timers.of(loop), loop.time() + seconds)
    content = await deadline.bound(reading)
    return Denial(BODY_TIMEOUT, limit=seconds) if deadline.expired else content

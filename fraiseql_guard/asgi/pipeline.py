"""Leads a request through the gates, cheapest first: head, remembered refusal, body, trip. The first refusal wins."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from fraiseql_guard.asgi.body_budget import holder_of
from fraiseql_guard.asgi.deadline import Deadline
from fraiseql_guard.asgi.request_body import RequestBody
from fraiseql_guard.asgi.runtime import Check, Runtime
from fraiseql_guard.checks.admission import PASSED, Decision
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.request import at_work
from fraiseql_guard.core.settings import Mode
from fraiseql_guard.core.signals import (
    BAD_REQUEST,
    BLOCKED,
    BODY_TIMEOUT,
    BODY_TOO_LARGE,
    GUARD_FAULT,
    RATE_LIMITED,
    Protection,
)
from fraiseql_guard.stores.protocol import AdmitRequest
from fraiseql_guard.telemetry.spans import active_span, mark

_LEFT: Final = Denial(BODY_TIMEOUT)
"""What a client pays for that leaves in the middle of its body: as for one that did not arrive. It is told nothing."""
_KNOWN: Final = (BLOCKED, RATE_LIMITED)
"""Refusals for who the caller is and has done: whatever the body holds."""
_AT_HAND_SECONDS: Final = 0.05
"""In this time comes what a client sends together with its head."""


async def decide(  # noqa: C901
    runtime: Runtime, ctx: RequestContext, request_body: RequestBody | None = None
) -> Denial | None:
    """The refusal in force, if any. Whatever breaks on the way refuses too, and takes no refusal back. Never raises but
    for a cancellation.

    ``pump`` where there is a body: to be read, or to be bounded while the app reads it.
    """
    if ctx.actor or ctx.open_to_all:
        return None  # an operator, or the way to become one: not even an outage or a block stops them
    denial = None
    try:
        if ctx.head is None:
            denial = _ask(runtime, ctx, runtime.head_gates)
            if denial is None:
                runtime.head_cache.learn(ctx, plain=request_body is None)
        if denial is None and runtime.token_gate is not None:
            denial = _ask(runtime, ctx, (runtime.token_gate,))
        if runtime.identification is not None and ctx.keys_missing:
            denial = denial or await _ask_others(runtime, ctx, runtime.identification.fetch_keys(ctx))
        if denial is None and runtime.limits_rates and runtime.admission.refused_lately(ctx.subject.key):
            remembered = runtime.admission.remembered(ctx)
            if remembered is not None:
                ctx.repeated = True
                return remembered
        if denial is None and runtime.identification is not None:
            denial = await _ask_others(runtime, ctx, runtime.identification.check_user(ctx))
        if request_body is not None:
            if denial is None and (trip := runtime.admission.known_block(ctx)) is not None:
                decision = runtime.admission.conclude(ctx, trip, await runtime.store.admit(trip))
                denial = _concluded(runtime, ctx, None, decision)
            if denial is None:
                denial = await _read_and_ask(runtime, ctx, request_body)
            if request_body.disconnected:
                denial = denial or _LEFT
        decision = await runtime.admission.admit(ctx, denial)
        return None if decision is PASSED else _concluded(runtime, ctx, denial, decision)
    except Exception as error:  # noqa: BLE001 - the stated failure policy: what was not checked does not pass
        fault = _unchecked(runtime, ctx, "admission", error, Protection.RATE_LIMIT)
        return denial or fault


async def readmit(runtime: Runtime, ctx: RequestContext, trip: AdmitRequest) -> Denial | None:
    """The same for a request that asks no more than this of the store: its head was judged before."""
    try:
        outcome = await runtime.store.admit(trip)
        if outcome.admitted and outcome.imposed is None:
            ctx.buckets = outcome.buckets
            return None
        return _concluded(runtime, ctx, None, runtime.admission.conclude(ctx, trip, outcome))
    except Exception as error:  # noqa: BLE001 - as above
        return _unchecked(runtime, ctx, "admission", error, Protection.RATE_LIMIT)


def _concluded(runtime: Runtime, ctx: RequestContext, denial: Denial | None, decision: Decision) -> Denial | None:
    if decision.imposed is not None:
        runtime.tell(runtime.recorder.imposed, ctx, decision.imposed)
    if decision.denial is denial:
        return denial
    ctx.superseded_denial = denial
    return judge(runtime, ctx, decision.denial) or denial


def _unchecked(runtime: Runtime, ctx: RequestContext, part: str, error: Exception, owner: Protection) -> Denial | None:
    """A part of the protection ``owner`` broke. Others lean on what it would have found out, so the request passes only
    where nothing at all is enforced."""
    runtime.tell(runtime.recorder.fault, part, error)
    denial = Denial(GUARD_FAULT, protection=runtime.in_whose_name(owner), retry_after_seconds=1.0)
    return judge(runtime, ctx, denial)


async def _ask_others(runtime: Runtime, ctx: RequestContext, answer: Awaitable[Denial | None]) -> Denial | None:
    """The refusal in force after the issuer's keys were fetched, or the app was asked about the user."""
    try:
        return judge(runtime, ctx, await answer)
    except Exception as error:  # noqa: BLE001 - as above
        return _unchecked(runtime, ctx, "identification", error, Protection.AUTH)


def judge(runtime: Runtime, ctx: RequestContext, denial: Denial | None) -> Denial | None:
    """A refusal in monitor mode is only noted, one of a protection that is not mounted is none."""
    if denial is None:
        return None
    mode = runtime.modes[denial.owner]
    if mode is Mode.MONITOR:
        ctx.would_refuse += (denial,)
        span = ctx.span if at_work(ctx) else active_span()  # where a timer asks, another's is active
        runtime.tell(partial(mark, enforced=False), span, denial.code.name, denial.owner.value)
    return denial if mode is Mode.ENFORCE else None


def _ask(runtime: Runtime, ctx: RequestContext, checks: Sequence[Check]) -> Denial | None:
    """The first refusal in force. A gate that breaks refuses: what it could not read does not pass."""
    for check in checks:
        try:
            denial = check.decide(ctx)
        except Exception as error:  # noqa: BLE001 - the stated failure policy of every gate
            denial = _unchecked(runtime, ctx, type(check).__name__, error, check.protection)
        else:
            denial = judge(runtime, ctx, denial)
        if denial is not None:
            return denial
    return None


async def _read_and_ask(runtime: Runtime, ctx: RequestContext, request_body: RequestBody) -> Denial | None:
    request_body.held.charge_to(holder_of(ctx), runtime.body_share_bytes)
    operation, head = ctx.operation, ctx.head
    if ctx.page or ctx.preflight:
        return await _expect_no_body(runtime, ctx, request_body)
    if head is None or not head.fits:
        excess = announced_excess(runtime, ctx, buffered=operation and not ctx.upload)
        if excess is not None and (denial := judge(runtime, ctx, excess)) is not None:
            return denial
        if head is not None:
            head.fits = excess is None
    if not operation or not runtime.body_gates:
        return None
    if ctx.upload:
        request_body.buffer_bytes = runtime.settings.max_request_bytes
    try:
        body = await _read_body(runtime, request_body, bounded=runtime.bounds_bodies)
    except Exception as error:  # noqa: BLE001 - a server that fails here has brought no body to decide by
        return _unreadable(runtime, ctx, request_body, error)
    if isinstance(body, Denial):
        # In monitor mode it streams through unread. The other gates decide about what they cannot know.
        request_body.max_bytes = None
        others = [check for check in runtime.body_gates if check.protection is not Protection.QUERY_LIMITS]
        return judge(runtime, ctx, body) or _ask(runtime, ctx, others)
    if body is None:
        return None  # the client left: the app is not asked
    ctx.body = body
    return _ask(runtime, ctx, runtime.body_gates)


async def _expect_no_body(runtime: Runtime, ctx: RequestContext, request_body: RequestBody) -> Denial | None:
    """Pages and preflights pass unmeasured because they ask for nothing, so they have no body of any length."""
    if runtime.body_judge is None:
        return None
    request_body.buffer_bytes = 0
    try:
        body = await _read_body(runtime, request_body, bounded=runtime.enforces(runtime.body_judge))
    except Exception as error:  # noqa: BLE001 - as above
        return _unreadable(runtime, ctx, request_body, error)
    if not isinstance(body, Denial):
        return None
    request_body.max_bytes = None
    what = "page" if ctx.page else "preflight"
    too_slow = body.code is BODY_TIMEOUT
    return _judge_unread(runtime, ctx, body if too_slow else Denial(BAD_REQUEST, detail=f"a {what} with a body"))


def _unreadable(runtime: Runtime, ctx: RequestContext, request_body: RequestBody, error: Exception) -> Denial | None:
    runtime.tell(runtime.recorder.fault, "receive", error)
    request_body.max_bytes = None
    return _judge_unread(runtime, ctx, Denial(GUARD_FAULT, retry_after_seconds=1.0))


def _judge_unread(runtime: Runtime, ctx: RequestContext, denial: Denial) -> Denial | None:
    """A refusal of a request that no protection can decide about."""
    return judge(runtime, ctx, replace(denial, protection=runtime.body_judge))


def announced_excess(runtime: Runtime, ctx: RequestContext, *, buffered: bool) -> Denial | None:
    """A body that says itself that it is too large is not waited for."""
    settings = runtime.settings
    limit = settings.max_body_bytes if buffered else settings.max_request_bytes
    length = ctx.headers.get(b"content-length", b"")
    if length.isdigit() and len(length) < 20 and int(length) > limit:
        return Denial(BODY_TOO_LARGE, limit=limit, actual=int(length))
    return None


async def _read_body(runtime: Runtime, request_body: RequestBody, *, bounded: bool) -> bytes | Denial | None:
    """The whole body in bounds of size, memory and, if ``bounded``, time: in monitor mode nothing is cut."""
    reading = request_body.read_body()
    return await (_read_in_time(runtime, reading, runtime.settings.body_timeout_seconds) if bounded else reading)


async def look_at_body(
    runtime: Runtime, ctx: RequestContext, request_body: RequestBody, denial: Denial, *, unless: re.Pattern[bytes]
) -> bytes | Denial | None:
    """Read the body of a request that is refused already, in the usual bounds; of one that would be refused whatever it
    holds no more than has come with its head."""
    request_body.held.charge_to(holder_of(ctx), runtime.body_share_bytes)
    seconds = _AT_HAND_SECONDS if denial.code in _KNOWN else runtime.settings.body_timeout_seconds
    return await _read_in_time(runtime, request_body.read_body(unless=unless), seconds)


async def _read_in_time(
    runtime: Runtime, reading: Awaitable[bytes | Denial | None], seconds: float
) -> bytes | Denial | None:
    """What is read of a body, or that it took too long."""
    loop = asyncio.get_running_loop()
    deadline = Deadline(runtime.timers.of(loop), loop.time() + seconds)
    body = await deadline.bound(reading)
    return Denial(BODY_TIMEOUT, limit=seconds) if deadline.expired else body

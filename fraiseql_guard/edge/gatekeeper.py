"""Leads a request through the gates, cheapest first: head, remembered refusal, body, trip. The first refusal wins."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from fraiseql_guard.admission import PASSED, Decision
from fraiseql_guard.context import Context, Denial
from fraiseql_guard.edge.body_budget import holder_of
from fraiseql_guard.edge.deadline import Deadline
from fraiseql_guard.edge.pump import Pump
from fraiseql_guard.edge.stack import Gate, Stack
from fraiseql_guard.request import at_work
from fraiseql_guard.settings import Mode
from fraiseql_guard.signals import (
    BAD_REQUEST,
    BLOCKED,
    BODY_TIMEOUT,
    BODY_TOO_LARGE,
    GUARD_FAULT,
    RATE_LIMITED,
    Protection,
)
from fraiseql_guard.stores.protocol import Trip
from fraiseql_guard.telemetry.spans import active_span, mark

_LEFT: Final = Denial(BODY_TIMEOUT)
"""What a client pays for that leaves in the middle of its body: as for one that did not arrive. It is told nothing."""
_KNOWN: Final = (BLOCKED, RATE_LIMITED)
"""Refusals for who the caller is and has done: whatever the body holds."""
_AT_HAND_SECONDS: Final = 0.05
"""In this time comes what a client sends together with its head."""


async def decide(stack: Stack, ctx: Context, pump: Pump | None = None) -> Denial | None:
    """The refusal in force, if any. Whatever breaks on the way refuses too, and takes no refusal back. Never raises but
    for a cancellation.

    ``pump`` where there is a body: to be read, or to be bounded while the app reads it.
    """
    if ctx.actor or ctx.open_to_all:
        return None  # an operator, or the way to become one: not even an outage or a block stops them
    denial = None
    try:
        if ctx.head is None:
            denial = _ask(stack, ctx, stack.head_gates)
            if denial is None:
                stack.heads.learn(ctx, plain=pump is None)
        if denial is None and stack.token_gate is not None:
            denial = _ask(stack, ctx, (stack.token_gate,))
        if stack.identification is not None and ctx.keys_missing:
            denial = denial or await _ask_others(stack, ctx, stack.identification.fetch_keys(ctx))
        if denial is None and stack.limits_rates and stack.admission.refused_lately(ctx.subject.key):
            remembered = stack.admission.remembered(ctx)
            if remembered is not None:
                ctx.repeated = True
                return remembered
        if denial is None and stack.identification is not None:
            denial = await _ask_others(stack, ctx, stack.identification.check_user(ctx))
        if pump is not None:
            if denial is None and (trip := stack.admission.known_block(ctx)) is not None:
                decision = stack.admission.conclude(ctx, trip, await stack.store.admit(trip))
                denial = _concluded(stack, ctx, None, decision)
            if denial is None:
                denial = await _read_and_ask(stack, ctx, pump)
            if pump.disconnected:
                denial = denial or _LEFT
        decision = await stack.admission.settle(ctx, denial)
        return None if decision is PASSED else _concluded(stack, ctx, denial, decision)
    except Exception as error:  # noqa: BLE001 - the stated failure policy: what was not checked does not pass
        fault = _unchecked(stack, ctx, "admission", error, Protection.RATE_LIMIT)
        return denial or fault


async def readmit(stack: Stack, ctx: Context, trip: Trip) -> Denial | None:
    """The same for a request that asks no more than this of the store: its head was judged before."""
    try:
        outcome = await stack.store.admit(trip)
        if outcome.admitted and outcome.imposed is None:
            ctx.buckets = outcome.buckets
            return None
        return _concluded(stack, ctx, None, stack.admission.conclude(ctx, trip, outcome))
    except Exception as error:  # noqa: BLE001 - as above
        return _unchecked(stack, ctx, "admission", error, Protection.RATE_LIMIT)


def _concluded(stack: Stack, ctx: Context, denial: Denial | None, decision: Decision) -> Denial | None:
    if decision.imposed is not None:
        stack.tell(stack.settle.imposed, ctx, decision.imposed)
    if decision.denial is denial:
        return denial
    ctx.overruled = denial
    return judge(stack, ctx, decision.denial) or denial


def _unchecked(stack: Stack, ctx: Context, part: str, error: Exception, owner: Protection) -> Denial | None:
    """A part of the protection ``owner`` broke. Others lean on what it would have found out, so the request passes only
    where nothing at all is enforced."""
    stack.tell(stack.settle.fault, part, error)
    denial = Denial(GUARD_FAULT, protection=stack.in_whose_name(owner), retry_after_seconds=1.0)
    return judge(stack, ctx, denial)


async def _ask_others(stack: Stack, ctx: Context, answer: Awaitable[Denial | None]) -> Denial | None:
    """The refusal in force after the issuer's keys were fetched, or the app was asked about the user."""
    try:
        return judge(stack, ctx, await answer)
    except Exception as error:  # noqa: BLE001 - as above
        return _unchecked(stack, ctx, "identification", error, Protection.AUTH)


def judge(stack: Stack, ctx: Context, denial: Denial | None) -> Denial | None:
    """A refusal in monitor mode is only noted, one of a protection that is not mounted is none."""
    if denial is None:
        return None
    mode = stack.modes[denial.owner]
    if mode is Mode.MONITOR:
        ctx.would_refuse += (denial,)
        span = ctx.span if at_work(ctx) else active_span()  # where a timer asks, another's is active
        stack.tell(partial(mark, enforced=False), span, denial.code.name, denial.owner.value)
    return denial if mode is Mode.ENFORCE else None


def _ask(stack: Stack, ctx: Context, gates: Sequence[Gate]) -> Denial | None:
    """The first refusal in force. A gate that breaks refuses: what it could not read does not pass."""
    for gate in gates:
        try:
            denial = gate.decide(ctx)
        except Exception as error:  # noqa: BLE001 - the stated failure policy of every gate
            denial = _unchecked(stack, ctx, type(gate).__name__, error, gate.protection)
        else:
            denial = judge(stack, ctx, denial)
        if denial is not None:
            return denial
    return None


async def _read_and_ask(stack: Stack, ctx: Context, pump: Pump) -> Denial | None:
    pump.held.charge_to(holder_of(ctx), stack.body_share_bytes)
    operation, head = ctx.operation, ctx.head
    if ctx.page or ctx.preflight:
        return await _expect_no_body(stack, ctx, pump)
    if head is None or not head.fits:
        excess = announced_excess(stack, ctx, buffered=operation and not ctx.upload)
        if excess is not None and (denial := judge(stack, ctx, excess)) is not None:
            return denial
        if head is not None:
            head.fits = excess is None
    if not operation or not stack.body_gates:
        return None
    if ctx.upload:
        pump.buffer_bytes = stack.settings.max_request_bytes
    try:
        body = await _read_body(stack, pump, bounded=stack.bounds_bodies)
    except Exception as error:  # noqa: BLE001 - a server that fails here has brought no body to decide by
        return _unreadable(stack, ctx, pump, error)
    if isinstance(body, Denial):
        # In monitor mode it streams through unread. The other gates decide about what they cannot know.
        pump.max_bytes = None
        others = [gate for gate in stack.body_gates if gate.protection is not Protection.QUERY_LIMITS]
        return judge(stack, ctx, body) or _ask(stack, ctx, others)
    if body is None:
        return None  # the client left: the app is not asked
    ctx.body = body
    return _ask(stack, ctx, stack.body_gates)


async def _expect_no_body(stack: Stack, ctx: Context, pump: Pump) -> Denial | None:
    """Pages and preflights pass unmeasured because they ask for nothing, so they have no body of any length."""
    if stack.body_judge is None:
        return None
    pump.buffer_bytes = 0
    try:
        body = await _read_body(stack, pump, bounded=stack.enforces(stack.body_judge))
    except Exception as error:  # noqa: BLE001 - as above
        return _unreadable(stack, ctx, pump, error)
    if not isinstance(body, Denial):
        return None
    pump.max_bytes = None
    what = "page" if ctx.page else "preflight"
    too_slow = body.code is BODY_TIMEOUT
    return _judge_unread(stack, ctx, body if too_slow else Denial(BAD_REQUEST, detail=f"a {what} with a body"))


def _unreadable(stack: Stack, ctx: Context, pump: Pump, error: Exception) -> Denial | None:
    stack.tell(stack.settle.fault, "receive", error)
    pump.max_bytes = None
    return _judge_unread(stack, ctx, Denial(GUARD_FAULT, retry_after_seconds=1.0))


def _judge_unread(stack: Stack, ctx: Context, denial: Denial) -> Denial | None:
    """A refusal of a request that no protection can decide about."""
    return judge(stack, ctx, replace(denial, protection=stack.body_judge))


def announced_excess(stack: Stack, ctx: Context, *, buffered: bool) -> Denial | None:
    """A body that says itself that it is too large is not waited for."""
    settings = stack.settings
    limit = settings.max_body_bytes if buffered else settings.max_request_bytes
    length = ctx.headers.get(b"content-length", b"")
    if length.isdigit() and len(length) < 20 and int(length) > limit:
        return Denial(BODY_TOO_LARGE, limit=limit, actual=int(length))
    return None


async def _read_body(stack: Stack, pump: Pump, *, bounded: bool) -> bytes | Denial | None:
    """The whole body in bounds of size, memory and, if ``bounded``, time: in monitor mode nothing is cut."""
    reading = pump.read_body()
    return await (_read_in_time(stack, reading, stack.settings.body_timeout_seconds) if bounded else reading)


async def look_at_body(
    stack: Stack, ctx: Context, pump: Pump, denial: Denial, *, unless: re.Pattern[bytes]
) -> bytes | Denial | None:
    """Read the body of a request that is refused already, in the usual bounds; of one that would be refused whatever it
    holds no more than has come with its head."""
    pump.held.charge_to(holder_of(ctx), stack.body_share_bytes)
    seconds = _AT_HAND_SECONDS if denial.code in _KNOWN else stack.settings.body_timeout_seconds
    return await _read_in_time(stack, pump.read_body(unless=unless), seconds)


async def _read_in_time(
    stack: Stack, reading: Awaitable[bytes | Denial | None], seconds: float
) -> bytes | Denial | None:
    """What is read of a body, or that it took too long."""
    loop = asyncio.get_running_loop()
    deadline = Deadline(stack.timers.of(loop), loop.time() + seconds)
    body = await deadline.bound(reading)
    return Denial(BODY_TIMEOUT, limit=seconds) if deadline.expired else body

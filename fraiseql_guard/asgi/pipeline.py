"""Leads a request through the checks, cheapest first. The first refusal in force ends it:

1. the head, by what requests with the same head have in common (none if it is cached), and the token;
2. what is known of the caller: keys that must be fetched first, a refusal of a moment ago, whether the user exists;
3. the body, and what it asks for;
4. admission: one call to the store, which settles the bill or records the refusal.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from fraiseql_guard.asgi.async_authentication import AsyncAuthentication
from fraiseql_guard.asgi.body_budget import holder_of
from fraiseql_guard.asgi.deadline import Deadline
from fraiseql_guard.asgi.head_cache import CachedHead
from fraiseql_guard.asgi.request_body import RequestBody
from fraiseql_guard.asgi.runtime import Check, Runtime
from fraiseql_guard.checks.admission import PASSED, Decision
from fraiseql_guard.checks.mixed_documents import MIXED_DOCUMENTS
from fraiseql_guard.checks.socket_room import Stage
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
from fraiseql_guard.telemetry.spans import active_span, mark

_LEFT: Final = Denial(BODY_TIMEOUT)
"""What a client pays for that leaves in the middle of its body: as for one that did not arrive. It is told nothing."""
_BY_CALLER: Final = (BLOCKED, RATE_LIMITED)
"""Refusals for who the caller is and has done: whatever the body holds."""
_AT_HAND_SECONDS: Final = 0.05
"""In this time comes what a client sends together with its head."""


async def run_checks(runtime: Runtime, ctx: RequestContext, body: RequestBody | None = None) -> Denial | None:
    """The refusal in force, if any. Whatever breaks on the way refuses too, and takes no refusal back. Never raises but
    for a cancellation.

    ``body`` where it is to be read, or to be bounded while the app reads it.
    """
    if ctx.actor or ctx.open_to_all:
        return None  # an operator, or the way to become one: not even an outage or a block stops them
    denial = None
    try:
        # 1. By the head alone.
        denial = check_head(runtime, ctx)
        # 2. By what is known of the caller.
        if denial is None:
            denial = await check_identity(runtime, ctx)
            if ctx.repeated:
                return denial  # the store has said so, and hears with the next call how often it was repeated
        # 3. By the body.
        if body is not None:
            denial = await _check_body(runtime, ctx, body, denial)
        # 4. By the store.
        return await _settle(runtime, ctx, denial)
    except Exception as error:  # noqa: BLE001 - the stated failure policy: what was not checked does not pass
        return denial or _not_settled(runtime, ctx, error)


async def check_operation(runtime: Runtime, ctx: RequestContext, denial: Denial | None = None) -> Denial | None:
    """The refusal in force of an operation that did not come in a request of its own: its caller is known, and its body
    is at hand. ``denial`` if it is refused already. Never raises but for a cancellation."""
    try:
        denial = denial or _refused_a_moment_ago(runtime, ctx)
        if ctx.repeated:
            return denial
        denial = denial or await _known_block(runtime, ctx)
        denial = denial or _first_refusal(runtime, ctx, runtime.body_checks)
        denial = denial or _first_refusal(runtime, ctx, (MIXED_DOCUMENTS,))
        return await _settle(runtime, ctx, denial)
    except Exception as error:  # noqa: BLE001 - as above
        return denial or _not_settled(runtime, ctx, error)


async def check_caller(
    runtime: Runtime, ctx: RequestContext, judge: Callable[[Denial | None], Denial | None]
) -> Denial | None:
    """The refusal in force of a caller who shows who they are, and asks for nothing yet. ``judge`` is told what the
    checks say, and has the last word before the store is asked. Never raises but for a cancellation."""
    denial = None
    try:
        denial = await check_identity(runtime, ctx)
        if ctx.repeated:
            return denial
        denial = judge(denial)
        return await _settle(runtime, ctx, denial)
    except Exception as error:  # noqa: BLE001 - as above
        return denial or _not_settled(runtime, ctx, error)


async def settle(runtime: Runtime, ctx: RequestContext) -> Denial | None:
    """The refusal in force of a caller who was checked before. Never raises but for a cancellation."""
    try:
        return await _settle(runtime, ctx, None)
    except Exception as error:  # noqa: BLE001 - as above
        return _not_settled(runtime, ctx, error)


def apply_mode(runtime: Runtime, ctx: RequestContext, denial: Denial | None) -> Denial | None:
    """The refusal in force. One of a protection in monitor mode is only noted, one of a protection that is not mounted
    is none."""
    if denial is None:
        return None
    mode = runtime.modes[denial.owner]
    if mode is Mode.MONITOR:
        ctx.would_refuse += (denial,)
        span = ctx.span if at_work(ctx) else active_span()  # where a timer asks, another's is active
        runtime.tell(partial(mark, enforced=False), span, denial.code.name, denial.owner.value)
    return denial if mode is Mode.ENFORCE else None


# --- head and caller --------------------------------------------------------------------------------------------------


def check_head(runtime: Runtime, ctx: RequestContext) -> Denial | None:
    """The refusal in force by what requests with the same head have in common."""
    if ctx.head is not None:
        return None
    denial = _first_refusal(runtime, ctx, runtime.head_checks)
    if denial is None:
        runtime.head_cache.learn(ctx)
    return denial


async def check_identity(runtime: Runtime, ctx: RequestContext) -> Denial | None:
    """The refusal in force by who the caller is, and by what is known of them."""
    denial = _check_token(runtime, ctx)
    if denial is not None:
        return denial
    others = runtime.async_authentication
    return _refused_a_moment_ago(runtime, ctx) if others is None else await _check_caller(runtime, ctx, others)


def _check_token(runtime: Runtime, ctx: RequestContext) -> Denial | None:
    head: CachedHead | None = ctx.head
    if runtime.token_check is None or (head is not None and head.anonymous):
        return None
    # What depends on credentials is decided every time.
    denial = _first_refusal(runtime, ctx, (runtime.token_check,))
    if head is None and denial is None:
        runtime.head_cache.learn_anonymous(ctx)
    return denial


def _first_refusal(runtime: Runtime, ctx: RequestContext, checks: Sequence[Check]) -> Denial | None:
    """The first refusal in force. A check that breaks refuses: what it could not read does not pass."""
    for check in checks:
        try:
            denial = check.decide(ctx)
        except Exception as error:  # noqa: BLE001 - the stated failure policy of every check
            denial = _unchecked(runtime, ctx, type(check).__name__, error, check.protection)
        else:
            denial = denial and apply_mode(runtime, ctx, denial)
        if denial is not None:
            return denial
    return None


async def _check_caller(runtime: Runtime, ctx: RequestContext, others: AsyncAuthentication) -> Denial | None:
    """The refusal in force once others were asked who the caller is. They are not asked for a caller who is refused
    anyway."""
    denial = await _ask_others(runtime, ctx, others.fetch_keys(ctx)) if ctx.keys_missing else None
    denial = denial or _refused_a_moment_ago(runtime, ctx)
    return denial or await _ask_others(runtime, ctx, others.check_user(ctx))


async def _ask_others(runtime: Runtime, ctx: RequestContext, answer: Awaitable[Denial | None]) -> Denial | None:
    """The refusal in force after the issuer's keys were fetched, or the app was asked about the user."""
    try:
        return apply_mode(runtime, ctx, await answer)
    except Exception as error:  # noqa: BLE001 - as above
        return _unchecked(runtime, ctx, "identification", error, Protection.AUTH)


def _refused_a_moment_ago(runtime: Runtime, ctx: RequestContext) -> Denial | None:
    """The refusal of a caller whose bucket, as this process knows, is still empty: before a body is read."""
    if not runtime.limits_rates or not runtime.admission.refused_lately(ctx.subject.key):
        return None
    denial = runtime.admission.remembered(ctx)
    ctx.repeated = denial is not None
    return denial


# --- body -------------------------------------------------------------------------------------------------------------


async def _check_body(runtime: Runtime, ctx: RequestContext, body: RequestBody, denial: Denial | None) -> Denial | None:
    """The refusal in force once the body is known, as far as it is read here."""
    if denial is None:
        denial = await _known_block(runtime, ctx)
    if denial is None:
        denial = await _read_and_check(runtime, ctx, body)
    return denial or (_LEFT if body.disconnected else None)


async def _known_block(runtime: Runtime, ctx: RequestContext) -> Denial | None:
    """The refusal of a caller who was blocked, if the store says that they still are: no body of theirs is read."""
    question = runtime.admission.known_block(ctx)
    if question is None:
        return None
    decision = runtime.admission.conclude(ctx, question, await runtime.store.admit(question))
    return _concluded(runtime, ctx, None, decision)


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
    return _first_refusal(runtime, ctx, runtime.body_checks)


def _check_without_body(runtime: Runtime, ctx: RequestContext, body: RequestBody, excess: Denial) -> Denial | None:
    """The refusal in force of a body that was not read to its end. In monitor mode it streams through unread, and the
    other checks decide about what they cannot know."""
    body.max_bytes = None
    others = [check for check in runtime.body_checks if check.protection is not Protection.QUERY_LIMITS]
    return apply_mode(runtime, ctx, excess) or _first_refusal(runtime, ctx, others)


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


# --- upgrades ---------------------------------------------------------------------------------------------------------


async def check_upgrade(runtime: Runtime, ctx: RequestContext) -> Denial | None:
    """The refusal in force of an upgrade to a WebSocket, which has its head alone. As run_checks in all else."""
    denial = None
    try:
        # 1. By its head, and the token in it.
        denial = _first_refusal(runtime, ctx, (*runtime.head_checks, *runtime.socket_checks))
        # 2. By what is known of the caller.
        if denial is None:
            others = runtime.async_authentication
            denial = (
                _refused_a_moment_ago(runtime, ctx) if others is None else await _check_caller(runtime, ctx, others)
            )
            if ctx.repeated:
                return denial
        # 3. By the room that is left. On GraphQL paths its first message tells more about the caller.
        if denial is None:
            unknown = Stage.OPENED if ctx.guarded else Stage.ANONYMOUS
            full = runtime.socket_room.take(ctx, unknown if ctx.identity is None else Stage.VERIFIED)
            denial = apply_mode(runtime, ctx, full)
        # 4. By the store.
        decision = await runtime.admission.admit(ctx, denial)
        return None if decision is PASSED else _concluded(runtime, ctx, denial, decision)
    except Exception as error:  # noqa: BLE001 - as in run_checks
        fault = _unchecked(runtime, ctx, "admission", error, Protection.RATE_LIMIT)
        return denial or fault


# --- admission --------------------------------------------------------------------------------------------------------


async def _settle(runtime: Runtime, ctx: RequestContext, denial: Denial | None) -> Denial | None:
    """The refusal in force once the store has settled the bill, or recorded a check's ``denial``."""
    decision = await runtime.admission.admit(ctx, denial)
    return None if decision is PASSED else _concluded(runtime, ctx, denial, decision)


def _not_settled(runtime: Runtime, ctx: RequestContext, error: Exception) -> Denial | None:
    return _unchecked(runtime, ctx, "admission", error, Protection.RATE_LIMIT)


def _concluded(runtime: Runtime, ctx: RequestContext, denial: Denial | None, decision: Decision) -> Denial | None:
    """The refusal in force after the store has answered. Its own comes before that of a check, unless it is only
    noted."""
    if decision.imposed is not None:
        runtime.tell(runtime.recorder.imposed, ctx, decision.imposed)
        runtime.live_watch.imposed(decision.imposed)
    if decision.denial is denial:
        return denial
    ctx.superseded_denial = denial
    return apply_mode(runtime, ctx, decision.denial) or denial


def _unchecked(runtime: Runtime, ctx: RequestContext, part: str, error: Exception, owner: Protection) -> Denial | None:
    """A part of the protection ``owner`` broke. Others lean on what it would have found out, so the request passes only
    where nothing at all is enforced."""
    runtime.tell(runtime.recorder.fault, part, error)
    denial = Denial(GUARD_FAULT, protection=runtime.in_whose_name(owner), retry_after_seconds=1.0)
    return apply_mode(runtime, ctx, denial)

"""Leads a request through the checks, cheapest first. The first refusal in force ends it:

1. the head, by what requests with the same head have in common (none if it is cached), and the token;
2. what is known of the caller: keys that must be fetched first, a refusal of a moment ago, whether the user exists;
3. the body, and what it asks for;
4. admission: one call to the store, which settles the bill or records the refusal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from fraiseql_guard.asgi.body_reading import check_body
from fraiseql_guard.asgi.decisions import apply_mode, first_refusal, known_block, not_settled, settled, unchecked
from fraiseql_guard.asgi.head_cache import CachedHead
from fraiseql_guard.asgi.request_body import RequestBody
from fraiseql_guard.asgi.runtime import Runtime
from fraiseql_guard.asgi.waiting import Pause, may_wait, pauses, settled_in_turn
from fraiseql_guard.checks.concurrency import begins_subscription
from fraiseql_guard.checks.socket_room import Stage
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.signals import CONCURRENCY_LIMIT, OVERLOADED, Protection

_LOOK_SECONDS: Final = 0.1
_LOOKS: Final = 200
"""A subscription waits for twenty seconds until others have begun, since clients take its refusal for final. What a
socket's client says meanwhile waits with it."""


async def run_checks(
    runtime: Runtime, ctx: RequestContext, body: RequestBody | None = None, pause: Pause | None = None
) -> Denial | None:
    """The refusal in force, if any. Whatever breaks on the way refuses too, and takes no refusal back. Never raises but
    for a cancellation.

    ``body`` where it is to be read, or to be bounded while the app reads it; ``pause`` where the request may wait for
    its turn.
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
            denial = await check_body(runtime, ctx, body, denial)
            denial = denial and await _after_a_wait(runtime, ctx, denial, body.look_for_end)
        # 4. By the store.
        if pause is not None and denial is None and runtime.waiting_room is not None:
            return await settled_in_turn(runtime, runtime.waiting_room, ctx, body, pause)
        return await settled(runtime, ctx, denial)
    except Exception as error:  # noqa: BLE001 - the stated failure policy: what was not checked does not pass
        return denial or not_settled(runtime, ctx, error)


async def check_operation(
    runtime: Runtime, ctx: RequestContext, denial: Denial | None = None, *, is_over: Callable[[], bool]
) -> Denial | None:
    """The refusal in force of an operation that did not come in a request of its own: its caller is known, and its body
    is at hand. ``denial`` if it is refused already; ``is_over`` tells whether its socket has ended. Never raises but
    for a cancellation."""
    try:
        denial = denial or _refused_a_moment_ago(runtime, ctx)
        if ctx.repeated:
            return denial
        denial = denial or await known_block(runtime, ctx)
        if denial is None:
            denial = first_refusal(runtime, ctx, runtime.body_checks)
            denial = denial and await _after_a_wait(runtime, ctx, denial, is_over)
        if denial is None and runtime.waiting_room is not None:
            return await settled_in_turn(runtime, runtime.waiting_room, ctx, None, pauses(is_over))
        return await settled(runtime, ctx, denial)
    except Exception as error:  # noqa: BLE001 - as above
        return denial or not_settled(runtime, ctx, error)


async def _after_a_wait(
    runtime: Runtime, ctx: RequestContext, denial: Denial, is_over: Callable[[], bool]
) -> Denial | None:
    """The refusal in force of a subscription that had to wait for room. Clients begin all of theirs at once when they
    come back, and take a refusal for final; each that begins makes room within a moment."""
    concurrency = runtime.concurrency
    if concurrency is None or denial.code not in (CONCURRENCY_LIMIT, OVERLOADED) or not begins_subscription(ctx):
        return denial
    # Those who wait are bounded as those who subscribe.
    if (no_room := first_refusal(runtime, ctx, (runtime.subscription_room,))) is not None:
        return no_room
    looks = _LOOKS
    while looks and concurrency.has_room_soon(ctx):
        if concurrency.has_room(ctx):
            return first_refusal(runtime, ctx, (concurrency,))
        await asyncio.sleep(_LOOK_SECONDS)
        looks = 0 if is_over() else looks - 1
    concurrency.note(denial)
    return denial


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
        return await settled(runtime, ctx, denial)
    except Exception as error:  # noqa: BLE001 - as above
        return denial or not_settled(runtime, ctx, error)


async def settle(runtime: Runtime, ctx: RequestContext) -> Denial | None:
    """The refusal in force of a caller who was checked before. Never raises but for a cancellation."""
    try:
        if runtime.rules is not None:
            runtime.rules.narrow(ctx)
        return await settled(runtime, ctx, None)
    except Exception as error:  # noqa: BLE001 - as above
        return not_settled(runtime, ctx, error)


# --- head and caller --------------------------------------------------------------------------------------------------


def check_head(runtime: Runtime, ctx: RequestContext) -> Denial | None:
    """The refusal in force by what requests with the same head have in common."""
    if ctx.head is not None:
        return None
    denial = first_refusal(runtime, ctx, runtime.head_checks)
    if denial is None:
        runtime.head_cache.learn(ctx)
    return denial


async def check_identity(runtime: Runtime, ctx: RequestContext) -> Denial | None:
    """The refusal in force by who the caller is, and by what is known of them."""
    denial = _check_token(runtime, ctx)
    return denial if denial is not None else await _check_known_caller(runtime, ctx)


async def _check_known_caller(runtime: Runtime, ctx: RequestContext) -> Denial | None:
    """The refusal in force of a caller whose token, if there is one, was looked at."""
    if runtime.async_authentication is None and runtime.limit_keys is None:
        return _refused_a_moment_ago(runtime, ctx)
    return await _check_caller(runtime, ctx)


def _check_token(runtime: Runtime, ctx: RequestContext) -> Denial | None:
    head: CachedHead | None = ctx.head
    if runtime.token_check is None or (head is not None and head.anonymous):
        return None
    # What depends on credentials is decided every time.
    denial = first_refusal(runtime, ctx, (runtime.token_check,))
    if head is None and denial is None:
        runtime.head_cache.learn_anonymous(ctx)
    return denial


async def _check_caller(runtime: Runtime, ctx: RequestContext) -> Denial | None:
    """The refusal in force once others were asked who the caller is, and what limits count them by. They are not asked
    for a caller who is refused anyway."""
    others, keys = runtime.async_authentication, runtime.limit_keys
    if others is not None and ctx.keys_missing:
        denial = await _ask_others(runtime, ctx, others.fetch_keys(ctx))
        if denial is not None:
            return denial
    if keys is not None:
        await keys.assign(ctx)
    denial = _refused_a_moment_ago(runtime, ctx)
    if denial is not None or others is None:
        return denial
    identity = ctx.identity
    denial = await _ask_others(runtime, ctx, others.check_user(ctx))
    if keys is not None and denial is None and ctx.identity is not identity:
        await keys.assign(ctx)  # there is no user after all
    return denial


async def _ask_others(runtime: Runtime, ctx: RequestContext, answer: Awaitable[Denial | None]) -> Denial | None:
    """The refusal in force after the issuer's keys were fetched, or the app was asked about the user."""
    try:
        return apply_mode(runtime, ctx, await answer)
    except Exception as error:  # noqa: BLE001 - as above
        return unchecked(runtime, ctx, "identification", error, Protection.AUTH)


def _refused_a_moment_ago(runtime: Runtime, ctx: RequestContext) -> Denial | None:
    """The refusal of a caller whose bucket, as this process knows, is still empty: before a body is read."""
    if runtime.rules is not None and not ctx.socket:
        runtime.rules.narrow(ctx)
    refused_lately, keyed = runtime.admission.refused_lately, ctx.keyed
    lately = refused_lately(ctx.subject.key) or (keyed is not None and refused_lately(keyed.key))
    if not runtime.limits_rates or not lately:
        return None
    if runtime.waiting_room is not None and may_wait(runtime, runtime.waiting_room, ctx):
        return None
    denial = runtime.admission.remembered(ctx)
    ctx.repeated = denial is not None
    return denial


# --- upgrades ---------------------------------------------------------------------------------------------------------


async def check_upgrade(runtime: Runtime, ctx: RequestContext) -> Denial | None:
    """The refusal in force of an upgrade to a WebSocket, which has its head alone. As run_checks in all else."""
    denial = None
    try:
        # 1. By its head, and the token in it.
        denial = first_refusal(runtime, ctx, (*runtime.head_checks, *runtime.socket_checks))
        # 2. By what is known of the caller.
        if denial is None:
            denial = await _check_known_caller(runtime, ctx)
            if ctx.repeated:
                return denial
        # 3. By the room that is left. On GraphQL paths its first message tells more about the caller.
        if denial is None:
            unknown = Stage.OPENED if ctx.guarded else Stage.ANONYMOUS
            full = runtime.socket_room.take(ctx, unknown if ctx.identity is None else Stage.VERIFIED)
            denial = apply_mode(runtime, ctx, full)
        # 4. By the store.
        return await settled(runtime, ctx, denial)
    except Exception as error:  # noqa: BLE001 - as in run_checks
        return denial or not_settled(runtime, ctx, error)

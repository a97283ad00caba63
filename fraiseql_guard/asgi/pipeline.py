"""Runs a request through the checks, cheapest first, until one refuses:

1. the head: checks whose result all requests with the same head share (skipped if it is cached), and the token;
2. the caller: keys that must be fetched first, a refusal of a moment ago, whether the user still exists;
3. the body, and the operation that it asks for;
4. admission: one call to the store, which settles the bill or records the refusal.

"The refusal in force" is a Denial that is answered; in monitor mode a Denial is only noted, and the request goes on.
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
"""How often a subscription looks for room: for twenty seconds, since clients take its refusal for final. Later messages
of the same socket wait meanwhile."""


async def run_checks(
    runtime: Runtime, ctx: RequestContext, body: RequestBody | None = None, pause: Pause | None = None
) -> Denial | None:
    """Check an HTTP request: the refusal in force, None if it may pass.

    ``body`` is given where the body is measured, or bounded while the app reads it; ``pause`` where the request may
    wait for its turn. Raises nothing but a cancellation: a check that fails refuses the request, and a refusal that was
    found stands.
    """
    if ctx.actor or ctx.open_to_all:
        return None  # an operator, or a file of the console: neither an outage nor a block stops them
    denial = None
    try:
        # 1. The head.
        denial = check_head(runtime, ctx)
        # 2. The caller.
        if denial is None:
            denial = await check_identity(runtime, ctx)
            if ctx.repeated:
                return denial  # decided by the store before: its next call reports how often it was repeated
        # 3. The body.
        if body is not None:
            denial = await check_body(runtime, ctx, body, denial)
            denial = denial and await _wait_for_room(runtime, ctx, denial, body.look_for_end)
        # 4. Admission.
        if pause is not None and denial is None and runtime.waiting_room is not None:
            return await settled_in_turn(runtime, runtime.waiting_room, ctx, body, pause)
        return await settled(runtime, ctx, denial)
    except Exception as error:  # noqa: BLE001 - the stated failure policy: what was not checked does not pass
        return denial or not_settled(runtime, ctx, error)


async def check_operation(
    runtime: Runtime, ctx: RequestContext, denial: Denial | None = None, *, is_over: Callable[[], bool]
) -> Denial | None:
    """Check an operation that was sent over a socket, whose caller is known: the refusal in force, None if it may pass.

    ``denial`` is a refusal that was found before; ``is_over`` tells whether the socket has ended. Raises nothing but a
    cancellation.
    """
    try:
        denial = denial or _refused_a_moment_ago(runtime, ctx)
        if ctx.repeated:
            return denial
        denial = denial or await known_block(runtime, ctx)
        if denial is None:
            denial = first_refusal(runtime, ctx, runtime.body_checks)
            denial = denial and await _wait_for_room(runtime, ctx, denial, is_over)
        if denial is None and runtime.waiting_room is not None:
            return await settled_in_turn(runtime, runtime.waiting_room, ctx, None, pauses(is_over))
        return await settled(runtime, ctx, denial)
    except Exception as error:  # noqa: BLE001 - as above
        return denial or not_settled(runtime, ctx, error)


async def _wait_for_room(
    runtime: Runtime, ctx: RequestContext, denial: Denial, is_over: Callable[[], bool]
) -> Denial | None:
    """Let a subscription that was refused for want of room wait for it: the refusal in force afterwards; ``denial`` of
    anything else.

    Clients that reconnect begin all their subscriptions at once and take a refusal for final, and each subscription
    makes room for the next within a moment.
    """
    concurrency = runtime.concurrency
    if concurrency is None or denial.code not in (CONCURRENCY_LIMIT, OVERLOADED) or not begins_subscription(ctx):
        return denial
    # A subscription that waits takes a place among the open ones.
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
    """Check a caller who shows credentials and asks for nothing yet, as a socket's initialization does.

    ``judge`` is given what the checks found, and its refusal, or None, is what the store settles. Raises nothing but a
    cancellation.
    """
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
    """Charge a caller who was checked before: the refusal in force. Raises nothing but a cancellation."""
    try:
        if runtime.rules is not None:
            runtime.rules.narrow(ctx)
        return await settled(runtime, ctx, None)
    except Exception as error:  # noqa: BLE001 - as above
        return not_settled(runtime, ctx, error)


# --- head and caller --------------------------------------------------------------------------------------------------


def check_head(runtime: Runtime, ctx: RequestContext) -> Denial | None:
    """Run the checks that read the head alone, unless the head is cached: the refusal in force."""
    if ctx.head is not None:
        return None
    denial = first_refusal(runtime, ctx, runtime.head_checks)
    if denial is None:
        runtime.head_cache.learn(ctx)
    return denial


async def check_identity(runtime: Runtime, ctx: RequestContext) -> Denial | None:
    """Check the token, and what is known of the caller: the refusal in force."""
    denial = _check_token(runtime, ctx)
    return denial if denial is not None else await _check_known_caller(runtime, ctx)


async def _check_known_caller(runtime: Runtime, ctx: RequestContext) -> Denial | None:
    """Check a caller whose token, if there is one, was checked already: the refusal in force."""
    if runtime.async_authentication is None and runtime.limit_keys is None:
        return _refused_a_moment_ago(runtime, ctx)
    return await _ask_about_caller(runtime, ctx)


def _check_token(runtime: Runtime, ctx: RequestContext) -> Denial | None:
    """Check the token: the refusal in force. A cached head without credentials needs no check."""
    head: CachedHead | None = ctx.head
    if runtime.token_check is None or (head is not None and head.anonymous):
        return None
    # Credentials are checked with every request, and never cached with the head.
    denial = first_refusal(runtime, ctx, (runtime.token_check,))
    if head is None and denial is None:
        runtime.head_cache.learn_anonymous(ctx)
    return denial


async def _ask_about_caller(runtime: Runtime, ctx: RequestContext) -> Denial | None:
    """Fetch missing keys, find the key that limits count by, and ask the app about the user: the refusal in force. A
    caller who is refused anyway is not asked about."""
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
        await keys.assign(ctx)  # the app says that there is no such user
    return denial


async def _ask_others(runtime: Runtime, ctx: RequestContext, answer: Awaitable[Denial | None]) -> Denial | None:
    """The refusal in force after a source outside of the guard has answered: the issuer, or the app."""
    try:
        return apply_mode(runtime, ctx, await answer)
    except Exception as error:  # noqa: BLE001 - as above
        return unchecked(runtime, ctx, "identification", error, Protection.AUTH)


def _refused_a_moment_ago(runtime: Runtime, ctx: RequestContext) -> Denial | None:
    """The refusal of a caller whose bucket this process knows to be still empty, found before the body is read."""
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
    """Check the upgrade to a WebSocket, which has a head and no body; otherwise as :func:`run_checks`."""
    denial = None
    try:
        # 1. The head, and the token in it.
        denial = first_refusal(runtime, ctx, (*runtime.head_checks, *runtime.socket_checks))
        # 2. The caller.
        if denial is None:
            denial = await _check_known_caller(runtime, ctx)
            if ctx.repeated:
                return denial
        # 3. The room that is left for sockets. On GraphQL paths the first message tells more about the caller.
        if denial is None:
            unknown = Stage.OPENED if ctx.guarded else Stage.ANONYMOUS
            full = runtime.socket_room.take(ctx, unknown if ctx.identity is None else Stage.VERIFIED)
            denial = apply_mode(runtime, ctx, full)
        # 4. Admission.
        return await settled(runtime, ctx, denial)
    except Exception as error:  # noqa: BLE001 - as in run_checks
        return denial or not_settled(runtime, ctx, error)

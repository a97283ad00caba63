"""Lets requests wait for tokens instead of refusing them: a few of them, for a moment, each in its turn."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Final

from fraiseql_guard.asgi.decisions import first_refusal, settled
from fraiseql_guard.asgi.head_cache import announces_body
from fraiseql_guard.asgi.request_body import RequestBody
from fraiseql_guard.asgi.runtime import Runtime
from fraiseql_guard.asgi.waiting_room import Awaited, WaitingRoom
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.signals import RATE_LIMITED, WaitOutcome
from fraiseql_guard.stores.ledger import subject_of

_TRIES: Final = 5
"""Most times that the store is asked again: other requests may have taken the awaited token."""
_PAUSE: Final = 0.002
"""Seconds added to each wait, since a timer may ring a moment too soon."""
_LOOK_SECONDS: Final = 0.1

Pause = Callable[[float], Awaitable[bool]]
"""Waits for so many seconds, and returns True; False, at once, when the client has left."""


def may_wait(runtime: Runtime, room: WaitingRoom, ctx: RequestContext) -> bool:
    """Whether a request whose caller was refused a moment ago may wait for its turn, so that its body is read."""
    if ctx.socket or (not ctx.operation and announces_body(ctx)) or not room.has_place(ctx):
        return False
    wait = runtime.admission.known_wait(ctx)
    return wait is not None and wait <= room.seconds


async def settled_in_turn(
    runtime: Runtime, room: WaitingRoom, ctx: RequestContext, body: RequestBody | None, pause: Pause
) -> Denial | None:
    """The refusal in force of a request that no check has denied, once the store has settled its bill: at once, or
    after it has waited for its turn. One whose body is still to be read does not wait: it may bring any amount."""
    ends_at = time.monotonic() + room.seconds
    if body is not None and not body.complete:
        return await settled(runtime, ctx, None)
    if not room.has_place(ctx):
        return _without_place(room, await settled(runtime, ctx, None), ends_at)
    # 1. Ask the store, unless other requests of this caller wait for the same bucket.
    behind = _behind_others(runtime, room, ctx)
    if behind is not None and behind > ends_at:
        return await settled(runtime, ctx, None)
    due = behind or 0.0
    if behind is None:
        asked = await _asked(runtime, ctx, room.seconds)
        if asked is None or asked.code is not RATE_LIMITED or (due := _due(asked)) > ends_at:
            return asked
        # Others may have been told the same meanwhile.
        due = max(due, _behind_others(runtime, room, ctx) or 0.0)
        if due > ends_at:
            return asked
        if not room.has_place(ctx):
            return _without_place(room, asked, ends_at)
    # 2. Wait, without the slots that operations at work need.
    with room.place(ctx, _awaited(runtime, ctx, due)):
        denial, outcome = await _Turn(runtime, room, ctx, pause, ends_at).take(due)
    room.on_end(outcome)
    return denial


def _without_place(room: WaitingRoom, denial: Denial | None, ends_at: float) -> Denial | None:
    """Return ``denial``; if waiting would have helped, note first that the waiting room had no place."""
    if denial is not None and denial.code is RATE_LIMITED and _due(denial) <= ends_at:
        room.on_end(WaitOutcome.NO_PLACE)
    return denial


def _behind_others(runtime: Runtime, room: WaitingRoom, ctx: RequestContext) -> float | None:
    """When a request is due that has to stand behind others of its caller; None if none waits for its buckets."""
    if room.empty:
        return None
    dues = [
        sum(line[charge.key])
        for charge in runtime.admission.bills.of_passed(ctx)
        if charge.key in (line := room.line_of(subject_of(ctx, charge)))
    ]
    return max(dues, default=None)


class _Turn:
    """One request that waits."""

    def __init__(self, runtime: Runtime, room: WaitingRoom, ctx: RequestContext, pause: Pause, ends_at: float) -> None:
        self._runtime, self._room, self._ctx, self._pause, self._ends_at = runtime, room, ctx, pause, ends_at
        self._works = bool(ctx.concurrency_slots or ctx.subscription_slots)

    async def take(self, due: float) -> tuple[Denial | None, WaitOutcome]:
        """The refusal in force after the wait, and what became of it."""
        ctx, runtime = self._ctx, self._runtime
        for tries_left in reversed(range(_TRIES)):
            self._give_slots()
            if not await self._pause(max(0.0, due - time.monotonic())):
                ctx.left = True
                return Denial(RATE_LIMITED, retry_after_seconds=1.0), WaitOutcome.LEFT
            if (full := self._take_slots()) is not None:
                return await settled(runtime, ctx, full), WaitOutcome.REFUSED
            # What refuses it now is an offence, unless it waits on.
            patience = self._patience() if tries_left else 0.0
            ctx.unpaid, ctx.in_turn = False, True
            denial = await _asked(runtime, ctx, patience)
            if denial is None:
                return None, WaitOutcome.ADMITTED
            if denial.code is not RATE_LIMITED or (denial.retry_after_seconds or math.inf) > patience:
                break
            due = _due(denial)
        return denial, WaitOutcome.REFUSED

    def _patience(self) -> float:
        """How much longer it would wait, in eighths of the whole time: what the store is asked is kept, by its form."""
        eighth = self._room.seconds / 8
        return max(0.0, (self._ends_at - time.monotonic()) // eighth * eighth)

    def _give_slots(self) -> None:
        runtime, ctx = self._runtime, self._ctx
        if ctx.concurrency_slots and runtime.concurrency is not None:
            runtime.concurrency.release(ctx)
        if ctx.subscription_slots:
            runtime.subscription_room.release(ctx)
        ctx.express_seconds = None

    def _take_slots(self) -> Denial | None:
        runtime = self._runtime
        if not self._works or runtime.concurrency is None:
            return None
        return first_refusal(runtime, self._ctx, (runtime.concurrency, runtime.subscription_room))


async def _asked(runtime: Runtime, ctx: RequestContext, patience_seconds: float) -> Denial | None:
    ctx.patience_seconds = patience_seconds
    try:
        return await settled(runtime, ctx, None)
    finally:
        ctx.patience_seconds = 0.0


def _due(denial: Denial) -> float:
    wait = denial.retry_after_seconds
    return math.inf if wait is None else time.monotonic() + wait + _PAUSE


def _awaited(runtime: Runtime, ctx: RequestContext, due: float) -> Awaited:
    """What a request waits for that is due then."""
    buckets = ctx.buckets if ctx.unpaid else ()
    charges = [max(buckets, key=lambda bucket: bucket.retry_after_seconds).charge] if buckets else None
    charge = (charges or runtime.admission.bills.of_passed(ctx))[0]
    return Awaited(subject_of(ctx, charge), charge.key, due, charge.tokens / charge.rate)


def pauses(is_over: Callable[[], bool]) -> Pause:
    """The pause of an operation over a socket, which ends with the socket."""

    async def pause(seconds: float) -> bool:
        looks = math.ceil(seconds / _LOOK_SECONDS)
        for _ in range(looks):
            if is_over():
                return False
            await asyncio.sleep(seconds / looks)
        return not is_over()

    return pause

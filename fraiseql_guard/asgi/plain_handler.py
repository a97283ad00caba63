"""A request that is no GraphQL operation, with nothing to bound and nothing to time: decide, run the app, settle.

Most requests of an app are such (pages, files, probes, REST). What an exchange does beyond this is not done for them,
and costs them nothing.
"""

from __future__ import annotations

import time
from asyncio import get_running_loop
from collections.abc import Awaitable, Mapping
from typing import Any

from fraiseql_guard.asgi.app_refusals import plain_refusal
from fraiseql_guard.asgi.deadline import Deadline
from fraiseql_guard.asgi.describe import present_identity
from fraiseql_guard.asgi.finish import record_outcome, refuse, tell_outside, with_headers
from fraiseql_guard.asgi.head_cache import announces_body
from fraiseql_guard.asgi.pipeline import decide, readmit
from fraiseql_guard.asgi.request_body import DISCONNECT, MalformedMessageError, body_part
from fraiseql_guard.asgi.runtime import Runtime
from fraiseql_guard.core.context import Denial, RequestContext
from fraiseql_guard.core.request import enter, leave
from fraiseql_guard.core.signals import BODY_TIMEOUT, BODY_TOO_LARGE, GUARD_FAULT


def is_plain(runtime: Runtime, ctx: RequestContext) -> bool:
    """Whether a request asks for no more than this."""
    return not ctx.operation and not runtime.times_all and not (runtime.bounds_bodies and announces_body(ctx))


def _keep(runtime: Runtime, ctx: RequestContext, denial: Denial | None) -> None:
    """Of a request that passed without a token: its head alone decides what the next one like it asks of the store."""
    head = ctx.head
    if head is not None and denial is None and ctx.identity is None and b"authorization" not in ctx.headers:
        head.trip = runtime.admission.usual(ctx)


class Passage:
    """Carries the state of one such request. A body that no header has announced is bounded while the app reads it."""

    __slots__ = (
        "_began_at",
        "_body_complete",
        "_ctx",
        "_cut",
        "_receive",
        "_runtime",
        "_scope",
        "_send",
        "_settled",
        "complete",
    )

    def __init__(self, runtime: Runtime, receive: Any, send: Any, ctx: RequestContext) -> None:
        self._runtime = runtime
        self._receive = receive
        self._send = send
        self._ctx = ctx
        self._body_complete = False
        self._cut = False  # refused while the app was at work
        self._settled = False
        self.complete = False

    async def run(self, app: Any, scope: Any) -> None:
        """Answer the request."""
        runtime, ctx = self._runtime, self._ctx
        self._began_at, self._scope = time.monotonic(), scope
        try:
            head = ctx.head
            trip = None if head is None else head.trip
            if trip is not None and not runtime.admission.refused_lately(trip.subject.key):
                denial = await readmit(runtime, ctx, trip)
            else:
                denial = await decide(runtime, ctx)
                runtime.tell(_keep, runtime, ctx, denial)
            if denial is not None:
                await refuse(runtime, ctx, denial, self._send)
                return
            enter(scope, ctx)
            if runtime.authenticates:
                present_identity(scope, ctx.identity)
            if runtime.neighbours.active:
                self._scope = runtime.tell(runtime.neighbours.hand_down, scope, ctx) or scope
            await app(self._scope, self._bounded_receive, self._watched_send)
        except Exception:
            if not self._cut:  # else: how it ended plays no part, the client was answered
                ctx.status = ctx.status or 500  # the server answers what the app did not
                raise
        finally:
            leave(ctx)
            self._recorder()
            self._release()

    def _recorder(self) -> None:
        """The request has ended, with the last message of its answer or without one: it is accounted for, once. What
        the app does in the background is no part of it."""
        if self._settled:
            return
        self._settled = True
        self._release()
        runtime, ctx = self._runtime, self._ctx
        seconds = time.monotonic() - self._began_at
        looked_at = runtime.authenticates and self.complete and not ctx.refused_inside
        reason = plain_refusal(ctx) if looked_at else None
        runtime.tell(record_outcome, runtime, self._scope, ctx, seconds, reason)

    def _release(self) -> None:
        """Give back what the request took, and what its background tasks took since."""
        if self._ctx.attempts:
            self._runtime.lockouts.release(self._ctx)

    async def _bounded_receive(self) -> Any:
        """What the app receives: the body, then whatever the server sends; a disconnect after a refusal."""
        runtime, ctx = self._runtime, self._ctx
        if self._body_complete:
            return await self._receive()
        if not runtime.bounds_bodies:
            message = await self._receive()
            if isinstance(message, dict):
                self._note(message)
            return message
        loop, seconds = get_running_loop(), runtime.settings.body_idle_seconds
        deadline = Deadline(runtime.timers.of(loop), loop.time() + seconds)
        message = await deadline.bound(self._receive())
        if deadline.expired:
            return await self._refuse(Denial(BODY_TIMEOUT, limit=seconds))
        try:
            message = body_part(message) or DISCONNECT
        except MalformedMessageError as error:
            return await self._refuse(Denial(GUARD_FAULT, detail=str(error), retry_after_seconds=1.0))
        self._note(message)
        if ctx.request_bytes > (limit := runtime.settings.max_request_bytes):
            return await self._refuse(Denial(BODY_TOO_LARGE, limit=limit, actual=ctx.request_bytes))
        return message

    def _note(self, message: Mapping[str, Any]) -> None:
        """A message before the end of the body, or in its place."""
        body = message.get("body", b"")
        self._ctx.request_bytes += len(body) if isinstance(body, bytes | bytearray | memoryview) else 0
        self._body_complete = not message.get("more_body", False)

    async def _refuse(self, denial: Denial) -> Any:
        """Refuse in the app's place, if its answer is not complete, and end its reading. An answer that has begun is
        cut, not appended to."""
        runtime, ctx = self._runtime, self._ctx
        self._receive, self._body_complete = _gone, True
        if self.complete:
            return DISCONNECT
        begun, self._cut = ctx.status, True
        if begun:
            ctx.denial = denial
            tell_outside(ctx)
            runtime.tell(runtime.recorder.refused, ctx, denial)
        else:
            await refuse(runtime, ctx, denial, self._send)
        return DISCONNECT

    def _watched_send(self, message: Any) -> Awaitable[None]:
        if self._cut:
            return _nothing()  # the client has its answer already
        kind = message["type"]
        if kind == "http.response.start":
            self._ctx.status = message["status"]
            message = with_headers(self._runtime, self._ctx, message)
        elif kind == "http.response.body":
            self.complete = not message.get("more_body", False)
            if self.complete:
                self._ctx.ended_at = self._runtime.now()
            if self._ctx.method != "HEAD":  # servers leave out the body that an app may send all the same
                self._ctx.response_bytes += len(message.get("body", b""))
            if self.complete:
                return self._send_last(message)
        sending: Awaitable[None] = self._send(message)
        return sending

    async def _send_last(self, message: Any) -> None:
        await self._send(message)
        self._recorder()


async def _gone() -> Any:
    """What the server says after the client has left."""
    return DISCONNECT


async def _nothing() -> None:
    """What is left of a message that is not sent."""

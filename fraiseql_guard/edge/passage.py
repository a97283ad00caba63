"""A request that is no GraphQL operation, with nothing to bound and nothing to time: decide, run the app, settle.

Most requests of an app are such (pages, files, probes, REST). What an exchange does beyond this is not done for them,
and costs them nothing.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import Any, Final

from fraiseql_guard.context import Context, Denial
from fraiseql_guard.edge.app_refusals import plain_refusal
from fraiseql_guard.edge.describe import present_identity
from fraiseql_guard.edge.endings import leave_behind, refuse, with_headers
from fraiseql_guard.edge.gatekeeper import decide, readmit
from fraiseql_guard.edge.heads import announces_body
from fraiseql_guard.edge.stack import Stack
from fraiseql_guard.request import enter, leave

_FAILED: Final = 400


def is_plain(stack: Stack, ctx: Context) -> bool:
    """Whether a request asks for no more than this."""
    return not ctx.operation and not stack.times_all and not (stack.bounds_bodies and announces_body(ctx))


def _keep(stack: Stack, ctx: Context, denial: Denial | None) -> None:
    """Of a request that passed without a token: its head alone decides what the next one like it asks of the store."""
    head = ctx.head
    if head is not None and denial is None and ctx.identity is None and b"authorization" not in ctx.headers:
        head.trip = stack.admission.usual(ctx)
        if not stack.counts and head.tally is None:
            head.tally = stack.settle.tallies.of(ctx)


class Passage:
    """Carries the state of one such request."""

    __slots__ = ("_ctx", "_receive", "_send", "_stack", "complete")

    def __init__(self, stack: Stack, receive: Any, send: Any, ctx: Context) -> None:
        self._stack = stack
        self._receive = receive
        self._send = send
        self._ctx = ctx
        self.complete = False

    async def run(self, app: Any, scope: Any) -> None:
        """Answer the request."""
        stack, ctx = self._stack, self._ctx
        began_at, tally = time.monotonic(), None
        try:
            head = ctx.head
            trip = None if head is None else head.trip
            if head is not None and trip is not None and not stack.admission.refused_lately(trip.subject.key):
                denial, tally = await readmit(stack, ctx, trip), head.tally
            else:
                denial = await decide(stack, ctx)
                stack.tell(_keep, stack, ctx, denial)
            if denial is not None:
                await refuse(stack, ctx, denial, self._send)
                return
            enter(scope, ctx)
            if stack.authenticates:
                present_identity(scope, ctx.identity)
            has_body = announces_body(ctx) if head is None else head.has_body
            await app(scope, self._counted_receive if has_body else self._receive, self._watched_send)
        except Exception:
            ctx.status = ctx.status or 500  # the server answers what the app did not
            raise
        finally:
            leave(ctx)
            if ctx.attempts:
                stack.lockouts.release(ctx)
            seconds = time.monotonic() - began_at
            if tally is not None and 0 < ctx.status < _FAILED and not ctx.would_refuse:
                stack.tell(stack.settle.tallies.add, tally, seconds)
            else:
                looked_at = stack.authenticates and self.complete and not ctx.refused_inside
                reason = plain_refusal(ctx, stack.settings) if looked_at else None
                stack.tell(leave_behind, stack, scope, ctx, seconds, reason)

    async def _counted_receive(self) -> Any:
        message = await self._receive()
        self._ctx.request_bytes += len(message.get("body", b""))
        return message

    def _watched_send(self, message: Any) -> Awaitable[None]:
        kind = message["type"]
        if kind == "http.response.start":
            self._ctx.status = message["status"]
            message = with_headers(self._stack, self._ctx, message)
        elif kind == "http.response.body":
            self.complete = not message.get("more_body", False)
            if self._ctx.method != "HEAD":  # servers leave out the body that an app may send all the same
                self._ctx.response_bytes += len(message.get("body", b""))
        sending: Awaitable[None] = self._send(message)
        return sending

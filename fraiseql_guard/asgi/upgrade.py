"""The upgrade to a WebSocket: decided like a request, and accounted for once, when it is answered.

What passes over the socket afterwards is the app's own affair. Sockets on GraphQL paths are refused, because their
operations would pass unmeasured.
"""

from __future__ import annotations

import time
from typing import Any, Final

from fraiseql_guard.asgi.describe import present_identity
from fraiseql_guard.asgi.finish import record_outcome, refusal, tell_outside, with_headers
from fraiseql_guard.asgi.pipeline import decide
from fraiseql_guard.asgi.runtime import Runtime
from fraiseql_guard.core.context import Denial, RequestContext
from fraiseql_guard.core.request import enter, leave

_HTTP_ANSWER: Final = "websocket.http.response"
_POLICY_VIOLATION: Final = 1008
"""RFC 6455, section 7.4.1. Before the upgrade is accepted a server answers any close with 403 (ASGI)."""
_STATUS: Final = {"websocket.accept": 101, "websocket.close": 403}


class Upgrade:
    """Carries the state of one upgrade."""

    __slots__ = ("_began_at", "_ctx", "_runtime", "_scope", "_send")

    def __init__(self, runtime: Runtime, scope: Any, send: Any, ctx: RequestContext) -> None:
        self._runtime = runtime
        self._scope = scope
        self._send = send
        self._ctx = ctx
        self._began_at = time.monotonic()
        ctx.socket, ctx.operation = True, False

    async def run(self, app: Any, receive: Any) -> None:
        """Answer the upgrade, or leave it to the app."""
        runtime, ctx = self._runtime, self._ctx
        try:
            denial = await decide(runtime, ctx)
            if denial is not None:
                await self._refuse(denial)
                return
            enter(self._scope, ctx)
            if runtime.authenticates:
                present_identity(self._scope, ctx.identity)
            if runtime.neighbours.active:
                self._scope = runtime.tell(runtime.neighbours.hand_down, self._scope, ctx) or self._scope
            await app(self._scope, receive, self._watched_send)
        except Exception:
            self._answered(500)  # by the server: the app did not
            raise
        finally:
            leave(ctx)
            if ctx.attempts:
                runtime.lockouts.release(ctx)

    async def _refuse(self, denial: Denial) -> None:
        """Answer with a refusal over HTTP where the server can, else with a close before the upgrade."""
        runtime, ctx = self._runtime, self._ctx
        ctx.denial = denial
        tell_outside(ctx)
        runtime.tell(runtime.recorder.refused, ctx, denial)
        if _HTTP_ANSWER not in (self._scope.get("extensions") or {}):
            self._answered(_STATUS["websocket.close"])
            await self._send(
                {"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": denial.code.message[:120]}
            )
            return
        headers, body = refusal(runtime, ctx, denial)
        ctx.response_bytes = len(body)
        self._answered(denial.status)
        await self._send({"type": f"{_HTTP_ANSWER}.start", "status": denial.status, "headers": headers})
        await self._send({"type": f"{_HTTP_ANSWER}.body", "body": body})

    async def _watched_send(self, message: Any) -> None:
        """What the app sends; its answer to the upgrade carries our headers."""
        kind = message["type"]
        status = message["status"] if kind == f"{_HTTP_ANSWER}.start" else _STATUS.get(kind)
        if status is not None:
            self._answered(status)
            if kind != "websocket.close":
                message = with_headers(self._runtime, self._ctx, message)
        await self._send(message)

    def _answered(self, status: int) -> None:
        """Account for the upgrade, once: a socket may live for days."""
        if not self._ctx.status:
            self._ctx.status = status
            seconds = time.monotonic() - self._began_at
            self._runtime.tell(record_outcome, self._runtime, self._scope, self._ctx, seconds)

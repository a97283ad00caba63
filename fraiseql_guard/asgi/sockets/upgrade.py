"""Leads the upgrade to a WebSocket: checked like a request, and accounted for once, when it is answered.

What is said over the socket afterwards is led by a Conversation on GraphQL paths, and elsewhere passes through an
OtherSocket. How a refusal is answered decides what clients do next: to those of GraphQL over WebSockets an HTTP answer
is final, and a close with 4503 a reason to come back slower and slower.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fraiseql_guard.asgi.describe import present_anonymous, present_identity
from fraiseql_guard.asgi.finish import record_outcome, refusal, tell_outside, with_headers
from fraiseql_guard.asgi.pipeline import check_upgrade
from fraiseql_guard.asgi.runtime import Runtime
from fraiseql_guard.asgi.sockets import dialects
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.lru import Lru
from fraiseql_guard.core.request import enter, leave
from fraiseql_guard.core.signals import SUBPROTOCOL_NOT_ACCEPTED

if TYPE_CHECKING:
    from fraiseql_guard.asgi.sockets.conversation import Conversation, RuntimeHolder
    from fraiseql_guard.asgi.sockets.other import OtherSocket

_HTTP_ANSWER: Final = "websocket.http.response"
_POLICY_VIOLATION: Final = 1008
"""RFC 6455, section 7.4.1. Before the upgrade is accepted a server answers any close with 403 (ASGI)."""
_STATUS: Final = {"websocket.accept": 101, "websocket.close": 403}
_PASSES_BY_ITSELF: Final = frozenset({429, 503})
_LONGEST_REASON: Final = 120
"""RFC 6455, section 5.5: 125 bytes with the code."""


class HttpAnswers:
    """Says which refused upgrades are answered over HTTP: three in a second of each address (prefix of IPv6).

    uvicorn writes an ERROR line of its own about each, with which no flood should fill a disk. ``clock`` counts
    seconds.
    """

    _MOST: Final = 3
    _REMEMBERED: Final = 1_000

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._given: Lru[str, tuple[int, int]] = Lru(self._REMEMBERED)

    def take(self, address: str) -> bool:
        """Whether there is one left for this address; it is taken."""
        second = int(self._clock())
        since, count = self._given.look(address) or (second, 0)
        count = count + 1 if since == second else 1
        self._given.put(address, (second, count))
        return count <= self._MOST


class Upgrade:
    """Carries the state of one upgrade. It lives as long as the socket, and keeps no Runtime, which may be replaced."""

    __slots__ = (
        "_answers",
        "_began_at",
        "_broken_off",
        "_chosen",
        "_ctx",
        "_dispatcher",
        "_scope",
        "_send",
    )

    def __init__(
        self, dispatcher: RuntimeHolder, answers: HttpAnswers, scope: Scope, send: Send, ctx: RequestContext
    ) -> None:
        self._dispatcher = dispatcher
        self._answers = answers
        self._scope = scope
        self._send = send
        self._ctx = ctx
        self._chosen: str | None = None
        self._broken_off = False
        self._began_at = time.monotonic()
        ctx.socket, ctx.operation = True, False
        ctx.secure = scope.get("scheme") == "wss"
        ctx.subprotocols = tuple(scope.get("subprotocols") or ())

    async def run(self, app: ASGIApp, receive: Receive) -> None:
        """Answer the upgrade, or leave it to the app."""
        ctx = self._ctx
        try:
            denial = await check_upgrade(self._runtime, ctx)
            ctx.token_pending = False
            if denial is not None:
                await self._refuse(denial, receive)
                return
            async with self._lead(app, receive) as socket:
                await socket.serve()
        except Exception:
            self._answered(500)  # by the server: the app did not
            raise
        finally:
            leave(ctx)
            self._runtime.socket_room.release(ctx)
            if ctx.attempts:
                self._runtime.lockouts.release(ctx)

    @property
    def _runtime(self) -> Runtime:
        return self._dispatcher.runtime

    # --- let pass -----------------------------------------------------------------------------------------------------

    def _lead(self, app: ASGIApp, receive: Receive) -> Conversation | OtherSocket:
        """What stays between the client and the app."""
        runtime, ctx = self._runtime, self._ctx
        dialect = dialects.of(ctx.subprotocol) if runtime.reads_sockets else None
        if dialect is not None:  # the app cannot choose another
            self._chosen = dialect.subprotocol
            self._scope["subprotocols"] = [self._chosen]
        enter(self._scope, ctx)
        if runtime.authenticates:
            present_identity(self._scope, ctx.identity)
        elif runtime.shows_anonymous:
            present_anonymous(self._scope)
        if runtime.neighbours.active:
            self._scope = runtime.tell(runtime.neighbours.hand_down, self._scope, ctx) or self._scope
        dispatcher, scope, send = self._dispatcher, self._scope, self._watched_send
        # What follows a socket is loaded with the first one: most guards never see any.
        if dialect is None:
            from fraiseql_guard.asgi.sockets.other import OtherSocket

            return OtherSocket(dispatcher, app, scope, receive, send, ctx)
        from fraiseql_guard.asgi.sockets.conversation import Conversation

        return Conversation(dispatcher, app, scope, receive, send, ctx, dialect)

    def _watched_send(self, message: Message) -> Awaitable[None]:
        """What the app sends; its answer to the upgrade carries our headers."""
        if self._broken_off:
            return _nothing()
        return self._send(message) if self._ctx.status else self._answer(message)

    async def _answer(self, message: Message) -> None:
        kind = message["type"]
        status = message["status"] if kind == f"{_HTTP_ANSWER}.start" else _STATUS.get(kind)
        if status is not None:
            self._answered(status)
            if kind != "websocket.close":
                message = with_headers(self._runtime, self._ctx, message)
        if kind == "websocket.accept" and self._chosen not in (None, message.get("subprotocol")):
            await self._break_off(message)
        else:
            await self._send(message)

    async def _break_off(self, accept: Message) -> None:
        """The app speaks something else than was chosen: what it says cannot be read."""
        self._runtime.recorder.warn(
            f"The app on {self._ctx.endpoint} accepts a WebSocket that offers {self._chosen} and answers "
            f"{accept.get('subprotocol')!r}: it is closed. Have the app accept {self._chosen}"
        )
        await self._send({**accept, "subprotocol": self._chosen})
        self._broken_off = True
        await self._send(
            {"type": "websocket.close", "code": dialects.NOT_ACCEPTABLE, "reason": SUBPROTOCOL_NOT_ACCEPTED.name}
        )

    # --- refuse -------------------------------------------------------------------------------------------------------

    async def _refuse(self, denial: Denial, receive: Receive) -> None:
        """Answer in the app's place, in the form that has clients do what helps them."""
        runtime, ctx = self._runtime, self._ctx
        ctx.denial = denial
        tell_outside(ctx)
        runtime.tell(runtime.recorder.refused, ctx, denial)
        over_http = _HTTP_ANSWER in (self._scope.get("extensions") or {})
        if ctx.subprotocol and denial.status in _PASSES_BY_ITSELF:
            await self._refuse_for_now(denial, receive)
        elif over_http and self._answers.take(ctx.address_subject.name):
            await self._refuse_over_http(denial)
        else:
            self._answered(_STATUS["websocket.close"])
            reason = denial.code.message[:_LONGEST_REASON]
            await self._send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": reason})

    async def _refuse_for_now(self, denial: Denial, receive: Receive) -> None:
        self._answered(denial.status)
        if (await receive())["type"] != "websocket.connect":
            return  # the client has left
        accept = {"type": "websocket.accept", "subprotocol": self._ctx.subprotocol, "headers": []}
        with suppress(Exception):  # it may leave at any time, which servers tell in different ways
            await self._send(with_headers(self._runtime, self._ctx, accept))
            await self._send({"type": "websocket.close", "code": dialects.UNAVAILABLE, "reason": denial.code.name})

    async def _refuse_over_http(self, denial: Denial) -> None:
        headers, body = refusal(self._runtime, self._ctx, denial)
        self._ctx.response_bytes = len(body)
        self._answered(denial.status)
        await self._send({"type": f"{_HTTP_ANSWER}.start", "status": denial.status, "headers": headers})
        await self._send({"type": f"{_HTTP_ANSWER}.body", "body": body})

    def _answered(self, status: int) -> None:
        """Account for the upgrade, once: a socket may live for days, and its caller become another."""
        if self._ctx.status:
            return
        self._ctx.status = status
        seconds, runtime = time.monotonic() - self._began_at, self._runtime
        runtime.tell(record_outcome, runtime, self._scope, self._ctx, seconds)
        runtime.tell(runtime.recorder.flush)


async def _nothing() -> None:
    """What is left of a message that is not sent."""

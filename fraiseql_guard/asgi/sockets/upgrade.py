"""Handles the upgrade to a WebSocket: checks it like a request, and records it once, when it is answered.

Afterwards a Conversation handles the socket's messages on GraphQL paths, and an OtherSocket passes them on elsewhere.
The form of a refusal decides what clients do next: GraphQL clients take an HTTP answer for final, and after a close
with 4503 they come back slower and slower.
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
    """Limits the refused upgrades that are answered over HTTP: three a second for each address (or IPv6 prefix).

    uvicorn writes an ERROR line about each, and a flood should not fill a disk with them. ``clock`` counts seconds.
    """

    _MOST: Final = 3
    _REMEMBERED: Final = 1_000

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._given: Lru[str, tuple[int, int]] = Lru(self._REMEMBERED)

    def take(self, address: str) -> bool:
        """Take one of the address's HTTP answers; False if none is left."""
        second = int(self._clock())
        since, count = self._given.look(address) or (second, 0)
        count = count + 1 if since == second else 1
        self._given.put(address, (second, count))
        return count <= self._MOST


class Upgrade:
    """The state of one upgrade. Lives as long as the socket, so it must not keep the Runtime, which may be replaced."""

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
        """Refuse the upgrade, or run the app on the socket."""
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
            self._answered(500)  # the server answers what the app did not
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
        """The part that stands between client and app for the life of the socket."""
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
        # These modules are loaded with the first socket: most guards never see one.
        if dialect is None:
            from fraiseql_guard.asgi.sockets.other import OtherSocket

            return OtherSocket(dispatcher, app, scope, receive, send, ctx)
        from fraiseql_guard.asgi.sockets.conversation import Conversation

        return Conversation(dispatcher, app, scope, receive, send, ctx, dialect)

    def _watched_send(self, message: Message) -> Awaitable[None]:
        """The app's ``send``, which adds the guard's headers to the answer to the upgrade."""
        if self._broken_off:
            return _drop_message()
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
        """End a socket whose app has accepted another subprotocol than the chosen one: its messages cannot be read."""
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
        """Refuse the upgrade in the app's place, in the form that makes clients react rightly: over HTTP, or with a
        close."""
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
        with suppress(Exception):  # the client may leave at any time, and servers raise different exceptions then
            await self._send(with_headers(self._runtime, self._ctx, accept))
            await self._send({"type": "websocket.close", "code": dialects.UNAVAILABLE, "reason": denial.code.name})

    async def _refuse_over_http(self, denial: Denial) -> None:
        headers, body = refusal(self._runtime, self._ctx, denial)
        self._ctx.response_bytes = len(body)
        self._answered(denial.status)
        await self._send({"type": f"{_HTTP_ANSWER}.start", "status": denial.status, "headers": headers})
        await self._send({"type": f"{_HTTP_ANSWER}.body", "body": body})

    def _answered(self, status: int) -> None:
        """Record the upgrade, once, when it is answered: a socket may live for days, and its caller may change."""
        if self._ctx.status:
            return
        self._ctx.status = status
        seconds, runtime = time.monotonic() - self._began_at, self._runtime
        runtime.tell(record_outcome, runtime, self._scope, self._ctx, seconds)
        runtime.tell(runtime.recorder.flush)


async def _drop_message() -> None:
    """Stands in for the send of a message that is dropped."""

"""Handles one GraphQL WebSocket, from the decision about its upgrade to its end.

The client's messages are checked one by one inside the app's ``receive``, so that tasks which the app starts for an
operation inherit the operation's context. The app's messages are followed in its ``send``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from typing import Final, Self

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fraiseql_guard.asgi.sockets.dialects import Dialect
from fraiseql_guard.asgi.sockets.inbound import Inbound
from fraiseql_guard.asgi.sockets.inbox import Inbox
from fraiseql_guard.asgi.sockets.initialization import Initialization
from fraiseql_guard.asgi.sockets.link import Link, Phase, RuntimeHolder
from fraiseql_guard.asgi.sockets.operations import Operations
from fraiseql_guard.asgi.sockets.outbound import Outbound
from fraiseql_guard.asgi.sockets.pulse import Pulse
from fraiseql_guard.asgi.sockets.registry import Ending
from fraiseql_guard.asgi.sockets.served_app import STEP_SECONDS, ServedApp
from fraiseql_guard.asgi.sockets.stops import Stops
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.live_facts import LiveFacts
from fraiseql_guard.telemetry.recorder.sockets import SocketLife

_SHOWN_OPERATIONS: Final = 20

__all__ = ["Conversation", "RuntimeHolder"]


class Conversation:
    """One socket whose upgrade was let pass; it also passes on the app's answer to the upgrade.

    Call :meth:`serve` within ``async with``. ``scope`` offers the dialect as the only subprotocol; ``receive`` has
    still to return the ``websocket.connect``.
    """

    __slots__ = ("_app", "_inbound", "_inbox", "_initialization", "_link", "_operations", "_outbound", "_pulse",
                 "_reader", "_served", "_stops", "ctx")  # fmt: skip

    def __init__(
        self,
        dispatcher: RuntimeHolder,
        app: ASGIApp,
        scope: Scope,
        receive: Receive,
        send: Send,
        ctx: RequestContext,
        dialect: Dialect,
    ) -> None:
        self.ctx = ctx
        self._app = app
        self._link = link = Link(dispatcher, scope, send, ctx, dialect)
        link.observer = self
        self._inbox = inbox = Inbox(link, receive)
        self._operations = operations = Operations(link)
        self._outbound = outbound = Outbound(link, operations)
        self._served = ServedApp(link)
        self._initialization = Initialization(link, self)
        self._pulse = Pulse(link, operations)
        self._stops = Stops(link, inbox, operations, self._served)
        self._inbound = Inbound(link, inbox, operations, outbound, self._initialization, self._pulse, self._stops)

    async def __aenter__(self) -> Self:
        self._reader = self._link.loop.create_task(self._inbox.read())
        self._initialization.show()
        self._served.begin()
        return self

    def serve(self) -> Awaitable[None]:
        """Run the app on the socket. Awaited within ``async with``."""
        return self._app(self._link.scope, self._inbound.receive, self._send)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        link = self._link
        settled = self._served.returned(kind)
        try:
            if settled:
                await self._served.leave()
        finally:
            try:
                await link.closed()
                if link.opened_at is not None and link.phase is Phase.OVER:
                    # A server may not end a closed connection before the client's messages were read.
                    await asyncio.wait([self._reader], timeout=STEP_SECONDS)
            finally:
                self._reader.cancel()
                self._finish()
        return settled

    # --- what the app says -------------------------------------------------------------------------------------------

    async def _send(self, message: Message) -> None:
        """The app's ``send``: follow a message, and pass it on to the client."""
        link, kind = self._link, message["type"]
        if link.phase is Phase.OVER:
            if kind == "websocket.send":
                self._stops.follow_unsent(message)
            return
        if kind == "websocket.send":
            ended = await self._outbound.says(message)
            if ended is not None:
                self._stops.stop(ended)  # not every app stops by itself
        elif kind == "websocket.accept":
            await link.send(message)
            self._opened()
        elif kind == "websocket.close":
            code = self._outbound.closing_code(message)
            await link.send({**message, "code": code} if link.opened_at is not None else message)
            link.app_closed(code)
            self._inbox.discard()
        else:
            await link.send(message)

    def _opened(self) -> None:
        link, runtime = self._link, self._link.runtime
        if link.client_gone:
            return
        link.opened_at = time.monotonic()
        runtime.live.add(self)
        if self._recorded:
            runtime.tell(runtime.recorder.sockets.opened, self.ctx, link.dialect.protocol)
        self.ctx.drop_headers()
        link.advance(Phase.OPEN)
        self._inbox.open()

    @property
    def _recorded(self) -> bool:
        """Whether this guard records the socket: no outer guard records it in the same metrics."""
        return "answer" not in self.ctx.told_outside

    # --- the end -----------------------------------------------------------------------------------------------------

    def end(self, ending: Ending) -> None:
        """Begin to end the socket (LiveConnection)."""
        self._link.end(ending)

    def advanced(self) -> None:
        """The socket has reached another phase (LinkObserver)."""
        self._pulse.advanced()
        self._inbox.wake()

    def over(self, message: Message) -> None:
        """The client cannot be reached any more. The app receives ``message`` once no mutation is at work
        (LinkObserver)."""
        self._pulse.stop()
        self._inbox.discard()
        self._stops.client_gone(message)

    def _finish(self) -> None:
        """Give back everything that the socket holds, and record its life."""
        link, runtime = self._link, self._link.runtime
        self._served.forget()
        self._pulse.stop()
        self._stops.close()
        link.hush()
        runtime.tell(self._operations.end_all)
        runtime.live.remove(self)
        runtime.socket_room.release(self.ctx)
        if link.opened_at is None or not self._recorded:
            return
        life = SocketLife(
            closing_code=link.closing_code,
            reason=link.reason,
            seconds=link.age_seconds,
            operations=self._operations.total,
            events=self._operations.events,
            received_bytes=self._inbound.received_bytes,
            sent_bytes=link.sent_bytes,
        )
        runtime.tell(runtime.recorder.sockets.closed, self.ctx, link.dialect.protocol, life)

    # --- what operators see ------------------------------------------------------------------------------------------

    @property
    def credentials(self) -> Sequence[str]:
        """The credentials by which its user was verified (LiveConnection)."""
        return self.ctx.credentials

    def facts(self) -> LiveFacts:
        """The facts that operators see of the socket (LiveConnection)."""
        ctx, operations = self.ctx, self._operations
        return LiveFacts(
            id=ctx.request_id,
            protocol=self._link.dialect.protocol.value,
            user_id=ctx.user_id,
            ip_address=ctx.address,
            age_seconds=self._link.age_seconds,
            endpoint=ctx.endpoint,
            operations=operations.facts(_SHOWN_OPERATIONS),
            operations_open=len(operations),
            messages=self._inbound.messages,
            events=operations.events,
            waiting_bytes=self._inbox.waiting_bytes,
        )

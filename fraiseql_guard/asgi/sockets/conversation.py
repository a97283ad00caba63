"""Leads all that is said over a GraphQL WebSocket, from the moment its upgrade was decided to its end."""

from __future__ import annotations

import time
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fraiseql_guard.asgi.runtime import Runtime
from fraiseql_guard.asgi.sockets import dialects
from fraiseql_guard.asgi.sockets.dialects import Dialect
from fraiseql_guard.asgi.sockets.registry import Ending
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.signals import ClosingReason
from fraiseql_guard.telemetry.recorder.sockets import SocketLife


class RuntimeHolder(Protocol):
    """Has the runtime in force, which is replaced with every change of the settings."""

    @property
    def runtime(self) -> Runtime:
        """That of this moment: a socket lives for days, and keeps none."""
        ...


class Conversation:
    """One socket whose upgrade was let pass. The app's answer to the upgrade goes through here, too.

    ``scope`` names the dialect alone as its subprotocol; ``receive`` still has the ``websocket.connect``.
    """

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
        self._dispatcher = dispatcher
        self._app = app
        self._scope = scope
        self._receive_raw = receive
        self._send_raw = send
        self._dialect = dialect
        self._opened_at: float | None = None
        self._closing_code = dialects.NORMAL
        self._reason = ClosingReason.CLIENT
        self.ctx = ctx

    async def run(self) -> None:
        """Have the app serve the socket, until both are done with it."""
        try:
            await self._app(self._scope, self._receive, self._send)
        finally:
            self._closed()

    def end(self, ending: Ending) -> None:
        """Begin to end the socket (LiveConnection)."""

    async def _receive(self) -> Message:
        message = await self._receive_raw()
        if message["type"] == "websocket.disconnect":
            self._closing_code = message.get("code") or dialects.NORMAL
        return message

    async def _send(self, message: Message) -> None:
        await self._send_raw(message)
        if message["type"] == "websocket.accept":
            self._opened()
        elif message["type"] == "websocket.close":
            self._reason, self._closing_code = ClosingReason.APP, message.get("code", dialects.NORMAL)

    def _opened(self) -> None:
        runtime = self._dispatcher.runtime
        self._opened_at = time.monotonic()
        runtime.live.add(self)
        runtime.tell(runtime.recorder.sockets.opened, self.ctx, self._dialect.protocol)

    def _closed(self) -> None:
        runtime = self._dispatcher.runtime
        runtime.live.remove(self)
        runtime.socket_room.release(self.ctx)
        if self._opened_at is None:
            return
        seconds = time.monotonic() - self._opened_at
        life = SocketLife(closing_code=self._closing_code, reason=self._reason, seconds=seconds)
        runtime.tell(runtime.recorder.sockets.closed, self.ctx, self._dialect.protocol, life)

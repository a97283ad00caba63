"""A WebSocket that carries something else than GraphQL: its messages pass unread, and it can be ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import Any, Final, Self

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fraiseql_guard.asgi.sockets.conversation import RuntimeHolder
from fraiseql_guard.asgi.sockets.registry import TOKEN_OVER, USER_GONE, Ending
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.live_facts import LiveFacts
from fraiseql_guard.core.signals import ClosingReason, SocketProtocol
from fraiseql_guard.telemetry.recorder.sockets import SocketLife

_STEP_SECONDS: Final = 1.0
"""How long each step of an end may take: the close frame, and then the app's own end."""
_UNKNOWN: Final = 1005
"""Closing code where none was told (RFC 6455, section 7.4.1)."""
_LOST: Final = 1006
"""Closing code of a connection that ended without one."""
_NORMAL: Final = 1000
_OF_TOKENS: Final = (TOKEN_OVER, USER_GONE)


class OtherSocket:
    """One socket whose upgrade was let pass (LiveConnection).

    It keeps no Runtime, which may be replaced while it lives.
    """

    def __init__(
        self, dispatcher: RuntimeHolder, app: ASGIApp, scope: Scope, receive: Receive, send: Send, ctx: RequestContext
    ) -> None:
        self._dispatcher = dispatcher
        self._app = app
        self._scope = scope
        self._receive_raw = receive
        self._send_raw = send
        self._opened_at: float | None = None
        self._received_bytes = self._sent_bytes = 0
        self._closing_code = _LOST
        self._reason: ClosingReason | None = None  # as long as no side has ended it
        self._ended = asyncio.Event()
        self._ending: Ending | None = None
        self._closer: asyncio.Task[None] | None = None
        self._app_task: asyncio.Task[Any] | None = None
        self._receiver: asyncio.Task[Any] | None = None  # the task that waits for a message
        self._disconnect: Message | None = None  # what the app receives instead of any further message
        self._stopped = False
        self.ctx = ctx

    async def __aenter__(self) -> Self:
        self._app_task = asyncio.current_task()
        return self

    def serve(self) -> Awaitable[None]:
        """The app's work on the socket: awaited within ``async with``."""
        return self._app(self._scope, self._receive, self._send)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        self._ended.set()
        self._record_end()
        if kind is not asyncio.CancelledError or not self._stopped or self._app_task is None:
            return False
        self._app_task.uncancel()
        return True

    # --- messages -----------------------------------------------------------------------------------------------------

    async def _receive(self) -> Message:
        if self._disconnect is not None:
            return self._disconnect
        self._receiver = asyncio.current_task()
        try:
            message = await self._receive_raw()
        except asyncio.CancelledError:
            receiver = self._receiver
            if self._disconnect is None or receiver is None or self._stopped:
                raise
            receiver.uncancel()
            return self._disconnect
        finally:
            self._receiver = None
        if message["type"] == "websocket.receive":
            self._received_bytes += _length(message)
        elif message["type"] == "websocket.disconnect":
            return self._left(message)
        return message

    def _left(self, message: Message) -> Message:
        """The client has left, or has answered our close: what the app is told, now and whenever it asks again."""
        if self._ending is not None:
            message = _disconnect(self._ending)  # servers tell different codes
        elif self._reason is None:
            self._reason, self._closing_code = ClosingReason.CLIENT, message.get("code") or _UNKNOWN
        self._disconnect = message
        return message

    def _send(self, message: Message) -> Awaitable[None]:
        if self._ending is not None:
            return _nothing()  # the client has its answer
        kind = message["type"]
        if kind == "websocket.send":
            self._sent_bytes += _length(message)
        elif kind == "websocket.accept":
            return self._accept(message)
        elif kind == "websocket.close" and self._reason is None:
            self._reason, self._closing_code = ClosingReason.APP, message.get("code", _NORMAL)
        return self._send_raw(message)

    async def _accept(self, message: Message) -> None:
        await self._send_raw(message)
        runtime = self._dispatcher.runtime
        self._opened_at = time.monotonic()
        runtime.tell(runtime.live.add, self)
        if self._recorded:
            runtime.tell(runtime.recorder.sockets.opened, self.ctx, SocketProtocol.OTHER)

    @property
    def _recorded(self) -> bool:
        """Whether no guard further outside records it in the same metrics."""
        return "answer" not in self.ctx.told_outside

    # --- the end ------------------------------------------------------------------------------------------------------

    def end(self, ending: Ending) -> None:
        """Begin to end it (LiveConnection). Where no token is needed, what becomes of one changes nothing."""
        if self._ending is not None or self._ended.is_set():
            return
        if ending in _OF_TOKENS and not self.ctx.place.needs_token:
            return
        self._ending = ending
        self._closer = asyncio.get_running_loop().create_task(self._close(ending))

    async def _close(self, ending: Ending) -> None:
        """The client first, then the app: a server ends the connection as soon as the app returns."""
        code, told = ending.closing_code, ending.told
        self._reason, self._closing_code = ending.reason, code
        with suppress(Exception):  # that the client has left, or does not read
            async with asyncio.timeout(_STEP_SECONDS):
                await self._send_raw({"type": "websocket.close", "code": code, "reason": told})
        self._disconnect = _disconnect(ending)
        if self._receiver is not None:
            self._receiver.cancel()  # it returns the disconnect
        try:
            async with asyncio.timeout(_STEP_SECONDS):
                await self._ended.wait()
        except TimeoutError:
            if self._app_task is not None and not self._ended.is_set():
                self._stopped = True
                self._app_task.cancel()

    def _record_end(self) -> None:
        if self._opened_at is None:
            return
        runtime = self._dispatcher.runtime
        runtime.tell(runtime.live.remove, self)
        if not self._recorded:
            return
        life = SocketLife(
            closing_code=self._closing_code,
            reason=self._reason or ClosingReason.APP,
            seconds=time.monotonic() - self._opened_at,
            received_bytes=self._received_bytes,
            sent_bytes=self._sent_bytes,
        )
        runtime.tell(runtime.recorder.sockets.closed, self.ctx, SocketProtocol.OTHER, life)

    # --- what operators see -------------------------------------------------------------------------------------------

    @property
    def credentials(self) -> Sequence[str]:
        """What its identity was verified by (LiveConnection)."""
        return self.ctx.credentials

    def facts(self) -> LiveFacts:
        """What an operator sees of it (LiveConnection)."""
        ctx = self.ctx
        return LiveFacts(
            id=ctx.request_id,
            protocol=SocketProtocol.OTHER.value,
            user_id=ctx.user_id,
            ip_address=ctx.address,
            age_seconds=0.0 if self._opened_at is None else time.monotonic() - self._opened_at,
            endpoint=ctx.endpoint,
        )


def _disconnect(ending: Ending) -> Message:
    return {"type": "websocket.disconnect", "code": ending.closing_code, "reason": ending.told}


def _length(message: Message) -> int:
    """Bytes of a message's content; of its two keys servers may leave out one, or set it to None."""
    text = message.get("text")
    if text is None:
        return len(message.get("bytes") or b"")
    return len(text) if text.isascii() else len(text.encode())


async def _nothing() -> None:
    """What is left of a message that is not sent."""

"""The state of one socket that the parts of a Conversation share: its phase, its ``send``, and its closing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import IntEnum
from typing import Final, Protocol

from starlette.types import Message, Scope, Send

from fraiseql_guard.asgi.decisions import apply_mode
from fraiseql_guard.asgi.finish import record_outcome, tell_outside
from fraiseql_guard.asgi.runtime import Runtime
from fraiseql_guard.asgi.sockets import dialects
from fraiseql_guard.asgi.sockets.dialects import Dialect
from fraiseql_guard.asgi.sockets.registry import Ending
from fraiseql_guard.asgi.sockets.send_watch import SendWatch
from fraiseql_guard.core.context import RequestContext, first_lines
from fraiseql_guard.core.deadline_timers import DeadlineTimers
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.signals import OVERLOADED, SLOW_CONSUMER, ClosingReason
from fraiseql_guard.telemetry.trace import request_id

CLOSE_SECONDS: Final = 1.0
"""Longest wait for a close frame to be sent."""
_LONGEST_REASON: Final = 120
"""RFC 6455, section 5.5: 125 bytes with the code."""
_NOT_SENT: Final = frozenset(
    {b"connection", b"content-encoding", b"content-length", b"content-type", b"transfer-encoding", b"upgrade"}
)
"""Headers of an upgrade that do not apply to the messages after it."""
FULL: Final = Ending(ClosingReason.OVERLOAD, OVERLOADED, OVERLOADED.name, dialects.UNAVAILABLE)
"""The end of a socket for whose messages or operations there is no room."""
_SLOW: Final = Ending(ClosingReason.SLOW_CONSUMER, SLOW_CONSUMER, SLOW_CONSUMER.name, dialects.UNAVAILABLE)


class RuntimeHolder(Protocol):
    """Gives the runtime in force, which every change of the settings replaces."""

    @property
    def runtime(self) -> Runtime:
        """The runtime in force now. A socket lives for days, and must not keep it."""
        ...


class Phase(IntEnum):
    """The phases of a socket, in order."""

    CONNECTING = 0
    OPEN = 1  # accepted
    INITIALIZED = 2  # its caller is known, and the app has received the initialization
    READY = 3  # the app has acknowledged the initialization
    OVER = 4


class LinkObserver(Protocol):
    """Is told of the phases of a socket."""

    def advanced(self) -> None:
        """The socket has reached another phase."""
        ...

    def over(self, message: Message) -> None:
        """The client cannot be reached any more; ``message`` is the end that the app is to receive. Called once."""
        ...


class Link:
    """One socket. Set ``observer`` before anything is sent over it."""

    __slots__ = ("_head", "_holder", "_saying", "_send_raw", "_sends", "_sent_with", "client_gone", "closer",
                 "closing_code", "ctx", "dialect", "ending", "loop", "observer", "opened_at", "phase", "reason",
                 "scope", "sent_bytes", "timers")  # fmt: skip

    observer: LinkObserver

    def __init__(self, holder: RuntimeHolder, scope: Scope, send: Send, ctx: RequestContext, dialect: Dialect) -> None:
        self._holder = holder
        self._send_raw = send
        self.scope = scope
        self.ctx = ctx
        self.dialect = dialect
        self.phase = Phase.CONNECTING
        self.loop = asyncio.get_running_loop()
        self.timers: DeadlineTimers = holder.runtime.timers.of(self.loop)
        self.opened_at: float | None = None
        self.client_gone = False
        self.ending: Ending | None = None
        self.closing_code, self.reason = dialects.NORMAL, ClosingReason.APP
        self.closer: asyncio.Task[None] | None = None
        self._sends: SendWatch = holder.runtime.sends.of(self.loop)
        self._saying: tuple[asyncio.Task[None], ...] = ()
        self.sent_bytes = 0
        self._head = ctx.header_lines
        self._sent_with: tuple[Sequence[tuple[bytes, bytes]], Mapping[bytes, bytes]] | None = None

    @property
    def runtime(self) -> Runtime:
        """The runtime in force now."""
        return self._holder.runtime

    def advance(self, phase: Phase) -> None:
        """Go on to a later phase."""
        if self.phase is not Phase.OVER:
            self.phase = phase
            self.observer.advanced()

    # --- what is sent over it ----------------------------------------------------------------------------------------

    def use_head(self, lines: Sequence[tuple[bytes, bytes]]) -> None:
        """Use these header lines for the contexts of all further messages."""
        self._head, self._sent_with = lines, None

    def _make_head(self) -> tuple[Sequence[tuple[bytes, bytes]], Mapping[bytes, bytes]]:
        """The header lines for the contexts of messages, and the first line of each header; made with the first
        message."""
        kept = [line for line in self._head if line[0] not in _NOT_SENT and not line[0].startswith(b"sec-websocket-")]
        lines = [*kept, (b"content-type", b"application/json")]
        return lines, first_lines(lines)

    def child(self, *, operation: bool, within: RequestContext | None = None) -> RequestContext:
        """A new context for a message of the client; ``within`` is the context that an outer guard has made for it."""
        if self._sent_with is None:
            self._sent_with = self._make_head()
        ctx, outer = self.ctx.child(request_id(), *self._sent_with), self.ctx.outer
        ctx.operation = operation and ctx.guarded
        if self.runtime.rules is not None:  # they may be others than those that the socket began with
            ctx.place = self.runtime.paths.place(self.scope)
        if outer is not None and within is not None and (within is outer or within.carrier is outer):
            within.books = outer.books
            runtime = self.runtime
            ctx.nest(within, runtime.books, authenticates=runtime.authenticates)
        return ctx

    # --- the way to the client ---------------------------------------------------------------------------------------

    async def send(self, message: Message) -> None:
        """Send a message, unless the client is gone. A send that takes too long ends the socket; an exception of the
        server means that the client has left."""
        if self.client_gone:
            return
        self.sent_bytes += len(message.get("text") or message.get("bytes") or b"")
        number = self._sends.begin(self)
        try:
            await self._send_raw(message)
        except Exception:  # noqa: BLE001 - each server has exceptions of its own
            self.client_left({"type": "websocket.disconnect", "code": 1006})
        finally:
            self._sends.end(number)

    async def send_text(self, text: str) -> None:
        """Send a text message of the guard's own."""
        await self.send({"type": "websocket.send", "text": text})
        self.runtime.tell(self.runtime.recorder.sockets.message_left)

    def say(self, text: str) -> None:
        """Send a text message of the guard's own, in the background."""
        saying = self.loop.create_task(self.send_text(text))
        self._saying += (saying,)
        saying.add_done_callback(self._said)

    def _said(self, saying: asyncio.Task[None]) -> None:
        self._saying = tuple([each for each in self._saying if each is not saying])

    def hush(self) -> None:
        """Cancel the guard's own messages that are not sent yet."""
        for saying in self._saying:
            saying.cancel()

    @property
    def send_seconds(self) -> float:
        """Longest time that a send may take (SendingSocket)."""
        return self.runtime.settings.socket_send_seconds

    def end_slow(self) -> bool:
        """End the socket, since a send takes too long (SendingSocket)."""
        ends = self.is_over or self.enforcing
        if ends:
            self.end(_SLOW)
        return ends

    @property
    def enforcing(self) -> bool:
        """Whether any protection enforces, so that the socket is also ended for breaches of the subprotocol."""
        judge = self.runtime.body_judge
        return judge is not None and self.runtime.enforces(judge)

    @property
    def is_over(self) -> bool:
        """Whether the socket has ended, or is being ended."""
        return self.phase is Phase.OVER

    # --- refusals ----------------------------------------------------------------------------------------------------

    def refused(self, ctx: RequestContext, denial: Denial, seconds: float = 0.0) -> None:
        """Record a refused message as a refused request."""
        runtime = self.runtime
        ctx.denial, ctx.status = denial, denial.status
        tell_outside(ctx)
        runtime.tell(runtime.recorder.refused, ctx, denial)
        runtime.tell(record_outcome, runtime, self.scope, ctx, seconds)

    def breach(self, denial: Denial, reason: ClosingReason, closing_code: int) -> bool:
        """End the socket because the client broke a rule; False in monitor mode, where the breach is only noted."""
        ctx = self.child(operation=False)
        found = apply_mode(self.runtime, ctx, denial)
        if found is None:
            self.runtime.tell(record_outcome, self.runtime, self.scope, ctx, 0.0)
            return False
        self.refused(ctx, found)
        self.end(Ending(reason, found.code, found.code.name, closing_code))
        return True

    # --- the end -----------------------------------------------------------------------------------------------------

    def end(self, ending: Ending, *, first: str | None = None) -> None:
        """Begin to end the socket; ``first`` is a text message to send before the close. A second call changes
        nothing."""
        if self.ending is not None or self.phase is Phase.OVER:
            return
        self.ending = ending
        self.reason, self.closing_code = ending.reason, ending.closing_code
        self.phase = Phase.OVER
        self.closer = self.loop.create_task(self._close(ending, first))

    async def _close(self, ending: Ending, first: str | None) -> None:
        """Close towards the client first, then tell the app: a server ends the connection as soon as the app
        returns."""
        told = ending.told[:_LONGEST_REASON]
        if ending is not _SLOW:  # to a client that does not read nothing can be sent
            with suppress(Exception):  # the client may have left, or not read
                async with asyncio.timeout(CLOSE_SECONDS):
                    if first is not None:
                        await self._send_raw({"type": "websocket.send", "text": first})
                    await self._send_raw({"type": "websocket.close", "code": ending.closing_code, "reason": told})
        self._over({"type": "websocket.disconnect", "code": ending.closing_code, "reason": told})

    def client_left(self, message: Message) -> None:
        """The client has left by itself."""
        if self.ending is None and self.phase is not Phase.OVER:
            self.reason, self.closing_code = ClosingReason.CLIENT, message.get("code") or 1006
        if self.ending is None:
            self._over(message)

    def app_closed(self, closing_code: int) -> None:
        """The app has closed the socket."""
        if self.phase is not Phase.OVER:
            self.phase = Phase.OVER
            self.reason, self.closing_code = ClosingReason.APP, closing_code

    def _over(self, message: Message) -> None:
        self.phase = Phase.OVER
        if not self.client_gone:
            self.client_gone = True
            self.observer.over(message)

    async def closed(self) -> None:
        """Wait until a close that was begun has been sent: a server ends the connection as soon as the app returns."""
        if self.closer is not None:
            await asyncio.wait([self.closer], timeout=2 * CLOSE_SECONDS)

    @property
    def age_seconds(self) -> float:
        """Seconds since the socket was accepted; 0 before."""
        return 0.0 if self.opened_at is None else time.monotonic() - self.opened_at

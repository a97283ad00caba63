"""Leads all that is said over a GraphQL WebSocket, from the moment its upgrade was decided to its end.

What a client says is decided about in the app's own ``receive``, message by message, so that the tasks that an app
starts for an operation inherit the operation's context. What an app says is followed in its ``send``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fraiseql_guard.asgi.body_budget import HeldBody, holder_of
from fraiseql_guard.asgi.deadline import take_back
from fraiseql_guard.asgi.sockets import dialects
from fraiseql_guard.asgi.sockets.dialects import Dialect
from fraiseql_guard.asgi.sockets.inbound import Inbound
from fraiseql_guard.asgi.sockets.inbox import Inbox
from fraiseql_guard.asgi.sockets.initialization import Initialization
from fraiseql_guard.asgi.sockets.link import Link, Phase, RuntimeHolder
from fraiseql_guard.asgi.sockets.operations import Operation, Operations
from fraiseql_guard.asgi.sockets.outbound import Outbound
from fraiseql_guard.asgi.sockets.pulse import Pulse
from fraiseql_guard.asgi.sockets.registry import Ending
from fraiseql_guard.asgi.sockets.stops import Stops
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.live_facts import LiveFacts
from fraiseql_guard.core.request import turn_to
from fraiseql_guard.core.signals import GUARD_FAULT, OVERLOADED, ClosingReason
from fraiseql_guard.telemetry.recorder.sockets import SocketLife

_STEP_SECONDS: Final = 1.0
"""How long an app has for each step of an end: to take the message, and to return once it was cancelled."""
_SHOWN_OPERATIONS: Final = 20
_INTERNAL_ERROR: Final = 1011
"""RFC 6455, section 7.4.1."""
_FULL: Final = Ending(ClosingReason.OVERLOAD, OVERLOADED, OVERLOADED.name, dialects.UNAVAILABLE)
_FAULT: Final = Ending(ClosingReason.OVERLOAD, GUARD_FAULT, GUARD_FAULT.name, dialects.UNAVAILABLE)
_DESERTED: Final = Ending(ClosingReason.APP, OVERLOADED, OVERLOADED.name, dialects.UNAVAILABLE)

__all__ = ["Conversation", "RuntimeHolder"]


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
        self.ctx = ctx
        self._app = app
        self._scope = scope
        self._link = link = Link(dispatcher, scope, send, ctx, dialect)
        self._operations = Operations(lambda: link.runtime, scope)
        self._inbox = Inbox(
            receive,
            hold=self._hold,
            is_early=lambda: link.phase < Phase.READY,
            on_left=link.client_left,
            on_full=lambda: link.end(_FULL),
            on_fault=lambda error: link.runtime.tell(link.runtime.recorder.fault, "receive", error),
        )
        self._outbound = Outbound(link, self._operations)
        self._initialization = Initialization(link, self)
        self._pulse = Pulse(link, lambda: len(self._operations) > 0, self._say)
        self._stops = Stops(link, self._inbox, self._operations, on_inline=self._stuck, on_heard=self._app_can_end)
        self._inbound = Inbound(
            link, self._inbox, self._operations, self._outbound, self._initialization, self._pulse, self._stops
        )
        self._task: asyncio.Task[object] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._interrupted = False
        self._timers: list[asyncio.TimerHandle] = []
        self._sending: set[asyncio.Task[None]] = set()
        link.on_over, link.on_phase = self._over, self._advanced

    async def run(self) -> None:
        """Have the app serve the socket, until both are done with it."""
        link = self._link
        task = self._task = asyncio.current_task()
        self._reader = link.loop.create_task(self._inbox.read())
        self._initialization.show()
        try:
            await self._run_app()
            if self._interrupted and task is not None:
                await take_back(task)
            self._deserted()
        finally:
            try:
                await link.closed()
                await self._read_to_the_end()
            finally:
                self._finish()

    async def _read_to_the_end(self) -> None:
        """A server may wait with the end of a closed connection until what the client has sent was taken."""
        if self._link.opened_at is not None and self._link.phase is Phase.OVER and self._reader is not None:
            await asyncio.wait([self._reader], timeout=_STEP_SECONDS)

    async def _run_app(self) -> None:
        try:
            await self._app(self._scope, self._receive, self._send)
        except (asyncio.CancelledError, Exception):
            if not self._interrupted:
                self._link.app_closed(_INTERNAL_ERROR)  # by the server
                raise  # else: how it ended when it was stopped plays no part
        finally:
            self._task = None

    # --- what the app asks for ---------------------------------------------------------------------------------------

    async def _receive(self) -> Message:
        """The next message for the app (ASGI)."""
        turn_to(self.ctx)
        try:
            return await self._inbound.next()
        except Exception as error:  # noqa: BLE001 - the stated failure policy: what was not checked does not pass
            runtime = self._link.runtime
            runtime.tell(runtime.recorder.fault, "sockets", error)
            self._link.end(_FAULT)
            return await self._inbound.disconnect()

    async def _send(self, message: Message) -> None:
        """A message of the app (ASGI)."""
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
        link.advance(Phase.OPEN)
        self._inbox.go.set()

    @property
    def _recorded(self) -> bool:
        """Whether no guard further outside records it in the same metrics."""
        return "answer" not in self.ctx.told_outside

    def _advanced(self) -> None:
        self._pulse.advanced()
        self._inbox.wake()

    def _say(self, text: str) -> None:
        """Send a text of the guard's own, beside everything else."""
        sending = self._link.loop.create_task(self._link.send_text(text))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)

    def _hold(self) -> HeldBody:
        runtime = self._link.runtime
        held = HeldBody(runtime.budget)
        held.charge_to(holder_of(self.ctx), runtime.body_share_bytes)
        return held

    # --- the end -----------------------------------------------------------------------------------------------------

    def end(self, ending: Ending) -> None:
        """Begin to end the socket (LiveConnection)."""
        self._link.end(ending)

    def _over(self, message: Message) -> None:
        """The client is gone. The app hears of it, once nothing that is to be carried through is at work."""
        self._pulse.stop()
        self._inbox.discard()
        self._stops.client_gone(message)

    def _app_can_end(self) -> None:
        """The app can receive the end from now on: it has a second to return."""
        runtime = self._link.runtime
        policies = runtime.timeout_policies
        if self._link.ending is not None or policies.query.stop_on_leave:
            self._timers.append(self._link.loop.call_later(_STEP_SECONDS, self._interrupt, self.ctx))

    def _stuck(self, operation: Operation) -> None:
        """The app does not take messages while it works on an operation whose time is up: nothing but its task can be
        stopped."""
        self._link.end(_FULL)
        self._interrupt(operation.ctx)

    def _interrupt(self, ctx: RequestContext) -> None:
        if self._task is None or self._interrupted:
            return
        self._interrupted = True
        self._timers.append(self._link.loop.call_later(_STEP_SECONDS, self._abandoned, ctx))
        self._task.cancel()

    def _abandoned(self, ctx: RequestContext) -> None:
        """The app goes on although it was cancelled."""
        runtime = self._link.runtime
        runtime.tell(runtime.recorder.abandoned, ctx, round(self._link.age_seconds, 3))

    def _deserted(self) -> None:
        """The app has returned. A client that it has told nothing would come back at once."""
        link = self._link
        if link.opened_at is not None and link.phase is not Phase.OVER:
            link.end(_DESERTED)

    def _finish(self) -> None:
        """All that the socket has held is given back, once."""
        link, runtime = self._link, self._link.runtime
        for timer in self._timers:
            timer.cancel()
        self._pulse.stop()
        self._stops.close()
        for task in (self._reader, *self._sending):
            if task is not None:
                task.cancel()
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
        """What its identity was verified by (LiveConnection)."""
        return self.ctx.credentials

    def facts(self) -> LiveFacts:
        """What an operator sees of it (LiveConnection)."""
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

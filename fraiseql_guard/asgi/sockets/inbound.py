"""Checks the messages of a GraphQL WebSocket's client, one by one, before the app receives them."""

from __future__ import annotations

import time
from typing import Any, Final

from starlette.types import Message

from fraiseql_guard.asgi.decisions import apply_mode
from fraiseql_guard.asgi.finish import refusal_error
from fraiseql_guard.asgi.pipeline import check_operation
from fraiseql_guard.asgi.sockets import dialects
from fraiseql_guard.asgi.sockets.dialects import ClientMessage
from fraiseql_guard.asgi.sockets.inbox import Arrived, Inbox
from fraiseql_guard.asgi.sockets.initialization import Initialization
from fraiseql_guard.asgi.sockets.link import Link, Phase
from fraiseql_guard.asgi.sockets.message_bounds import MessageBounds, violation
from fraiseql_guard.asgi.sockets.messages import (
    ClientSays,
    MalformedMessageTextError,
    read_client_message,
    read_payload,
)
from fraiseql_guard.asgi.sockets.operations import Operation, Operations, give_back
from fraiseql_guard.asgi.sockets.outbound import Outbound
from fraiseql_guard.asgi.sockets.pulse import Pulse
from fraiseql_guard.asgi.sockets.registry import Ending
from fraiseql_guard.asgi.sockets.stops import Stops
from fraiseql_guard.asgi.timeout_policy import rule_of_time
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.request import take_up, turn_to
from fraiseql_guard.core.signals import (
    GUARD_FAULT,
    OVERLOADED,
    QUERY_TIMEOUT,
    TOO_MANY_MESSAGES,
    TOO_MANY_SUBSCRIPTIONS,
    ClosingReason,
)

_EARLY: Final = "An operation is asked for before connection_ack."
_TWICE: Final = "connection_init comes a second time."
_IN_USE: Final = "The id is that of an operation which is still open."
_FAULT: Final = Ending(ClosingReason.OVERLOAD, GUARD_FAULT, GUARD_FAULT.name, dialects.UNAVAILABLE)


class Inbound:
    """The messages of one socket's client."""

    __slots__ = (
        "_bounds",
        "_inbox",
        "_initialization",
        "_initialized",
        "_link",
        "_operations",
        "_outbound",
        "_pulse",
        "_stops",
        "messages",
        "received_bytes",
    )  # fmt: skip

    def __init__(
        self,
        link: Link,
        inbox: Inbox,
        operations: Operations,
        outbound: Outbound,
        initialization: Initialization,
        pulse: Pulse,
        stops: Stops,
    ) -> None:
        self._link = link
        self._inbox = inbox
        self._operations = operations
        self._outbound = outbound
        self._initialization = initialization
        self._pulse = pulse
        self._stops = stops
        self._bounds = MessageBounds(link.loop.time())
        self._initialized = False
        self.messages = 0
        """Number of messages that the client has sent."""
        self.received_bytes = 0

    # --- what the app receives ---------------------------------------------------------------------------------------

    async def receive(self) -> Message:
        """The app's ``receive``: the next message that is let pass."""
        inbox, link = self._inbox, self._link
        turn_to(link.ctx)
        try:
            while (end := self._stops.take() or inbox.disconnect) is None:
                arrived = inbox.take() if link.phase is not Phase.OVER else None
                if arrived is None:
                    await inbox.wait()
                    continue
                try:
                    message = await self._decide(arrived)
                finally:
                    arrived.held.release()
                if message is not None:
                    return message
            return end
        except Exception as error:  # noqa: BLE001 - the stated failure policy: what was not checked does not pass
            runtime = link.runtime
            runtime.tell(runtime.recorder.fault, "sockets", error)
            link.end(_FAULT)
        while inbox.disconnect is None:
            await inbox.wait()
        return inbox.disconnect

    async def _decide(self, arrived: Arrived) -> Message | None:
        """Check a message: the message for the app; None if the app is not to receive it."""
        message = arrived.message
        if message["type"] != "websocket.receive":
            return message  # websocket.connect
        self.messages += 1
        self.received_bytes += arrived.size
        runtime = self._link.runtime
        runtime.tell(runtime.recorder.sockets.message_came)
        text = self._bounds.text_of(message, runtime, self._link.loop.time())
        if isinstance(text, Denial):
            return message if not self._breaks(text) else None
        try:
            says = read_client_message(text, self._link.dialect)
        except MalformedMessageTextError as error:
            self._pulse.heard(busy=True)
            return message if not self._violates(str(error)) else None
        self._pulse.heard(busy=says.kind is not ClientMessage.PONG)
        if says.kind is ClientMessage.START:
            return await self._start(arrived, says, text)
        if says.kind is ClientMessage.INIT:
            return await self._initialize(arrived, read_payload(text, says))
        return self._plain(message, says)

    def _breaks(self, denial: Denial, closing_code: int = dialects.INVALID) -> bool:
        """End the socket for a message that breaks a rule; False in monitor mode, where it is only noted."""
        flood = denial.code is TOO_MANY_MESSAGES
        reason = ClosingReason.FLOOD if flood else ClosingReason.PROTOCOL
        return self._link.breach(denial, reason, dialects.TOO_MANY if flood else closing_code)

    def _violates(self, detail: str, closing_code: int = dialects.INVALID) -> bool:
        """End the socket for a message that the subprotocol does not allow; False in monitor mode."""
        return self._breaks(violation(self._link.runtime, detail), closing_code)

    # --- messages without an operation -------------------------------------------------------------------------------

    async def _initialize(self, arrived: Arrived, payload: Any) -> Message | None:
        if self._initialized and self._violates(_TWICE, dialects.TOO_MANY):
            return None
        self._initialized = True
        if not await self._initialization.passes(payload, arrived.within):
            return None
        if self._link.phase < Phase.INITIALIZED:
            self._link.advance(Phase.INITIALIZED)
        return arrived.message if self._link.phase is not Phase.OVER else None

    def _plain(self, message: Message, says: ClientSays) -> Message | None:
        if says.kind is ClientMessage.STOP:
            operation = self._operations.get(says.id)
            if operation is None:
                return None
            self._operations.leave(operation)
            self._operations.released(operation)
        elif says.kind is ClientMessage.PONG:
            if not self._outbound.pings:
                return None  # the answer to a ping of the guard's own
            self._outbound.pings -= 1
        elif says.kind is ClientMessage.TERMINATE:
            self._outbound.terminated = True
        return message

    # --- operations --------------------------------------------------------------------------------------------------

    async def _start(self, arrived: Arrived, says: ClientSays, text: bytes) -> Message | None:
        link = self._link
        if not await self._may_start(arrived):
            return None
        if self._operations.get(says.id) is not None:
            if self._violates(_IN_USE, dialects.ALREADY_THERE):
                return None
            return arrived.message
        began_at, runtime = time.monotonic(), link.runtime
        ctx = link.child(operation=True, within=arrived.within)
        where = says.payload or slice(0, 0)
        ctx.body, ctx.operation_id, ctx.request_bytes = text[where], says.id, len(text)
        passed = False
        try:
            denial = apply_mode(runtime, ctx, self._over_cap())
            denial = await check_operation(runtime, ctx, denial, is_over=lambda: link.is_over)
            passed = denial is None and not link.is_over  # the socket may have ended while the store was asked
        finally:
            if not passed:
                give_back(ctx, runtime)
        if denial is not None:
            await self._refuse(says.id, ctx, denial, time.monotonic() - began_at)
        if not passed:
            return None
        message = arrived.message if ctx.rewritten is None else _rewritten(text, where, ctx.rewritten)
        operation = Operation(says.id, ctx, runtime)
        self._operations.begin(operation, self._time_is_up)
        take_up(ctx)
        return message

    async def _may_start(self, arrived: Arrived) -> bool:
        """Whether the socket is ready for operations. A legacy client does not wait for the app's acknowledgement, so
        that its message waits for it."""
        link = self._link
        if link.phase is Phase.READY and (link.dialect.starts_before_ack or not arrived.early):
            return True
        while link.phase is Phase.INITIALIZED and link.dialect.starts_before_ack:
            await self._inbox.wait()
        if link.phase is Phase.READY and link.dialect.starts_before_ack:
            return True
        return link.phase is not Phase.OVER and not self._violates(_EARLY, dialects.UNAUTHORIZED)

    def _over_cap(self) -> Denial | None:
        most, found = self._link.runtime.settings.max_subscriptions_per_socket, len(self._operations)
        if found < most:
            return None
        return Denial(TOO_MANY_SUBSCRIPTIONS, limit=most, actual=found + 1, retry_after_seconds=1.0)

    async def _refuse(self, operation_id: str, ctx: RequestContext, denial: Denial, seconds: float) -> None:
        """Refuse an operation by an error message, not by ending the socket, after which clients would come back."""
        link = self._link
        error = link.dialect.error(operation_id, refusal_error(link.runtime, ctx, denial))
        link.refused(ctx, denial, seconds)
        await link.send_text(error)

    def _time_is_up(self, operation: Operation) -> None:
        link, ctx = self._link, operation.ctx
        runtime, seconds = link.runtime, round(operation.seconds, 3)
        operation.timer = None
        denial = _late(ctx, operation.timeout_seconds, seconds)
        if denial.code is QUERY_TIMEOUT and apply_mode(runtime, ctx, denial) is None:
            return
        ctx.denial = denial
        error = link.dialect.error(operation.id, refusal_error(runtime, ctx, denial))
        runtime.tell(runtime.recorder.refused, ctx, denial)
        self._operations.refuse(operation, denial.status)
        link.say(error)
        self._stops.stop(operation, in_time=True)


def _late(ctx: RequestContext, allowed: float | None, seconds: float) -> Denial:
    """The refusal of an operation whose deadline has passed."""
    if ctx.express_seconds is not None:
        return Denial(OVERLOADED, limit=allowed, actual=seconds, retry_after_seconds=1.0)
    mutates = ctx.measured is not None and ctx.measured.kind == "mutation"
    facts = (("outcome", "unknown"),) if mutates else ()
    return Denial(QUERY_TIMEOUT, limit=allowed, actual=seconds, facts=facts, rule=rule_of_time(ctx))


def _rewritten(text: bytes, where: slice, payload: bytes) -> Message:
    """The message with ``payload`` in place of its own: the text of a document that the client has named by its
    hash."""
    whole = text[: where.start] + payload + text[where.stop :]
    return {"type": "websocket.receive", "text": whole.decode()}

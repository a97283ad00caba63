"""Follows an answer that is streamed: server-sent events, or the parts of multipart/mixed.

A stream of subscriptions alone may last as long as its client wants, and may be silent; any other stream has a bound on
each silence and on its whole time. Every stream ends when its caller is blocked, and when its client does not read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import orjson
from starlette.types import Message, Send

from fraiseql_guard.asgi.answer import Answer
from fraiseql_guard.asgi.app_runner import AppRunner
from fraiseql_guard.asgi.decisions import apply_mode
from fraiseql_guard.asgi.runtime import Runtime
from fraiseql_guard.asgi.sockets.event_framing import Framing, UnreadFraming, framing_of
from fraiseql_guard.asgi.sockets.registry import BLOCKED_CALLER, TOKEN_OVER, USER_GONE, Ending
from fraiseql_guard.asgi.sockets.stream_deadline import StreamDeadline, StreamKind, kind_of
from fraiseql_guard.asgi.sockets.stream_sender import StreamSender
from fraiseql_guard.checks.concurrency import BEGINNING_SECONDS
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.deadline_timers import DeadlineTimer
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.live_facts import LiveFacts, LiveOperation
from fraiseql_guard.core.signals import (
    SLOW_CONSUMER,
    ClosingReason,
    Transport,
)
from fraiseql_guard.telemetry.recorder.sockets import SubscriptionLife

_EXPLAINED: Final = (BLOCKED_CALLER, USER_GONE)
"""Endings whose reason is sent to the client. After any other the client should come again, with a fresh token or to
another worker."""


class StreamedAnswer:
    """One streamed answer, from its head to its end (LiveConnection). Its :meth:`send` takes the place of the server's.

    ``on_cut`` is called with a refusal in force, cuts the answer and stops the app. Belongs to one event loop.
    """

    first_event_at: float | None = None  # by time.monotonic
    over = False  # whether the guard has ended the stream: later messages of the app are dropped
    events = 0
    _reason: ClosingReason | None = None  # why the guard has ended the stream
    _last_words: asyncio.Task[None] | None = None
    _slot_timer: DeadlineTimer | None = None
    _closed = False

    def __init__(
        self,
        runtime: Runtime,
        ctx: RequestContext,
        answer: Answer,
        runner: AppRunner,
        send: Send,
        on_cut: Callable[[Denial], None],
    ) -> None:
        self.ctx = ctx
        self.kind = kind_of(ctx)
        self._runtime = runtime
        self._runner = runner
        self._on_cut = on_cut
        self._loop = asyncio.get_running_loop()
        self._timers = runtime.timers.of(self._loop)
        self._deadline = StreamDeadline(runtime, ctx, self.kind, runner, self._loop)
        self._began_at = self._loop.time()
        self._head_at = time.monotonic()
        self._transport = Transport.MULTIPART if answer.media_type.startswith(b"multipart") else Transport.SSE
        self._framing: Framing = UnreadFraming() if ctx.method == "HEAD" else framing_of(answer.headers)
        settings = runtime.settings
        self._sender = StreamSender(
            send,
            ctx,
            self._framing,
            self,
            self._timers,
            send_seconds=settings.socket_send_seconds,
            heartbeat_seconds=settings.stream_heartbeat_seconds if self.subscribes else None,
        )

    @property
    def subscribes(self) -> bool:
        """Whether the stream carries the events of subscriptions, and nothing else."""
        return self.kind is StreamKind.SUBSCRIPTION

    def begin(self) -> None:
        """Begin to follow the stream, when its head has come."""
        if self.ctx.operation:
            self._runtime.live.add(self)
        if self.subscribes:
            self._runner.lift()
            left = max(0.0, BEGINNING_SECONDS - self._runner.seconds)
            self._slot_timer = self._timers.call_at(self._began_at + left, self._release_slot)
            if self._counts:
                self._runtime.tell(self._runtime.recorder.sockets.subscribed, self._transport)
        self._deadline.move(begun=self.first_event_at is not None)

    # --- what goes by -------------------------------------------------------------------------------------------------

    async def send(self, message: Message) -> None:
        """Send a message of the app, and count its events afterwards."""
        await self._sender.send(message)
        if message["type"] == "http.response.body":
            events = self._runtime.tell(self._framing.feed, message.get("body", b""))
            if events:
                self._count(events)
        self._deadline.move(begun=self.first_event_at is not None)

    def _count(self, events: int) -> None:
        if self.first_event_at is None:
            self.first_event_at = time.monotonic()
            self._release_slot()
        self.events += events
        if self.subscribes and self._counts:
            for _ in range(events):
                self._runtime.tell(self._runtime.recorder.sockets.event_passed)

    @property
    def _counts(self) -> bool:
        """Whether this guard counts the events: no outer guard counts them in the same metrics."""
        return "query" not in self.ctx.told_outside

    # --- its deadlines ------------------------------------------------------------------------------------------------

    @property
    def observed_at(self) -> float | None:
        """The moment (time.monotonic) at which the request's duration ends; None: the end of the stream. A
        subscription's duration ends with its first event, since its life says nothing about the app's speed."""
        if self.kind is StreamKind.BOUNDED:
            return None
        return self.first_event_at or self._head_at

    def late(self) -> Denial | None:
        """The refusal for a deadline of streams that has passed; None if it is the deadline of any operation."""
        return self._deadline.late(quiet_since=self._sender.quiet_since)

    def _release_slot(self) -> None:
        """Give back a subscription's slot among the operations at work, once it has begun. Other operations keep theirs
        to their end."""
        if self._slot_timer is None:
            return
        self._slot_timer.cancel()
        self._slot_timer = None
        if self._runtime.concurrency is not None:
            self._runtime.concurrency.release(self.ctx)

    # --- its client ---------------------------------------------------------------------------------------------------

    def slow(self, waited_seconds: float) -> None:
        """The client does not read: cut the answer, except in monitor mode (SendObserver)."""
        allowed = self._runtime.settings.socket_send_seconds
        denial = Denial(SLOW_CONSUMER, limit=allowed, actual=round(waited_seconds, 3), tokens=0)
        if apply_mode(self._runtime, self.ctx, denial) is not None:
            self._on_cut(denial)

    def gone(self) -> None:
        """The server's ``send`` has failed: the client has left (SendObserver)."""
        self._runner.left = True
        self._runner.interrupt()

    # --- its end ------------------------------------------------------------------------------------------------------

    def end(self, ending: Ending) -> None:
        """End the stream. The expiry of its token does not end a query, which is over soon and began while the token
        was good."""
        self._runtime.tell(self._end, ending)

    def _end(self, ending: Ending) -> None:
        if self._closed or (ending is TOKEN_OVER and self.kind is StreamKind.BOUNDED):
            return
        self.over, self._reason = True, ending.reason
        words = self._farewell(ending) if ending in _EXPLAINED and not self._sender.busy else None
        if words is not None:
            self._last_words = self._loop.create_task(self._say(words))
        self.close()
        self._runner.interrupt()

    def _farewell(self, ending: Ending) -> bytes | None:
        """The last bytes for the client, with the reason; None where the stream's format can only be cut."""
        extensions = {"code": ending.code.name, "requestId": self.ctx.request_id}
        error = {"message": ending.code.message, "extensions": extensions}
        return self._framing.farewell(orjson.dumps({"errors": [error]}))

    async def _say(self, words: bytes) -> None:
        self.ctx.response_bytes += len(words)
        with suppress(Exception):  # a client that is gone, or does not read, hears nothing
            async with asyncio.timeout(self._runtime.settings.socket_send_seconds):
                await self._sender.send({"type": "http.response.body", "body": words})

    @property
    def told(self) -> bool:
        """Whether the reason for the end is sent to the client."""
        return self._last_words is not None

    async def ended(self) -> None:
        """Wait until the reason for the end, if any, was sent to the client."""
        if self._last_words is not None:
            await self._last_words

    def ends_well(self, *, left: bool) -> bool:
        """Whether a stream that the app has not ended counts as a success: a subscription whose client left (``left``),
        or which the guard has ended."""
        return self.subscribes and (left or self.over)

    @property
    def raw_send(self) -> Send:
        """The server's own ``send``, for use after the end of the stream."""
        return self._sender.raw

    def close(self, *, left: bool = False) -> None:
        """Record the end of the stream; ``left``: because its client left. A second call changes nothing."""
        if self._closed:
            return
        self._closed = True
        self._runtime.live.remove(self)
        self._sender.close()
        if self._slot_timer is not None:
            self._slot_timer.cancel()  # the request gives its slots back once the app has ended
        if self.subscribes and self._counts:
            seconds = self._loop.time() - self._began_at
            life = SubscriptionLife(reason=self._ended_by(left=left), seconds=seconds, events=self.events)
            self._runtime.tell(self._runtime.recorder.sockets.stream_ended, self.ctx, self._transport, life)

    def _ended_by(self, *, left: bool) -> ClosingReason:
        denial = self.ctx.denial
        if denial is not None and denial.code is SLOW_CONSUMER:
            return ClosingReason.SLOW_CONSUMER
        return self._reason or (ClosingReason.CLIENT if left else ClosingReason.APP)

    # --- what operators see -------------------------------------------------------------------------------------------

    @property
    def credentials(self) -> Sequence[str]:
        """The credentials by which its user was verified (LiveConnection)."""
        return self.ctx.credentials

    def facts(self) -> LiveFacts:
        """The facts that operators see of the stream (LiveConnection)."""
        ctx, age = self.ctx, self._loop.time() - self._began_at
        name = ctx.measured.name if ctx.measured is not None else None
        operation = LiveOperation(
            name=name or "",
            query_hash=ctx.query_hash or "",
            age_seconds=age,
            events=self.events,
            request_id=ctx.request_id,
        )
        return LiveFacts(
            id=ctx.request_id,
            protocol=self._transport.value,
            user_id=ctx.user_id,
            ip_address=ctx.address,
            age_seconds=age,
            endpoint=ctx.endpoint,
            operations=(operation,),
            operations_open=1,
            events=self.events,
            token_ends_at=self._token_ends_at(),
        )

    def _token_ends_at(self) -> float | None:
        identity, verifier = self.ctx.identity, self._runtime.verifier
        return None if identity is None or verifier is None else verifier.accepted_until(identity)

"""Sends the messages of a streamed answer: one after the other, with heartbeats in between, to clients that read."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from starlette.types import Message, Send

from fraiseql_guard.asgi.sockets.event_framing import Framing
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.deadline_timers import DeadlineTimer, DeadlineTimers

_NEXT_TURN_SECONDS: Final = 0.001


class SendObserver(Protocol):
    """Hears what a client makes of what it is sent."""

    def slow(self, waited_seconds: float) -> None:
        """One message has waited for so long, and is not taken yet. Told once."""
        ...

    def gone(self) -> None:
        """The server could not send a heartbeat."""
        ...


class StreamSender:
    """Sends what an app streams. ``send_seconds`` is how long one message may wait; ``heartbeat_seconds`` the silence
    after which a heartbeat is sent, None for none.

    Its timer looks again when it rings, so that a message that goes by costs no timer.
    """

    _sends_since: float | None = None  # while a message is on its way
    _beat: asyncio.Task[None] | None = None  # a heartbeat, while it is on its way
    _told_slow = False

    def __init__(
        self,
        send: Send,
        ctx: RequestContext,
        framing: Framing,
        observer: SendObserver,
        timers: DeadlineTimers,
        *,
        send_seconds: float,
        heartbeat_seconds: float | None,
    ) -> None:
        self.raw = send
        """The server's own."""
        self._ctx = ctx
        self._framing = framing
        self._observer: SendObserver | None = observer
        self._timers = timers
        self._send_seconds = send_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._loop = asyncio.get_running_loop()
        self.quiet_since = self._loop.time()
        """When the last message went out, on the loop's clock."""
        self._timer: DeadlineTimer | None = None
        self._set_timer(self.quiet_since)

    @property
    def busy(self) -> bool:
        """Whether a message is on its way."""
        return self._sends_since is not None or (self._beat is not None and not self._beat.done())

    async def send(self, message: Message) -> None:
        """Send a message of the app's, once a heartbeat is out of the way."""
        while (beat := self._beat) is not None and not beat.done():
            await asyncio.wait({beat})
        await self._send_noted(message)

    async def _send_noted(self, message: Message) -> None:
        self._sends_since = self._loop.time()
        try:
            await self.raw(message)
        finally:
            self._sends_since = None
            self.quiet_since = self._loop.time()

    def close(self) -> None:
        """Neither heartbeats nor a look at the client any more."""
        self._heartbeat_seconds = self._observer = None  # no cycle is left to the garbage collector
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._beat is not None:
            self._beat.cancel()

    def _set_timer(self, now: float) -> None:
        waits_since = now if self._told_slow else self._sends_since or now
        due = waits_since + self._send_seconds
        if self._heartbeat_seconds is not None:
            due = min(due, self.quiet_since + self._heartbeat_seconds)
        self._timer = self._timers.call_at(max(due, now + _NEXT_TURN_SECONDS), self._look)

    def _look(self) -> None:
        now, heartbeat_seconds = self._loop.time(), self._heartbeat_seconds
        if self._sends_since is not None:
            waited = now - self._sends_since
            if waited >= self._send_seconds and not self._told_slow and self._observer is not None:
                self._told_slow = True  # once is enough, also where nothing is cut (monitor mode)
                self._observer.slow(waited)
            self.quiet_since = now
        elif heartbeat_seconds is not None and now - self.quiet_since >= heartbeat_seconds:
            self.quiet_since = now  # where nothing may be said, the next look is as far away
            heartbeat = self._framing.heartbeat()
            if heartbeat is not None:
                self._beat = self._loop.create_task(self._send_beat(heartbeat))
        if self._timer is not None:
            self._set_timer(now)

    async def _send_beat(self, heartbeat: bytes) -> None:
        self._ctx.response_bytes += len(heartbeat)
        try:
            await self._send_noted({"type": "http.response.body", "body": heartbeat, "more_body": True})
        except Exception:  # noqa: BLE001 - whatever a server makes of a client that is gone
            if self._observer is not None:
                self._observer.gone()

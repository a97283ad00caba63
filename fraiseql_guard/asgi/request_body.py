"""The one reader of ``receive``: bounds and reads the body, replays it, and shows the disconnect to all who ask.

Two readers of one ``receive`` steal each other's messages on some servers, so that the app and the watcher for the
client's disconnect both ask this one.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from starlette.types import Message, Receive

from fraiseql_guard.asgi.body_budget import BufferBudget, HeldBody
from fraiseql_guard.asgi.deadline import Deadline
from fraiseql_guard.core.deadline_timers import DeadlineTimers
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.loop_task import PerLoop
from fraiseql_guard.core.signals import BODY_TIMEOUT, BODY_TOO_LARGE, GUARD_FAULT

DISCONNECT: Final[Message] = {"type": "http.disconnect"}
_NO_BODY: Final[Message] = {"type": "http.request", "body": b"", "more_body": False}
_BLANKS: Final = b" \t\r\n"


class MalformedMessageError(Exception):
    """A server sent a message where a part of the body has to come, and it is none."""


def body_part(message: object) -> Message | None:
    """An ``http.request`` message with its body as bytes; None for ``http.disconnect``.

    Both fields of a part are optional (ASGI specification). MalformedMessageError for anything else: an app may read it
    in its own way, so it cannot be measured. A buffer that can still change is copied, so that the app gets what was
    measured.
    """
    if isinstance(message, dict) and message.get("type") == "http.disconnect":
        return None
    if not isinstance(message, dict) or message.get("type") != "http.request":
        raise MalformedMessageError("a message of an unknown type stands in place of the body")
    body = message.get("body", b"")
    if type(body) is bytes:
        return message
    if not isinstance(body, bytes | bytearray | memoryview):
        raise MalformedMessageError("the body of a message is not bytes")
    return {**message, "body": bytes(body)}


def _joined(body: bytes | bytearray, chunk: bytes) -> bytes | bytearray:
    """What was read so far; a single part is not copied."""
    if not chunk:
        return body
    if not body:
        return chunk
    grown = body if isinstance(body, bytearray) else bytearray(body)
    grown += chunk
    return grown


def _is_empty(message: object) -> bool:
    """Whether a message says that there is no body, in one of the ways in which servers say it."""
    with suppress(MalformedMessageError):
        part = body_part(message)
        return part is not None and not part.get("body") and not part.get("more_body")
    return False


def _too_late(_denial: Denial) -> None:
    """The answer is complete: nothing is refused any more."""


class RequestBody:
    """Owns ``receive`` for one request.

    ``buffer_bytes`` is how much of a body is read at once; ``max_bytes`` and ``idle_seconds`` bound a streamed body
    (None in monitor mode: it streams through). ``on_excess`` is called once when it breaks a bound.
    """

    __slots__ = (
        "_ahead",
        "_idle_seconds",
        "_on_excess",
        "_reader",
        "_receive",
        "_replay",
        "_timers",
        "buffer_bytes",
        "complete",
        "disconnected",
        "held",
        "max_bytes",
        "received_bytes",
    )

    def __init__(
        self,
        receive: Receive,
        buffer_bytes: int,
        max_bytes: int | None,
        idle_seconds: float,
        budget: BufferBudget,
        timers: PerLoop[DeadlineTimers],
        on_excess: Callable[[Denial], None],
    ) -> None:
        self._receive = receive
        self._timers = timers
        self.buffer_bytes = buffer_bytes
        self.held = HeldBody(budget)
        self._on_excess = on_excess
        self._idle_seconds = idle_seconds
        self._replay: deque[Message] = deque()
        self._reader: asyncio.Task[Message] | None = None
        self._ahead: asyncio.Future[Message] | None = None  # the next message of a body that nothing has announced
        self.max_bytes = max_bytes
        self.received_bytes = 0
        self.complete = False
        self.disconnected = False

    @property
    def cut_short(self) -> bool:
        """Whether the client left in the middle of its body."""
        return self.disconnected and not self.complete

    async def read_body(self, *, unless: re.Pattern[bytes] | None = None) -> bytes | Denial | None:
        """The whole body; a Denial if it is too large; None if the client left. What was read is kept for replay.

        However many messages it comes in, it is kept as one: a message takes a hundred times the memory of a byte. A
        body that begins with ``unless`` is read no further (None). MalformedMessageError for a message that is no part
        of a body.
        """
        body: bytes | bytearray = b""
        while not self.complete:
            received = await self._next()
            try:
                message = body_part(received)
            except MalformedMessageError:
                self._keep(body)
                self._replay.append(received)  # in monitor mode the app gets it all the same
                raise
            if message is None:
                self.disconnected = True
                self.drop()
                return None
            chunk = message.get("body", b"")
            self.complete = not message.get("more_body", False)
            if self.complete and not body:
                self._replay.append(message)  # nearly always: nothing is copied
            body = _joined(body, chunk)
            denial = self._take(len(chunk)) if chunk else None
            if denial is not None:
                self._keep(body)
                return denial
            if unless is not None and (begins := chunk.lstrip(_BLANKS)):
                if unless.match(begins):
                    self._keep(body)
                    return None
                unless = None
        return self._keep(body)

    def _take(self, size: int) -> Denial | None:
        """Count a part of the body that was read; the refusal if it is one too many."""
        self.received_bytes += size
        denial = self.held.add(size)
        if self.received_bytes > self.buffer_bytes:
            return Denial(BODY_TOO_LARGE, limit=self.buffer_bytes, actual=self.received_bytes)
        return denial

    def _keep(self, body: bytes | bytearray) -> bytes:
        """Have the app receive what was read, as one message."""
        whole = bytes(body)
        if not self._replay and (whole or self.complete):
            self._replay.append({"type": "http.request", "body": whole, "more_body": not self.complete})
        return whole

    def replace(self, body: bytes) -> None:
        """Have the app receive something else than the body that was read, which is kept as well."""
        self.held.add(len(body))
        self._replay.clear()
        self._replay.append({"type": "http.request", "body": body, "more_body": False})

    async def __call__(self) -> Message:
        """What the app receives: the body byte for byte as it came, then whatever the server sends."""
        if self._replay:
            return self._replay.popleft()
        if self.disconnected:
            return DISCONNECT
        if self.complete:
            return await self.next_message()
        return await self._stream()

    async def _stream(self) -> Message:
        """The next part of a body that is not buffered, in bounds of size and silence."""
        if self.max_bytes is None:
            return self._counted(await self._next())
        loop, seconds = asyncio.get_running_loop(), self._idle_seconds
        silence = Deadline(self._timers.of(loop), loop.time() + seconds)
        received = await silence.bound(self._next())
        if silence.expired:
            return self._refuse(Denial(BODY_TIMEOUT, limit=seconds))
        try:
            message = body_part(received)
        except MalformedMessageError as error:
            return self._refuse(Denial(GUARD_FAULT, detail=str(error), retry_after_seconds=1.0))
        if message is None:
            self.disconnected = True
            return DISCONNECT
        self._counted(message)
        if self.received_bytes > self.max_bytes:
            return self._refuse(Denial(BODY_TOO_LARGE, limit=self.max_bytes, actual=self.received_bytes))
        return message

    def _counted(self, message: Message) -> Message:
        """A message that is handed on as it is; what it says is noted, if it says anything."""
        with suppress(MalformedMessageError):
            part = body_part(message)
            if part is None:
                self.disconnected = True
            else:
                self.received_bytes += len(part.get("body", b""))
                self.complete = not part.get("more_body", False)
        return message

    def _refuse(self, denial: Denial) -> Message:
        """What the app receives when its client gets a refusal instead of an answer."""
        self.disconnected = True
        self._on_excess(denial)
        return DISCONNECT

    async def next_message(self) -> Message:
        """The message after the body, read once for all who wait for it."""
        if self.disconnected:
            return DISCONNECT
        return await asyncio.shield(self._read_on())

    def look_for_end(self) -> bool:
        """Whether the client has left behind its body. The first look has the message after the body read, which says
        so."""
        if self.complete and not self.disconnected and self._reader is None:
            self._read_on()
        return self.disconnected

    def _read_on(self) -> asyncio.Task[Message]:
        reader = self._reader
        if reader is None or reader.done():
            reader = self._reader = asyncio.ensure_future(self._receive())
            reader.add_done_callback(self._note_reader)
        return reader

    def _note_reader(self, reader: asyncio.Task[Message]) -> None:
        """The reader may have given up meanwhile, and some servers say it only once."""
        if not reader.cancelled() and reader.exception() is None:
            self._note_end(reader.result())

    def _note_end(self, message: Message) -> None:
        if message["type"] == "http.disconnect":
            self.disconnected = True

    def _next(self) -> Awaitable[Message]:
        """The next message, which may have been waited for already."""
        ahead, self._ahead = self._ahead, None
        return self._receive() if ahead is None else ahead

    async def wait(self, seconds: float) -> bool:
        """Wait for so long, or until the client leaves; whether it is still there. Nothing of a body is read."""
        leaving = asyncio.ensure_future(self._until_left())
        try:
            await asyncio.wait([leaving], timeout=seconds)
        finally:
            leaving.cancel()
        return not self.disconnected

    async def _until_left(self) -> None:
        if not self.complete and not self.disconnected:
            await self._look_ahead()
        # A body that goes on, or a server that fails, tells nothing more.
        while self.complete and not self.disconnected:
            with suppress(Exception):
                await self.next_message()
                continue
            break
        if not self.disconnected:
            await asyncio.get_running_loop().create_future()

    async def _look_ahead(self) -> None:
        """Wait for the first message: nearly always it says that there is no body."""
        ahead = self._ahead = self._ahead or asyncio.ensure_future(self._receive())
        await asyncio.wait([ahead])
        message = None if ahead.exception() is not None else ahead.result()
        if message == DISCONNECT:
            self.disconnected = True
        elif _is_empty(message):
            self._ahead, self.complete = None, True
            self._replay.append(_NO_BODY)

    def drop(self) -> None:
        """Give back the memory of the body: the app will not receive it any more."""
        self._replay.clear()
        self.held.release()

    def let_go(self) -> None:
        """Give back the memory of a body that the app has received, while it works on."""
        if not self._replay:
            self.held.release()

    def close(self) -> None:
        """Give back the memory of the body, and stop waiting for the client: the answer is complete."""
        self.drop()
        self._on_excess = _too_late  # a cycle with the request handler would be left to the garbage collector
        for reader in (self._reader, self._ahead):
            if reader is not None and not reader.done():
                reader.cancel()

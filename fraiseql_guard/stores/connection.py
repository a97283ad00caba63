"""One connection to Redis that all requests of an event loop share.

Commands are written at once and answered in order, so that a thousand simultaneous requests need neither a pool nor a
queue, and a request that gives up costs no connection. The client was the whole bill of a rate limit: this is a tenth
of a pooled client's CPU time (FACTS section 3). Bytes are parsed by hiredis, addresses by redis-py.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import hiredis

from fraiseql_guard.stores.address import Address, Command
from fraiseql_guard.stores.errors import reply_error
from fraiseql_guard.stores.protocol import StoreError

CONNECT_SECONDS: Final = 1.0
"""An attempt to connect is given up after this time; requests meanwhile give up at their own deadlines."""
SILENT_SECONDS: Final = 1.0
"""A connection that left a request unanswered for so long is replaced: it may be dead without saying so."""


class _Link(asyncio.Protocol):
    """A transport with the requests that wait for its answers."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._reader = hiredis.Reader(notEnoughData=self)
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._transport: asyncio.Transport | None = None
        self._collecting = False
        self._collected: list[bytes] = []
        self.lost: StoreError | None = None
        self._closed: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream's transport is a Transport
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not self:
                future, _ = self._waiting.popleft()
                if not future.done():
                    future.set_result(reply)
        except (hiredis.ProtocolError, IndexError):
            self.abort("an answer is not Redis protocol")

    def connection_lost(self, exc: Exception | None) -> None:
        self.abort(str(exc) if exc else "the server closed the connection")
        if not self._closed.done():
            self._closed.set_result(None)

    def send(self, packed: bytes, futures: Sequence[asyncio.Future[Any]]) -> None:
        """Write commands; their answers go to the futures in order.

        The first write of a loop's turn goes out at once, the others of that turn together: a system call each would
        be a third of the bill.
        """
        now = self._loop.time()
        for future in futures:
            self._waiting.append((future, now))
        if self.lost is not None:
            self.abort(self.lost.detail)
        elif self._collecting:
            self._collected.append(packed)
        elif self._transport is not None:
            self._transport.write(packed)
            self._collecting = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._collecting = False
        if self._collected and self._transport is not None:
            self._transport.write(b"".join(self._collected))
        self._collected.clear()

    def silent_seconds(self) -> float:
        """How long the oldest request has been waiting."""
        return self._loop.time() - self._waiting[0][1] if self._waiting else 0.0

    def abort(self, detail: str) -> None:
        """Drop the connection; everything that waits for it has failed."""
        if self.lost is None:
            self.lost = StoreError("connection", detail)
        while self._waiting:
            future, _ = self._waiting.popleft()
            if not future.done():
                future.set_exception(StoreError("connection", detail))
        if self._transport is not None:
            self._transport.abort()

    async def drop(self, detail: str) -> None:
        """Abort, and wait until the socket is closed."""
        self.abort(detail)
        if self._transport is not None:
            await self._closed


class Channel:
    """Requests of one event loop to one Redis: connects when asked, and anew when the connection was lost.

    ``warm_up`` commands follow each connect; their failure is no error (scripts that could not be loaded are sent).
    """

    def __init__(
        self, address: Address, *, warm_up: Sequence[Command] = (), connect_seconds: float = CONNECT_SECONDS
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._address = address
        self._warm_up = warm_up
        self._connect_seconds = connect_seconds
        self._link: _Link | None = None
        self._backlog: deque[tuple[bytes, asyncio.Future[Any]]] = deque()
        self._connecting: asyncio.Task[None] | None = None

    async def ask(self, command: Command, *, timeout_seconds: float) -> Any:
        """The answer to one command; StoreError if it is an error, or none came in time (connecting included)."""
        future: asyncio.Future[Any] = self._loop.create_future()
        # A timer and not asyncio.timeout: answers that have arrived are read before timers fire, so that a busy loop
        # is not taken for a slow store, and giving up cancels nothing.
        timer = self._loop.call_later(timeout_seconds, self._expire, future, timeout_seconds)
        try:
            packed = _pack(command)
            if self._link is not None and self._link.lost is None:
                self._link.send(packed, (future,))
            else:
                self._backlog.append((packed, future))
                self._connect_soon()
            reply = await future
        finally:
            timer.cancel()
        if isinstance(reply, hiredis.ReplyError):
            raise self._failure(str(reply))
        return reply

    def _failure(self, text: str) -> StoreError:
        error, moved = reply_error(text)
        if moved and self._link is not None:
            self._link.abort(text)  # the next connection may reach the server that has taken over
        return error

    def _expire(self, future: asyncio.Future[Any], timeout_seconds: float) -> None:
        if future.done():
            return
        future.set_exception(StoreError("timeout", f"no answer within {timeout_seconds * 1000:.0f} ms"))
        if self._link is not None and self._link.silent_seconds() >= SILENT_SECONDS:
            self._link.abort(f"no answer for {SILENT_SECONDS:.0f} s")

    def _connect_soon(self) -> None:
        if self._connecting is None or self._connecting.done():
            self._connecting = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        link = _Link(self._loop)
        try:
            async with asyncio.timeout(self._connect_seconds):
                await self._open(link)
                await self._greet(link)
        except asyncio.CancelledError:
            await self._give_up(link, StoreError("connection", "the store was closed"))
            raise
        except StoreError as error:
            await self._give_up(link, error)
            return
        except (OSError, ValueError) as error:  # TimeoutError, refused, unknown host, certificate
            await self._give_up(link, StoreError("connection", str(error) or "connecting took too long"))
            return
        self._link = link
        while self._backlog:
            packed, future = self._backlog.popleft()
            if not future.done():
                link.send(packed, (future,))

    async def _open(self, link: _Link) -> None:
        where = self._address
        if where.path is not None:
            await self._loop.create_unix_connection(lambda: link, where.path)
        else:
            await self._loop.create_connection(lambda: link, where.host, where.port, ssl=where.tls)

    async def _greet(self, link: _Link) -> None:
        commands = (*self._address.greeting, *self._warm_up)
        if not commands:
            return
        futures: list[asyncio.Future[Any]] = [self._loop.create_future() for _ in commands]
        link.send(b"".join(_pack(command) for command in commands), futures)
        replies = await asyncio.gather(*futures, return_exceptions=True)
        lost = next((reply for reply in replies if isinstance(reply, StoreError)), None)
        for position, reply in enumerate(replies):
            # A server that lets nobody in (maxclients, protected mode) answers a command with why, and hangs up.
            if isinstance(reply, hiredis.ReplyError) and (lost or position < len(self._address.greeting)):
                error, _ = reply_error(str(reply))
                raise error if error.reason == "server" else StoreError("refused", error.detail)
        if lost is not None:
            raise lost

    async def _give_up(self, link: _Link, error: StoreError) -> None:
        # The socket first: whoever is told may ask again at once, and must find that nobody is connecting.
        await link.drop(error.detail)
        while self._backlog:
            _, future = self._backlog.popleft()
            if not future.done():
                future.set_exception(StoreError(error.reason, error.detail))

    async def aclose(self) -> None:
        """Drop the connection and wait until it is gone. The next request connects anew."""
        if self._connecting is not None:
            self._connecting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._connecting
        link, self._link, self._connecting = self._link, None, None
        if link is not None:
            await link.drop("the store was closed")


def _pack(command: Command) -> bytes:
    try:
        packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # the stub allows one part alone
    except (TypeError, ValueError, hiredis.HiredisError) as error:  # text that is no UTF-8
        raise StoreError("script", f"unsendable command: {error}", opens_breaker=False) from error
    return packed

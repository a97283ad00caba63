"""Writes commands at once, and reads the answers in order. hiredis parses them."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import hiredis

from fraiseql_guard.stores.protocol import StoreError

_TOGETHER: Final = 16


class Wire(asyncio.Protocol):
    """A transport with the requests that wait for its answers.

    ``lost`` is the reason why the connection has ended, None before. Every request keeps its place until its answer
    comes, even after its caller has given up, so that answers are never mixed up.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # The reader answers with this object where no whole reply has come: None is a reply.
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
            # So that a peer that vanished is noticed also while no request waits.
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            # Answers come in the order of the requests; the reader returns this object when no whole answer is left.
            while (reply := self._reader.gets()) is not self:
                future, _ = self._waiting.popleft()
                # A request that has given up keeps its place; its answer is read and dropped.
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

        The first write of a turn of the loop goes out at once, the others of that turn together, sixteen at most. A
        system call for each would be a third of the cost of an exchange; keeping all until the end of the turn would
        leave Redis idle while this process works, and this process idle while Redis works.
        """
        # While no request waits, this is the only one for now, and there is nothing to collect.
        alone, now = not self._waiting, self._loop.time()
        for future in futures:
            self._waiting.append((future, now))
        if self.lost is not None:
            # The connection ended since the caller looked: its futures fail as well.
            self.abort(self.lost.detail)
        elif self._collecting:
            self._collected.append(packed)
            if len(self._collected) >= _TOGETHER:
                self._write_collected()
        elif self._transport is not None:
            self._transport.write(packed)
            if not alone:
                # Further writes of this turn are collected, and go out when it ends.
                self._collecting = True
                self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._collecting = False
        if self._collected:
            self._write_collected()

    def _write_collected(self) -> None:
        if self._transport is not None:
            self._transport.write(b"".join(self._collected))
        self._collected.clear()

    @property
    def waits(self) -> bool:
        """Whether a request waits for its answer."""
        return bool(self._waiting)

    def silent_seconds(self) -> float:
        """How long the oldest request has waited; 0 if none waits."""
        return self._loop.time() - self._waiting[0][1] if self._waiting else 0.0

    def abort(self, detail: str) -> None:
        """Drop the connection: all waiting requests fail with ``detail``."""
        if self.lost is None:
            self.lost = StoreError("connection", detail)
        while self._waiting:
            future, _ = self._waiting.popleft()
            if not future.done():
                future.set_exception(StoreError("connection", detail))
        if self._transport is not None:
            # abort, not close: requests that have failed by now must not be sent any more.
            self._transport.abort()

    async def drop(self, detail: str) -> None:
        """Abort, and wait until the socket is closed."""
        self.abort(detail)
        if self._transport is not None:
            await self._closed

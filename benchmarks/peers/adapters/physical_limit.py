"""The least that a decision in Redis can cost: our script on one multiplexed connection, and no safeguard at all.

No deadline, no reconnecting, no fallback, no headers, no metrics: whatever a limiter costs beyond this is its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any
from urllib.parse import urlsplit

import hiredis

from benchmarks.peers.adapters.app import plain
from fraiseql_guard.core.context import Charge, Limit, Subject
from fraiseql_guard.stores.protocol import AdmitRequest
from fraiseql_guard.stores.redis.admit_codec import admit_arguments
from fraiseql_guard.stores.redis.scripts import read_script


class _Connection(asyncio.Protocol):
    """Answers come in the order of the questions."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._waiting: deque[asyncio.Future[Any]] = deque()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            self._waiting.popleft().set_result(reply)

    def ask(self, packed: bytes) -> asyncio.Future[Any]:
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._transport.write(packed)
        return future


def build(redis_url: str, per_hour: int) -> Any:
    """The app behind it."""
    app, script = plain(), read_script("admit")
    charge = Charge("default", Limit(per_hour, 3600))
    arguments = admit_arguments(AdmitRequest(Subject("address", "127.0.0.1"), (charge,)))
    connection = _Connection()
    key = "fg:{somebody}:"
    example = hiredis.pack_command(("EVALSHA", script.sha, 1, key, *arguments))  # packed but for the caller's key
    before, _, after = example.partition(b"$%d\r\n%b\r\n" % (len(key), key.encode()))

    async def connect() -> None:
        where = urlsplit(redis_url)
        await asyncio.get_running_loop().create_connection(lambda: connection, where.hostname, where.port)
        await connection.ask(hiredis.pack_command(("SCRIPT", "LOAD", script.text)))

    async def limited(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await connect()
        else:
            own = b"fg:{%b}:" % scope["client"][0].encode()
            reply = await connection.ask(b"%b$%d\r\n%b\r\n%b" % (before, len(own), own, after))
            if reply[0] != 1:
                raise RuntimeError(f"not admitted: {reply}")
        await app(scope, receive, send)

    return limited

"""A client that sends and receives single messages of GraphQL over WebSocket, and shows how a socket ended.

    async with connected(server.ws()) as socket:
        await socket.init({"authorization": f"Bearer {token}"})
        await socket.subscribe("1", "{ me { id } }")
        assert (await socket.receive())["payload"] == {"data": {"me": {"id": "ada"}}}

``RefusedError`` has the HTTP answer to an upgrade, ``ClosedError`` the code and the reason of the close frame.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

T: Final = "graphql-transport-ws"
L: Final = "graphql-ws"
LONGEST_SECONDS: Final = 30.0
"""After so long a message is taken for one that never comes. Only a test that fails waits for it."""
_SUBSCRIBE: Final = {T: "subscribe", L: "start"}
_COMPLETE: Final = {T: "complete", L: "stop"}


class RefusedError(Exception):
    """The server answered the upgrade like a request."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"HTTP {status}: {body[:500]!r}")
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """extensions.code of a refusal on a GraphQL path, or the code of one elsewhere."""
        told = self.json
        return told["errors"][0]["extensions"]["code"] if "errors" in told else told.get("code")


class ClosedError(Exception):
    """The socket ended: 1006 stands for an end without a close frame."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}".rstrip())
        self.code = code
        self.reason = reason


class RawSocket:
    """One socket that is open.

    What waits for a message ends with ``ClosedError``, or with TimeoutError after ``seconds``.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.protocol = connection.subprotocol or ""

    async def send(self, message: Any) -> None:
        """Send a value as JSON."""
        await self.send_raw(json.dumps(message))

    async def send_raw(self, message: str | bytes) -> None:
        """Send a text or a binary message as it is."""
        try:
            await self.connection.send(message)
        except ConnectionClosed:
            raise self._closed() from None

    async def receive(self, seconds: float = LONGEST_SECONDS) -> Any:
        """The next message of the server."""
        try:
            return json.loads(await asyncio.wait_for(self.connection.recv(), seconds))
        except ConnectionClosed:
            raise self._closed() from None

    async def receive_type(self, kind: str, seconds: float = LONGEST_SECONDS) -> Any:
        """The next message of that type, past pings and, on L, ``ka``."""
        while (message := await self.receive(seconds))["type"] in {"ping", "pong", "ka"} - {kind}:
            pass
        assert message["type"] == kind, message
        return message

    async def ended(self, seconds: float = LONGEST_SECONDS) -> ClosedError:
        """How the socket ended, past all messages that come before."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    await self.connection.recv()
        except ConnectionClosed:
            return self._closed()

    async def init(self, payload: Any = None, *, ack: bool = True) -> None:
        """Send ``connection_init`` and, with ``ack``, wait for the app's answer."""
        await self.send({"type": "connection_init"} if payload is None else
                        {"type": "connection_init", "payload": payload})  # fmt: skip
        if ack:
            await self.receive_type("connection_ack")

    async def subscribe(self, number: str, query: str, **payload: Any) -> None:
        """Begin an operation (``subscribe`` or ``start``) with this id."""
        await self.send({"type": _SUBSCRIBE[self.protocol], "id": number, "payload": {"query": query, **payload}})

    async def complete(self, number: str) -> None:
        """End an operation (``complete`` or ``stop``)."""
        await self.send({"type": _COMPLETE[self.protocol], "id": number})

    async def ask(self, query: str, *, number: str = "1", **payload: Any) -> list[Any]:
        """All payloads that answer one operation, the only one at work; the last of an ``error``."""
        await self.subscribe(number, query, **payload)
        found: list[Any] = []
        while True:
            message = await self.receive()
            if message["type"] in {"ping", "pong", "ka"}:
                continue
            assert message["id"] == number, message
            if message["type"] == "complete":
                return found
            found.append(message["payload"])
            if message["type"] == "error":
                return found

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close as a client does that says goodbye."""
        await self.connection.close(code, reason)

    def abort(self) -> None:
        """Reset the TCP connection, without a close frame."""
        self.connection.transport.abort()

    def _closed(self) -> ClosedError:
        return ClosedError(self.connection.close_code or 1006, self.connection.close_reason or "")


@asynccontextmanager
async def connected(
    url: str, *, protocols: Sequence[str] = (T,), headers: Mapping[str, str] | None = None, origin: str | None = None,
    compression: str | None = None, **options: Any,
) -> AsyncIterator[RawSocket]:  # fmt: skip
    """An upgrade with this offer and these headers, closed with the block; ``RefusedError`` if it is refused.

    ``options`` are those of ``websockets.asyncio.client.connect``.
    """
    try:
        connection = await connect(
            url, subprotocols=list(protocols) or None, additional_headers=dict(headers or {}), origin=origin,
            compression=compression, ping_interval=None, max_size=None, proxy=None, user_agent_header=None,
            open_timeout=LONGEST_SECONDS, close_timeout=5, **options,
        )  # fmt: skip
    except InvalidStatus as refused:
        answer = refused.response
        raise RefusedError(answer.status_code, dict(answer.headers.raw_items()), answer.body or b"") from None
    try:
        yield RawSocket(connection)
    finally:
        await connection.close()

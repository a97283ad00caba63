"""A WebSocket inside an HTTP/2 stream (RFC 8441), in the form that ``tests.support.socket_client`` reads and writes."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RemoteSettingsChanged, ResponseReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes
from websockets.exceptions import ConnectionClosedError
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.utilities import LocalProtocolError

from tests.support.socket_client import LONGEST_SECONDS, RawSocket, RefusedError, T

_STREAM = 1


class Http2Connection:
    """What of ``websockets``' connection a RawSocket uses."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._http = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._frames = Connection(ConnectionType.CLIENT)
        self._messages: deque[str | bytes] = deque()
        self._parts: list[str | bytes] = []
        self._body = b""
        self._may_connect = self._over = False
        self.transport = writer.transport
        self.head: dict[str, str] = {}
        self.close_code: int | None = None
        self.close_reason: str | None = None

    @property
    def subprotocol(self) -> str | None:
        return self.head.get("sec-websocket-protocol")

    async def upgrade(self, authority: str, path: str, headers: Mapping[str, str]) -> None:
        """Ask for the socket. RefusedError if the answer's status is another than 200."""
        self._http.initiate_connection()
        while not self._may_connect:
            await self._exchange()
        pseudo = {":method": "CONNECT", ":protocol": "websocket", ":scheme": "http", ":path": path,
                  ":authority": authority, "sec-websocket-version": "13"}  # fmt: skip
        self._http.send_headers(_STREAM, [*pseudo.items(), *headers.items()])
        while not self.head:
            await self._exchange()
        if self.head[":status"] != "200":
            while not self._over:
                await self._exchange()
            raise RefusedError(int(self.head[":status"]), self.head, self._body)

    async def send(self, message: str | bytes) -> None:
        if self._over or self.close_code is not None:
            raise ConnectionClosedError(None, None)
        event = TextMessage(data=message) if isinstance(message, str) else BytesMessage(data=message)
        self._write(self._frames.send(event))
        await self._writer.drain()

    async def recv(self) -> str | bytes:
        while not self._messages:
            if self._over or self.close_code is not None:
                raise ConnectionClosedError(None, None)
            await self._exchange()
        return self._messages.popleft()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if not self._over and self.close_code is None:
            with contextlib.suppress(LocalProtocolError):  # it has been said
                self._write(self._frames.send(CloseConnection(code=code, reason=reason)))
        self._writer.close()

    def _write(self, data: bytes) -> None:
        self._http.send_data(_STREAM, data)
        self._writer.write(self._http.data_to_send())

    async def _exchange(self) -> None:
        """Write what is due, and take what comes next."""
        self._writer.write(self._http.data_to_send())
        if not (data := await self._reader.read(65_536)):
            self._over = True
            return
        for event in self._http.receive_data(data):
            if isinstance(event, RemoteSettingsChanged):
                self._may_connect |= SettingCodes.ENABLE_CONNECT_PROTOCOL in event.changed_settings
            elif isinstance(event, ResponseReceived):
                self.head = {str(name): str(value) for name, value in event.headers}
            elif isinstance(event, DataReceived):
                self._http.acknowledge_received_data(event.flow_controlled_length, _STREAM)
                self._take(event.data)
            elif isinstance(event, StreamEnded | StreamReset):
                self._over = True
        self._writer.write(self._http.data_to_send())

    def _take(self, data: bytes) -> None:
        if self.head[":status"] != "200":
            self._body += data
            return
        self._frames.receive_data(data)
        for event in self._frames.events():
            if isinstance(event, TextMessage | BytesMessage):
                self._parts.append(event.data)
                if event.message_finished:
                    self._messages.append(type(event.data)().join(self._parts))
                    self._parts = []
            elif isinstance(event, Ping):
                self._write(self._frames.send(event.response()))
            elif isinstance(event, CloseConnection):
                self.close_code, self.close_reason = int(event.code), event.reason


@asynccontextmanager
async def connected_over_http2(
    url: str, *, protocols: Sequence[str] = (T,), headers: Mapping[str, str] | None = None
) -> AsyncIterator[RawSocket]:
    """``connected`` over HTTP/2."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    connection = Http2Connection(reader, writer)
    offer = {"sec-websocket-protocol": ", ".join(protocols)} if protocols else {}
    try:
        await asyncio.wait_for(
            connection.upgrade(parts.netloc, parts.path, {**offer, **(headers or {})}), LONGEST_SECONDS
        )
        yield RawSocket(connection)
    finally:
        await connection.close()

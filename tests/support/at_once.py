"""Clients that write a whole request at once, so that no server has answered before it has all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded

_LONGEST_SECONDS = 20.0


async def over_http1(port: int, method: str, path: str, headers: Mapping[str, str], chunks: Sequence[bytes]) -> int:
    """The status of the answer to a request whose body, if it has any, comes in chunks."""
    coding = ["Transfer-Encoding: chunked"] if chunks else []
    lines = [f"{method} {path} HTTP/1.1", "Host: test", *(f"{name}: {value}" for name, value in headers.items())]
    head = "\r\n".join([*lines, *coding, "Connection: close", "", ""]).encode()
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in (*chunks, b"")) if chunks else b""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head + body)
    try:
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _LONGEST_SECONDS)
    finally:
        writer.close()
    return int(answer.split(b" ", 2)[1])


async def over_http2(port: int, method: str, path: str, headers: Mapping[str, str], chunks: Sequence[bytes]) -> int:
    """The same over HTTP/2, where no head tells whether there is a body."""
    client = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    client.initiate_connection()
    pseudo = {":method": method, ":scheme": "http", ":authority": "test", ":path": path}
    client.send_headers(1, [*pseudo.items(), *headers.items()], end_stream=not chunks)
    for number, chunk in enumerate(chunks, start=1):
        client.send_data(1, chunk, end_stream=number == len(chunks))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(client.data_to_send())
    try:
        return await asyncio.wait_for(_status(client, reader, writer), _LONGEST_SECONDS)
    finally:
        writer.close()


async def _status(client: H2Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    status = 0
    while data := await reader.read(65_536):
        for event in client.receive_data(data):
            if isinstance(event, ResponseReceived):
                status = int(dict(event.headers)[":status"])
            elif isinstance(event, DataReceived):
                client.acknowledge_received_data(event.flow_controlled_length, 1)
            elif isinstance(event, StreamEnded):
                return status
        writer.write(client.data_to_send())
    raise AssertionError("the server hung up")

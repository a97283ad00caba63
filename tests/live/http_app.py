"""The app of test_http_servers.py: it answers GraphQL after a while, streams, and tells what it has seen.

A document with ``slow`` takes an hour, one with ``brief`` half a second, and ``events`` are a stream without an end.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fraiseql_guard import Guard


class HttpApp:
    """GraphQL on /graphql, and on /seen what has happened so far."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {"lifespan": False, "begun": 0, "cancelled": 0, "peers": []}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["path"] == "/seen":
            await _answer(send, self.seen)
        else:
            self.seen["peers"].append(scope["client"][0])
            await self._work(await _body(receive), send)

    async def _live(self, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            self.seen["lifespan"] = True
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def _work(self, body: bytes, send: Any) -> None:
        self.seen["begun"] += 1
        try:
            if b"events" in body:
                await _stream(send)
            await asyncio.sleep(3600 if b"slow" in body else 0.5 if b"brief" in body else 0)
        except asyncio.CancelledError:
            self.seen["cancelled"] += 1
            raise
        await _answer(send, {"data": {"ok": True}})


async def _body(receive: Any) -> bytes:
    found = b""
    while (message := await receive())["type"] == "http.request":
        found += message.get("body", b"")
        if not message.get("more_body"):
            break
    return found


async def _answer(send: Any, value: Any) -> None:
    body = json.dumps(value).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _stream(send: Any) -> None:
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while True:
        await send({"type": "http.response.body", "body": b"event: next\ndata: {}\n\n", "more_body": True})
        await asyncio.sleep(0.1)


def guarded_app() -> Guard:
    """Behind a guard that the server's FRAISEQL_* variables configure."""
    return Guard(HttpApp())

"""Drives an ASGI app directly: every message that a server could send, and every one that it gets back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

PUBLIC_ADDRESS = "203.0.113.7"
LOOPBACK = ("127.0.0.1", 50000)


@dataclass
class Reply:
    """What the client got. ``complete`` is false if the answer was cut."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    complete: bool = False
    messages: list[Any] = field(default_factory=list)

    def header(self, name: str) -> str | None:
        lines = [value.decode("latin-1") for key, value in self.headers if key == name.encode()]
        assert len(lines) <= 1, f"{name} is given {len(lines)} times"
        return lines[0] if lines else None

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def answers(self) -> list[Any]:
        """Those to the operations of a batch, or the only one."""
        return self.json if isinstance(self.json, list) else [self.json]

    @property
    def code(self) -> str | None:
        """extensions.code of a refusal, on GraphQL paths and elsewhere; of a batch they are all the same."""
        first = self.answers[0]
        assert all(answer == first for answer in self.answers)
        return first["errors"][0]["extensions"]["code"] if "errors" in first else first.get("code")

    @property
    def extensions(self) -> dict[str, Any]:
        return self.answers[0]["errors"][0]["extensions"]


class Connection:
    """One request in flight: its client can leave, and its answer can be looked at while it comes."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        parts = list(chunks) or [b""]
        self.messages = [
            {"type": "http.request", "body": part, "more_body": index < len(parts) - 1}
            for index, part in enumerate(parts)
        ]
        self._left = asyncio.Event()
        self.reply = Reply()

    def leave(self) -> None:
        self._left.set()

    async def receive(self) -> Any:
        await asyncio.sleep(0)
        if self.messages:
            return self.messages.pop(0)
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.reply.messages.append(message)
        if message["type"] == "http.response.start":
            assert not self.reply.status, "two answers to one request"
            self.reply.status = message["status"]
            self.reply.headers = list(message["headers"])
        elif message["type"] == "http.response.body":
            assert not self.reply.complete, "an answer goes on after its end"
            self.reply.body += message.get("body", b"")
            self.reply.complete = not message.get("more_body", False)


def http_scope(
    method: str = "POST",
    path: str = "/graphql",
    *,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    client: Any = (PUBLIC_ADDRESS, 40000),
    query: str | bytes = b"",
) -> dict[str, Any]:
    lines = headers.items() if isinstance(headers, Mapping) else headers
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode() if isinstance(query, str) else query,
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in lines],
        "client": client,
        "server": ("testserver", 80),
    }


async def request(
    app: Any,
    method: str = "POST",
    path: str = "/graphql",
    *,
    body: bytes | None = None,
    chunks: Iterable[bytes] | None = None,
    content_type: str | None = "application/json",
    token: str | None = None,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    connection: Connection | None = None,
    **scope: Any,
) -> Reply:
    """Send one request and wait until the app is done with it."""
    lines = list(headers.items() if isinstance(headers, Mapping) else headers)
    if content_type is not None and (body is not None or chunks is not None):
        lines.append(("content-type", content_type))
    if body is not None and not any(name.lower() == "content-length" for name, _ in lines):
        lines.append(("content-length", str(len(body))))
    if token is not None:
        lines.append(("authorization", f"Bearer {token}"))
    connection = connection or Connection(chunks if chunks is not None else [body or b""])
    await app(http_scope(method, path, headers=lines, **scope), connection.receive, connection.send)
    return connection.reply


async def graphql(app: Any, query: str, *, variables: Any = None, **more: Any) -> Reply:
    """POST a GraphQL document as JSON."""
    envelope = {"query": query} | ({"variables": variables} if variables is not None else {})
    return await request(app, body=json.dumps(envelope).encode(), **more)


class EchoApp:
    """A GraphQL-like app: remembers the bodies that reach it and answers ``{"data": ...}``.

    ``seconds`` it works before it answers, with ``held`` until ``release()``; ``at_work`` counts the requests that it
    works for, ``stopped`` those that were cancelled while it did.
    """

    def __init__(self, *, seconds: float = 0.0, held: bool = False, status: int = 200, answer: Any = None) -> None:
        self.seconds = seconds
        self._released = asyncio.Event()
        if not held:
            self._released.set()
        self.status = status
        self.answer = answer if answer is not None else {"data": {"ok": True}}
        self.bodies: list[bytes] = []
        self.scopes: list[Any] = []
        self.at_work = 0
        self.stopped = 0
        self.finished = 0

    def release(self) -> None:
        self._released.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.bodies.append(body)
        self.at_work += 1
        try:
            if self.seconds:
                await asyncio.sleep(self.seconds)
            await self._released.wait()
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        finally:
            self.at_work -= 1
        self.finished += 1
        payload = json.dumps(self.answer).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(payload)).encode())]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": payload})

"""A client of WebSockets in front of an ASGI app, as a server shows it to the app.

It tells how its upgrade is answered, and what becomes of the socket.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from tests.support.asgi import PUBLIC_ADDRESS

T, L = "graphql-transport-ws", "graphql-ws"
PUBLIC = (PUBLIC_ADDRESS, 40000)
Headers = Mapping[str, str] | Iterable[tuple[str, str]]


class EchoSocketApp:
    """Accepts every socket with its first subprotocol, and echoes until the client leaves; a client that says ``stay``
    has it ignore all further messages, its own end included."""

    def __init__(self, *, subprotocol: str | None = None) -> None:
        self.scopes: list[Any] = []
        self.received: list[Any] = []
        self.cancelled = 0
        self._subprotocol = subprotocol

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"{}"})
            return
        self.received.append(await receive())
        chosen = self._subprotocol or next(iter(scope["subprotocols"]), None)
        await send({"type": "websocket.accept", "subprotocol": chosen, "headers": []})
        try:
            while (message := await receive())["type"] == "websocket.receive":
                self.received.append(message)
                if message.get("text") == "stay":
                    await asyncio.Event().wait()
                await send({**message, "type": "websocket.send"})
            self.received.append(message)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


class AnsweringSocketApp:
    """Answers every upgrade with the same messages."""

    def __init__(self, *answers: Any) -> None:
        self.scopes: list[Any] = []
        self._answers = answers

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        for answer in self._answers:
            await send(dict(answer))


class SocketClient:
    """One WebSocket, from its upgrade on. ``messages`` are all that the server was told to send; set
    ``reads`` or ``answers_close`` to False for one that does not."""

    def __init__(self, *, gone: bool = False) -> None:
        self.messages: list[Any] = []
        self.reads = True
        self.answers_close = True
        self.changed = asyncio.Event()
        self._coming: asyncio.Queue[Any] = asyncio.Queue()
        self._coming.put_nowait(
            {"type": "websocket.disconnect", "code": 1006} if gone else {"type": "websocket.connect"}
        )
        self.task: asyncio.Task[None] | None = None

    async def receive(self) -> Any:
        return await self._coming.get()

    async def send(self, message: Any) -> None:
        if not self.reads:
            await asyncio.Event().wait()
        self.messages.append(message)
        self.changed.set()
        if message["type"] == "websocket.close" and self.accepted and self.answers_close:
            self._coming.put_nowait({"type": "websocket.disconnect", "code": message["code"]})

    def say(self, text: str | bytes) -> None:
        """Send a message."""
        content = {"text": text} if isinstance(text, str) else {"bytes": text}
        self._coming.put_nowait({"type": "websocket.receive", **content})

    async def leave(self, code: int = 1000) -> None:
        """Close as a client does, and wait until the app has ended."""
        self._coming.put_nowait({"type": "websocket.disconnect", "code": code})
        await self.over()

    async def over(self) -> None:
        """Until the app has ended."""
        assert self.task is not None
        await asyncio.wait_for(self.task, 20)

    async def until(self, number: int) -> Any:
        """The message of that number, once it is sent; None if the app ends before."""
        assert self.task is not None
        while len(self.messages) <= number and not self.task.done():
            self.changed.clear()
            seen = asyncio.ensure_future(self.changed.wait())
            await asyncio.wait({seen, self.task}, return_when=asyncio.FIRST_COMPLETED)
            seen.cancel()
        return self.messages[number] if len(self.messages) > number else None

    async def answered(self) -> None:
        """Until the upgrade is answered, and a refusal is complete."""
        first = await self.until(0)
        if first is not None and first["type"] == "websocket.http.response.start":
            await self.until(1)
        if self.task is not None and self.task.done():
            self.task.result()

    # --- what it was told ---------------------------------------------------------------------------------------------

    @property
    def accepted(self) -> bool:
        return bool(self.messages) and self.messages[0]["type"] == "websocket.accept"

    @property
    def status(self) -> int:
        """101 if the upgrade is accepted; a close before that is a 403."""
        return 101 if self.accepted else self.messages[0].get("status", 403)

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0].get("headers", ())}

    @property
    def json(self) -> Any:
        return json.loads(self.messages[1]["body"])

    @property
    def code(self) -> str | None:
        """The code of a refusal over HTTP."""
        told = self.json
        return told["errors"][0]["extensions"]["code"] if "errors" in told else told.get("code")

    @property
    def closed(self) -> tuple[int, str] | None:
        """Code and reason of the close frame."""
        found = [each for each in self.messages if each["type"] == "websocket.close"]
        return (found[0]["code"], found[0].get("reason", "")) if found else None


def begin(
    app: Any,
    path: str = "/graphql",
    *,
    token: str | None = None,
    headers: Headers = (),
    http: bool = True,
    client: Any = PUBLIC,
    offers: Iterable[str] = (T,),
    query: str = "",
    gone: bool = False,
    **scope: Any,
) -> SocketClient:
    """An upgrade that is under way. ``offers`` are its subprotocols; ``http``: the server can answer it over
    HTTP. ``gone``: its client has left already."""
    lines = list(headers.items() if isinstance(headers, Mapping) else headers)
    if token is not None:
        lines.append(("authorization", f"Bearer {token}"))
    found = {
        "type": "websocket",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "ws",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in lines],
        "client": client,
        "subprotocols": list(offers),
        "extensions": {"websocket.http.response": {}} if http else {},
        **scope,
    }
    socket = SocketClient(gone=gone)
    socket.task = asyncio.ensure_future(app(found, socket.receive, socket.send))
    return socket


async def opened(app: Any, path: str = "/graphql", **options: Any) -> SocketClient:
    """The client of an upgrade that is answered; it stays open if it was accepted."""
    socket = begin(app, path, **options)
    await socket.answered()
    return socket


async def upgrade(app: Any, path: str = "/graphql", **options: Any) -> SocketClient:
    """The same, closed at once."""
    socket = await opened(app, path, **options)
    if socket.task is not None and not socket.task.done():
        await socket.leave()
    return socket


@asynccontextmanager
async def sockets_open(
    app: Any, number: int, path: str = "/graphql", **options: Any
) -> AsyncIterator[list[SocketClient]]:
    """So many sockets, closed with the block."""
    found = [await opened(app, path, **options) for _ in range(number)]
    try:
        yield found
    finally:
        for each in found:
            if each.task is not None and not each.task.done():
                await each.leave()

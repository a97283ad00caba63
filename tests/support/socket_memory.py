"""GraphQL over WebSockets without a server: a client that drives an ASGI app directly, and an app that speaks both
subprotocols.

    async with opened(guard, T) as socket:
        await socket.init({"token": token})
        await socket.start("1", "{ me { id } }")
        assert (await socket.receive())["payload"] == {"data": {"ok": True}}
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from fraiseql_guard.core.request import current
from tests.support.asgi import PUBLIC_ADDRESS

T: Final = "graphql-transport-ws"
L: Final = "graphql-ws"
LONGEST_SECONDS: Final = 10.0
_START: Final = {T: "subscribe", L: "start"}
_STOP: Final = {T: "complete", L: "stop"}
_RESULT: Final = {T: "next", L: "data"}


class ClosedError(Exception):
    """The socket was closed by the server."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class MemorySocket:
    """One socket: its client, and the server between the client and the app."""

    def __init__(self, app: Any, protocol: str, **scope: Any) -> None:
        self.protocol = protocol
        self._in: asyncio.Queue[Any] = asyncio.Queue()
        self._out: asyncio.Queue[Any] = asyncio.Queue()
        self._reads = asyncio.Event()
        self._reads.set()
        self.accepted: Any = None
        self.left = False
        self.closed: ClosedError | None = None
        self.received_after_the_end = 0
        self.scope = websocket_scope(protocol, **scope)
        self.raises_on_send: BaseException | None = None
        self._in.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.create_task(app(self.scope, self._receive, self._send))

    # --- the server --------------------------------------------------------------------------------------------------

    async def _receive(self) -> Any:
        if self.left and self._in.empty():
            self.received_after_the_end += 1
            await asyncio.Event().wait()
        message = await self._in.get()
        if message["type"] == "websocket.disconnect":
            self.left = True
        return message

    async def _send(self, message: Any) -> None:
        if self.raises_on_send is not None:
            raise self.raises_on_send
        await self._reads.wait()
        await self._out.put(message)
        if message["type"] == "websocket.close" and self.accepted is not None:
            self._in.put_nowait({"type": "websocket.disconnect", "code": message.get("code", 1000)})

    # --- the client --------------------------------------------------------------------------------------------------

    async def send(self, message: Any) -> None:
        await self.send_raw(text=json.dumps(message))

    async def send_raw(self, **what: Any) -> None:
        self._in.put_nowait({"type": "websocket.receive", **what})
        await asyncio.sleep(0)

    async def next_message(self, seconds: float = LONGEST_SECONDS) -> Any:
        """The next ASGI message of the app."""
        return await asyncio.wait_for(self._out.get(), seconds)

    async def receive(self, seconds: float = LONGEST_SECONDS) -> Any:
        """The next GraphQL message; ClosedError if the socket ends instead."""
        if self.closed is not None:
            raise self.closed
        message = await self.next_message(seconds)
        if message["type"] == "websocket.close":
            self.closed = ClosedError(message.get("code", 1000), message.get("reason") or "")
            raise self.closed
        assert message["type"] == "websocket.send", message
        return json.loads(message["text"])

    async def ended(self, seconds: float = LONGEST_SECONDS) -> ClosedError:
        """How the socket ends, past all that comes before."""
        try:
            while True:
                await self.receive(seconds)
        except ClosedError as closed:
            return closed

    async def heard(self, seconds: float) -> list[Any]:
        """The types of what comes in a while, and the code of a close."""
        found: list[Any] = []
        try:
            async with asyncio.timeout(seconds):
                while True:
                    found.append((await self.receive())["type"])
        except TimeoutError:
            return found
        except ClosedError as closed:
            return [*found, closed.code]

    async def nothing(self, seconds: float = 0.05) -> bool:
        """Whether nothing comes for a moment."""
        await asyncio.sleep(seconds)
        return self._out.empty()

    async def init(self, payload: Any = None, *, ack: bool = True) -> None:
        await self.send({"type": "connection_init", **({} if payload is None else {"payload": payload})})
        if ack:
            assert (await self.receive())["type"] == "connection_ack"

    async def start(self, operation_id: str, query: str, **payload: Any) -> None:
        await self.send({"id": operation_id, "type": _START[self.protocol], "payload": {"query": query, **payload}})

    async def stop(self, operation_id: str) -> None:
        await self.send({"id": operation_id, "type": _STOP[self.protocol]})

    async def ask(self, query: str, operation_id: str = "1", **payload: Any) -> Any:
        """The payload of the result, or the first error, of an operation."""
        await self.start(operation_id, query, **payload)
        message = await self.receive()
        assert message["id"] == operation_id, message
        if message["type"] == "error":
            return error_of(message)
        assert (await self.receive())["type"] == "complete"
        return message["payload"]

    def leave(self, code: int = 1001) -> None:
        """The client goes."""
        if not self.left:
            self._in.put_nowait({"type": "websocket.disconnect", "code": code})

    def read_no_more(self) -> None:
        """The client stops reading: whatever is sent waits."""
        self._reads.clear()

    async def done(self, seconds: float = LONGEST_SECONDS) -> None:
        """Until the app has returned."""
        await asyncio.wait_for(asyncio.wait([self.task]), seconds)

    async def finish(self) -> None:
        self.leave()
        self._reads.set()
        _, pending = await asyncio.wait([self.task], timeout=LONGEST_SECONDS)
        for task in pending:
            task.cancel()
        assert not pending, "the app goes on"


def error_of(message: Any) -> Any:
    """The GraphQL error of an ``error`` message of either protocol."""
    payload = message["payload"]
    return payload[0] if isinstance(payload, list) else payload


def websocket_scope(
    protocol: str = T,
    *,
    path: str = "/graphql",
    headers: Mapping[str, str] | None = None,
    client: Any = None,
    **more: Any,
) -> dict[str, Any]:
    lines = {"host": "testserver", "user-agent": "memory", **(headers or {})}
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in lines.items()],
        "client": client or (PUBLIC_ADDRESS, 40000),
        "server": ("testserver", 80),
        "subprotocols": [protocol],
        "extensions": {"websocket.http.response": {}},
        **more,
    }


@asynccontextmanager
async def opened(app: Any, protocol: str = T, **scope: Any) -> AsyncIterator[MemorySocket]:
    """A socket that was accepted; its client leaves with the block, and the app is awaited."""
    socket = MemorySocket(app, protocol, **scope)
    try:
        first = await socket.next_message()
        assert first["type"] == "websocket.accept", first
        socket.accepted = first
        yield socket
    finally:
        await socket.finish()


Answer = Callable[["SocketApp", str, str, Any], Awaitable[None]]


class SocketApp:
    """A GraphQL-like app for sockets of both protocols, and for HTTP. It reads the documents as words alone:

    ``slow`` works until it is stopped, or for the seconds behind it; ``ticks`` sends events until it is stopped,
    ``silent`` none, ``events N`` so many; ``fail`` ends with an error; anything else is answered at once. ``inline``:
    it executes in its receive loop. ``ignores_stops``: it goes on whatever the client says.
    """

    def __init__(
        self,
        *,
        inline: bool = False,
        ignores_stops: bool = False,
        acks: bool = True,
        ack_later: float = 0.0,
        answer: Any = None,
        error: Any = None,
    ) -> None:
        self.inline = inline
        self.ignores_stops = ignores_stops
        self.acks = acks
        self.ack_later = ack_later
        self.answer = answer if answer is not None else {"data": {"ok": True}}
        self.error = error if error is not None else {"message": "no"}
        self.received: list[Any] = []
        self.texts: list[str] = []
        self.scopes: list[Any] = []
        self.contexts: list[Any] = []
        self.running: dict[str, asyncio.Task[None]] = {}
        self.at_work = 0
        self.stopped = 0
        self.finished = 0
        self.disconnects: list[Any] = []
        self.closes: int | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if scope["type"] == "http":
            await self._http(receive, send)
        elif scope["type"] == "websocket":
            await self._socket(scope, receive, send)

    async def _http(self, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        body = json.dumps(self.answer).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _socket(self, scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "websocket.connect"
        protocol = scope["subprotocols"][0]
        await send({"type": "websocket.accept", "subprotocol": protocol, "headers": []})
        tasks: dict[str, asyncio.Task[None]] = {}
        self.running = tasks
        try:
            while True:
                message = await receive()
                if message["type"] == "websocket.disconnect":
                    self.disconnects.append(message)
                    return
                if self.closes is not None:
                    await send({"type": "websocket.close", "code": self.closes})
                    continue
                await self._message(protocol, message["text"], send, tasks)
        finally:
            for task in tasks.values():
                task.cancel()

    async def _message(self, protocol: str, text: str, send: Any, tasks: dict[str, asyncio.Task[None]]) -> None:
        message = json.loads(text)
        self.received.append(message)
        self.texts.append(text)
        kind = message["type"]
        if kind == "connection_init":
            if self.ack_later:
                tasks["ack"] = asyncio.create_task(self._ack(send))
            elif self.acks:
                await say(send, {"type": "connection_ack"})
        elif kind == "ping":
            await say(send, {"type": "pong"})
        elif kind == _START[protocol]:
            work = self._execute(protocol, message["id"], message["payload"], send)
            self.contexts.append(current())
            if self.inline:
                await work
            else:
                tasks[message["id"]] = asyncio.create_task(work)
        elif kind == _STOP[protocol] and not self.ignores_stops and message["id"] in tasks:
            tasks.pop(message["id"]).cancel()

    async def _ack(self, send: Any) -> None:
        await asyncio.sleep(self.ack_later)
        await say(send, {"type": "connection_ack"})

    async def _execute(self, protocol: str, operation_id: str, payload: Any, send: Any) -> None:
        self.at_work += 1
        try:
            await self._results(protocol, operation_id, payload["query"], send)
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        finally:
            self.at_work -= 1
        self.finished += 1
        await say(send, {"id": operation_id, "type": "complete"})

    async def _results(self, protocol: str, operation_id: str, query: str, send: Any) -> None:
        result = {"id": operation_id, "type": _RESULT[protocol], "payload": self.answer}
        if "fail" in query:
            error = [self.error] if protocol == T else self.error
            await say(send, {"id": operation_id, "type": "error", "payload": error})
        elif "slow" in query:
            await asyncio.sleep(60)
        elif "silent" in query:
            await asyncio.Event().wait()
        elif "ticks" in query:
            while True:
                await say(send, result)
                await asyncio.sleep(0.01)
        elif "events" in query:
            for _ in range(3):
                await say(send, result)
        else:
            await say(send, result)


async def say(send: Any, message: Any) -> None:
    await send({"type": "websocket.send", "text": json.dumps(message)})

"""One socket: reads its messages, runs each operation in a task of its own, and leaves none behind at its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from graphql import OperationType
from starlette.types import Message, Receive, Scope, Send

from fraiseql_guard.fraiseql.subscription.documents import InvalidOperationError
from fraiseql_guard.fraiseql.subscription.errors import internal_error, shown
from fraiseql_guard.fraiseql.subscription.execution import HostExecution
from fraiseql_guard.fraiseql.subscription.init_token import with_token
from fraiseql_guard.fraiseql.subscription.json_text import read_json, write_json
from fraiseql_guard.fraiseql.subscription.protocols import SubscriptionProtocol, chosen

_logger: Final = logging.getLogger(__name__)
_Handler = Callable[[dict[str, Any]], Awaitable[None]]
_MESSAGE, _UNAUTHORIZED, _TIMEOUT, _DUPLICATE, _INITIALISED = 4400, 4401, 4408, 4409, 4429


class SocketOverError(Exception):
    """The socket has ended: nothing can be sent any more."""


class SocketSession:
    """The conversation of one socket. ``scope["user"]`` may be filled in until the first operation begins."""

    def __init__(
        self, execution: HostExecution, scope: Scope, receive: Receive, send: Send, *, init_seconds: float
    ) -> None:
        self._execution = execution
        self._scope = scope
        self._receive = receive
        self._asgi_send = send
        self._init_seconds = init_seconds
        self._protocol: SubscriptionProtocol
        self._acknowledged = self._over = False
        self._init_payload: Any = None
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._lasting: set[asyncio.Task[None]] = set()
        self._handlers: dict[str, _Handler] = {}

    async def run(self) -> None:
        """Serve the socket to its end."""
        await self._receive()  # websocket.connect
        protocol = chosen(self._scope.get("subprotocols", ()))
        if protocol is None:
            await self._asgi_send({"type": "websocket.close"})  # 403: its client could not read an answer
            return
        self._protocol = protocol
        self._handlers = self._handlers_of(protocol)
        try:
            await self._send({"type": "websocket.accept", "subprotocol": protocol.name})
            await self._converse()
        except SocketOverError:
            pass
        except asyncio.CancelledError:
            self._lasting.clear()
            raise
        finally:
            await self._finish()

    def _handlers_of(self, protocol: SubscriptionProtocol) -> dict[str, _Handler]:
        handlers: dict[str, _Handler] = {
            "connection_init": self._init,
            protocol.begin: self._begin,
            protocol.end: self._end,
        }
        if protocol.has_pings:
            handlers |= {"ping": self._pong, "pong": self._nothing}
        if protocol.has_terminate:
            handlers["connection_terminate"] = self._terminate
        return handlers

    async def _converse(self) -> None:
        ends_at = asyncio.get_running_loop().time() + self._init_seconds
        while not self._over:
            try:
                # In this task: a guard sets the context of an operation inside of receive().
                async with asyncio.timeout_at(None if self._acknowledged else ends_at):
                    message = await self._receive()
            except TimeoutError:
                await self._close(_TIMEOUT, "Connection initialisation timeout")
                return
            if message["type"] != "websocket.receive":
                return
            await self._take(message)

    async def _take(self, message: Message) -> None:
        found = _read(message.get("text"))
        handler = None if found is None else self._handlers.get(found["type"])
        if found is None or handler is None:
            await self._close(_MESSAGE, "Invalid message")
        else:
            await handler(found)

    async def _init(self, message: dict[str, Any]) -> None:
        if self._acknowledged:
            await self._close(_INITIALISED, "Too many initialisation requests")
            return
        self._acknowledged = True
        self._init_payload = message.get("payload")
        await self._send_text('{"type":"connection_ack"}')

    async def _begin(self, message: dict[str, Any]) -> None:
        operation_id, payload = message.get("id"), message.get("payload")
        if not isinstance(operation_id, str) or not operation_id or not isinstance(payload, dict):
            await self._close(_MESSAGE, "Invalid message")
        elif not self._acknowledged:
            await self._close(_UNAUTHORIZED, "Unauthorized")
        elif operation_id in self._operations:
            await self._close(_DUPLICATE, "Subscriber for this id already exists")
        else:
            # The scope as it is now: a guard puts what concerns this operation into it.
            scope = {**self._scope, "headers": with_token(self._scope["headers"], self._init_payload)}
            task = asyncio.create_task(self._operate(operation_id, payload, scope))
            self._operations[operation_id] = task
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(self._lasting.discard)

    async def _operate(self, operation_id: str, payload: dict[str, Any], scope: Scope) -> None:
        protocol, task = self._protocol, asyncio.current_task()

        async def emit(result: bytes) -> None:
            await self._send_text(protocol.result_message(operation_id, result))

        try:
            errors = await self._executed(payload, scope, emit)
            last = protocol.error_message(operation_id, errors) if errors else protocol.complete_message(operation_id)
            if self._forget(operation_id, task):
                await self._send_text(last)
        except SocketOverError:
            pass
        finally:
            self._forget(operation_id, task)

    async def _executed(self, payload: dict[str, Any], scope: Scope, emit: Any) -> list[dict[str, Any]] | None:
        try:
            operation = self._execution.reader.read(payload)
            if operation.kind in (OperationType.MUTATION, None) and (task := asyncio.current_task()) is not None:
                self._lasting.add(task)
            return await self._execution.run(scope, operation, emit)
        except InvalidOperationError as error:
            return shown(error.errors)
        except SocketOverError:
            raise
        except Exception:
            _logger.exception("an operation has failed")
            return [internal_error()]

    def _forget(self, operation_id: str, task: asyncio.Task[None] | None) -> bool:
        """Make the id of an ended operation free; False if another operation has it by now, and keeps it."""
        if self._operations.get(operation_id) is not task:
            return False
        del self._operations[operation_id]
        return True

    async def _end(self, message: dict[str, Any]) -> None:
        operation_id = message.get("id")
        if not isinstance(operation_id, str):
            await self._close(_MESSAGE, "Invalid message")
        elif (task := self._operations.pop(operation_id, None)) is not None:
            task.cancel()

    async def _pong(self, message: dict[str, Any]) -> None:
        payload = {"payload": message["payload"]} if "payload" in message else {}
        await self._send_text(write_json({"type": "pong", **payload}))

    async def _nothing(self, _message: dict[str, Any]) -> None:
        """Ignore a pong: nothing waits for it."""

    async def _terminate(self, _message: dict[str, Any]) -> None:
        await self._close(1000, "")

    async def _close(self, code: int, reason: str) -> None:
        await self._send({"type": "websocket.close", "code": code, "reason": reason})
        self._over = True

    async def _send_text(self, text: str) -> None:
        await self._send({"type": "websocket.send", "text": text})

    async def _send(self, message: Message) -> None:
        if self._over:
            raise SocketOverError
        try:
            await self._asgi_send(message)
        except Exception as error:  # servers raise various exceptions when the client has left
            self._over = True
            raise SocketOverError from error

    async def _finish(self) -> None:
        """Cancel all operations but mutations, which go on although the client has left, and wait for all of them."""
        self._over = True
        self._operations.clear()
        for task in self._tasks - self._lasting:
            task.cancel()
        try:
            await _ended(self._tasks)
        except asyncio.CancelledError:
            for task in self._tasks:
                task.cancel()
            await _ended(self._tasks)
            raise


async def _ended(tasks: set[asyncio.Task[None]]) -> None:
    while tasks:
        await asyncio.wait(tuple(tasks))


def _read(text: Any) -> dict[str, Any] | None:
    """The message in a text: a JSON object with a type; None for any other text."""
    try:
        found = read_json(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("type"), str) else None

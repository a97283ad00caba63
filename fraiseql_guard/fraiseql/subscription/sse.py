"""GraphQL over server-sent events, in the mode of distinct connections: one stream an operation."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
from graphql import OperationType
from starlette.types import Message, Receive, Scope, Send

from fraiseql_guard.fraiseql.subscription.documents import HostOperation, InvalidOperationError
from fraiseql_guard.fraiseql.subscription.errors import internal_error, shown
from fraiseql_guard.fraiseql.subscription.execution import HostExecution

_logger: Final = logging.getLogger(__name__)
EVENT_STREAM: Final = "text/event-stream"
_JSON: Final = ("application/json", "application/graphql-response+json", "application/*", "*/*")
_COMPLETE: Final = b"event: complete\ndata:\n\n"
_HEADERS: Final = [
    (b"content-type", EVENT_STREAM.encode() + b"; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


def accepted(scope: Scope) -> frozenset[str]:
    """The media types that a request accepts, without their parameters."""
    lines = b",".join(value for name, value in scope["headers"] if name == b"accept").decode("latin-1").lower()
    return frozenset(each.partition(";")[0].strip() for each in lines.split(","))


class EventStreams:
    """Answers requests that accept event streams: subscriptions, and all operations of clients that read nothing else.

    All other requests go on to ``otherwise``, with the body that was read.
    """

    def __init__(self, execution: HostExecution, otherwise: Any) -> None:
        self._execution = execution
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive) if scope["method"] == "POST" else b""
        if body is None:
            return  # its client has left
        payload = _payload(scope, body)
        operation, errors = None, None
        try:
            operation = self._execution.reader.read(payload)
        except InvalidOperationError as error:
            errors = shown(error.errors)
        is_subscription = operation is not None and operation.kind is OperationType.SUBSCRIPTION
        if payload is None or not (is_subscription or accepted(scope).isdisjoint(_JSON)):
            await self._otherwise(scope, _replayed(body, receive), send)
        else:
            await _Stream(self._execution, scope, send).run(receive, operation, errors)


class _Stream:
    """One answer."""

    def __init__(self, execution: HostExecution, scope: Scope, send: Send) -> None:
        self._execution = execution
        self._scope = scope
        self._send = send

    async def run(self, receive: Receive, operation: HostOperation | None, errors: list[dict[str, Any]] | None) -> None:
        """Stream to the end of the operation, or until the client leaves."""
        await self._send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        if operation is None:
            await self._last(errors)
            return
        work = asyncio.create_task(self._work(operation))
        left = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait((work, left), return_when=asyncio.FIRST_COMPLETED)
        finally:
            # A mutation runs on: its client does not undo it by leaving. An operation that is cancelled closes itself.
            if not (left.done() and operation.kind in (OperationType.MUTATION, None)):
                work.cancel()
            left.cancel()
            await asyncio.wait((work, left))

    async def _work(self, operation: HostOperation) -> None:
        try:
            errors = await self._execution.run(self._scope, operation, self._next)
        except _StreamOverError:
            return
        except Exception:
            _logger.exception("an operation has failed")
            errors = [internal_error()]
        try:
            await self._last(errors)
        except _StreamOverError:
            return

    async def _next(self, result: bytes) -> None:
        await self._chunk(b"event: next\ndata: " + result.replace(b"\n", b"\ndata: ") + b"\n\n", more=True)

    async def _last(self, errors: list[dict[str, Any]] | None) -> None:
        if errors:
            await self._next(orjson.dumps({"errors": errors}))
        await self._chunk(_COMPLETE, more=False)

    async def _chunk(self, body: bytes, *, more: bool) -> None:
        try:
            await self._send({"type": "http.response.body", "body": body, "more_body": more})
        except Exception as error:  # servers raise what they like when the client has left
            raise _StreamOverError from error


class _StreamOverError(Exception):
    """Nothing more can be sent."""


def _payload(scope: Scope, body: bytes) -> Mapping[str, Any] | None:
    """The envelope of a request; None if it has none, which FraiseQL's own route answers."""
    try:
        if scope["method"] == "POST":
            found = orjson.loads(body)
        else:
            found = dict(parse_qsl(scope.get("query_string", b"").decode()))
            found |= {name: orjson.loads(found[name]) for name in ("variables", "extensions") if name in found}
    except ValueError:
        return None
    return found if isinstance(found, dict) and ("query" in found or "extensions" in found) else None


async def _body(receive: Receive) -> bytes | None:
    """The body of a request; None if its client leaves before it is whole."""
    parts = []
    while (message := await receive())["type"] == "http.request":
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)
    return None


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body once more, and then what comes after it."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


async def _left(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass

"""GraphQL over server-sent events, in the mode of distinct connections: one stream an operation."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from graphql import OperationType
from starlette.types import Message, Receive, Scope, Send

from fraiseql_guard.fraiseql.subscription.documents import HostOperation, InvalidOperationError
from fraiseql_guard.fraiseql.subscription.errors import internal_error, shown
from fraiseql_guard.fraiseql.subscription.execution import HostExecution
from fraiseql_guard.fraiseql.subscription.json_text import read_json, write_json

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
    """Answers requests that accept event streams: subscriptions, and all operations of clients that accept only
    streams.

    All other requests go on to ``otherwise``, with the body that was read.
    """

    def __init__(self, execution: HostExecution, otherwise: Any) -> None:
        self._execution = execution
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        by_post = scope["method"] == "POST"
        body = await _body(receive) if by_post else b""
        if body is None:
            return  # its client has left
        payload = _payload(scope, body)
        operation, errors = None, None
        try:
            operation = self._execution.reader.read(payload)
        except InvalidOperationError as error:
            errors = shown(error.errors)
        if payload is None or not _is_streamed(
            operation, reads_json=not accepted(scope).isdisjoint(_JSON), by_post=by_post
        ):
            await self._otherwise(scope, _replayed(body, receive), send)
        else:
            await _Stream(self._execution, scope, send).run(receive, operation, errors)


def _is_streamed(operation: HostOperation | None, *, reads_json: bool, by_post: bool) -> bool:
    """Whether an operation, or the errors in its place (None), is answered by a stream."""
    if operation is None:
        return not reads_json
    if operation.kind is OperationType.SUBSCRIPTION:
        return True
    # A page of another site can send a GET without a CORS preflight: FraiseQL decides about GETs that change data.
    return not reads_json and (by_post or operation.kind is OperationType.QUERY)


class _Stream:
    """One streamed answer."""

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
            # A mutation goes on although its client has left. A cancelled operation closes itself.
            if not (left.done() and operation.kind in (OperationType.MUTATION, None)):
                work.cancel()
            left.cancel()
            await _ended(work, left)

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
            await self._next(write_json({"errors": errors}).encode())
        await self._chunk(_COMPLETE, more=False)

    async def _chunk(self, body: bytes, *, more: bool) -> None:
        try:
            await self._send({"type": "http.response.body", "body": body, "more_body": more})
        except Exception as error:  # servers raise various exceptions when the client has left
            raise _StreamOverError from error


class _StreamOverError(Exception):
    """The stream has ended: nothing can be sent any more."""


async def _ended(*tasks: asyncio.Task[None]) -> None:
    """Wait for tasks to end. If this is cancelled, cancel them, and still wait."""
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        raise


def _payload(scope: Scope, body: bytes) -> Mapping[str, Any] | None:
    """The envelope of a request; None without one: then FraiseQL's own route answers the request."""
    try:
        if scope["method"] == "POST":
            found = read_json(body) if _says_json(scope) else None
        else:
            found = dict(parse_qsl(scope.get("query_string", b"").decode()))
            found |= {name: read_json(found[name]) for name in ("variables", "extensions") if name in found}
    except ValueError:
        return None
    return found if isinstance(found, dict) and ("query" in found or "extensions" in found) else None


def _says_json(scope: Scope) -> bool:
    """Whether a request's media type is JSON, which a page of another site cannot send without a CORS preflight."""
    kinds = [value.partition(b";")[0].strip().lower() for name, value in scope["headers"] if name == b"content-type"]
    return kinds == [b"application/json"]


async def _body(receive: Receive) -> bytes | None:
    """The whole body of a request; None if its client leaves before the end of the body."""
    parts = []
    while (message := await receive())["type"] == "http.request":
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)
    return None


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that gives the body that was read, and then the messages after it."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


async def _left(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass

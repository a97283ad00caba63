"""What an app says over a GraphQL WebSocket: followed to know which operations are open, and edited as HTTP answers
are."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from starlette.types import Message

from fraiseql_guard.asgi.answer_editor import Edit
from fraiseql_guard.asgi.sockets import dialects
from fraiseql_guard.asgi.sockets.dialects import AppMessage, Dialect
from fraiseql_guard.asgi.sockets.link import Link, Phase
from fraiseql_guard.asgi.sockets.messages import AppSays, read_app_message
from fraiseql_guard.asgi.sockets.operations import Operation, Operations
from fraiseql_guard.asgi.suggestions import MARK, without_suggestions
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.graphql.http.raw_json import elements, members

_SUGGESTS: Final = MARK.decode()
_ERRORS: Final = '"errors"'
_NOTHING: Final = AppSays(None, "")
_LONGEST_EDITED: Final = 262_144
_NORMAL: Final = frozenset({dialects.NORMAL, 1001, 1005})
"""Closing codes after which clients that wait for something come back at once."""


class Outbound:
    """The ``send`` of one socket's app. Whatever is said of an operation that is over is dropped."""

    __slots__ = ("_link", "_operations", "pings", "terminated")

    def __init__(self, link: Link, operations: Operations) -> None:
        self._link = link
        self._operations = operations
        self.pings = 0
        """How many pings of the app the client has not answered."""
        self.terminated = False
        """Whether the client has asked for the end."""

    async def says(self, message: Message) -> Operation | None:
        """Pass on a ``websocket.send``. The operation that it ends with an error, of which the app is to hear that it
        is over."""
        operation: Operation | None = None
        passed: Message | None = message
        try:
            operation, passed = self._understood(message)
        except Exception as error:  # noqa: BLE001 - what the guard does not understand of an app is the app's own affair
            runtime = self._link.runtime
            runtime.tell(runtime.recorder.fault, "sockets", error)
        if passed is not None:
            await self._pass(passed)
        return operation

    def _understood(self, message: Message) -> tuple[Operation | None, Message | None]:
        """The operation that a message ends with an error, and the message as it is passed on, if it is."""
        text = _text_of(message)
        says = read_app_message(text, self._link.dialect) if text is not None else _NOTHING
        if text is None or says.kind is None:
            return None, message
        if says.kind is AppMessage.ACK:
            self._acknowledged()
        elif says.kind is AppMessage.PING:
            self.pings += 1
        elif says.id:
            operation = self._operations.get(says.id)
            if operation is None:
                return None, None
            edited = self._followed(says.kind, operation, text)
            if edited is not text:
                message = {"type": "websocket.send", "text": edited}
            return operation if says.kind is AppMessage.ERROR else None, message
        return None, message

    async def _pass(self, message: Message) -> None:
        link = self._link
        await link.send(message)
        runtime = link.runtime
        runtime.tell(runtime.recorder.sockets.message_left)

    def _acknowledged(self) -> None:
        if self._link.phase is Phase.INITIALIZED:
            self._link.advance(Phase.READY)

    def _followed(self, kind: AppMessage, operation: Operation, text: str) -> str:
        """The text as it is passed on, and what it says about an operation noted."""
        runtime = self._link.runtime
        if kind is AppMessage.COMPLETE:
            self._operations.end(operation)
            return text
        edits = _needed(runtime.edits, text)
        if edits or kind is AppMessage.ERROR or _ERRORS in text:
            text, payload = _edited(edits, operation.ctx, text, kind, self._link.dialect)
        else:
            payload = None
        self._operations.result(operation, payload, len(text), failed=kind is AppMessage.ERROR)
        if kind is AppMessage.ERROR:
            self._operations.end(operation, failed=True)
        return text

    def closing_code(self, message: Message) -> int:
        """The code with which an app's close is passed on. One after which waiting clients come back without a pause
        is replaced by one after which they come back slower and slower."""
        code = message.get("code")
        code = dialects.NORMAL if code is None else int(code)
        waits = self._link.phase < Phase.READY or len(self._operations) > 0
        return dialects.UNAVAILABLE if code in _NORMAL and waits and not self.terminated else code


def _text_of(message: Message) -> str | None:
    text = message.get("text")
    if isinstance(text, str):
        return text
    data = message.get("bytes")
    return data.decode(errors="replace") if isinstance(data, bytes) else None


def _needed(edits: Sequence[Edit], text: str) -> Sequence[Edit]:
    """The edits that may change anything: the most usual one needs a mark."""
    if not edits or len(text) > _LONGEST_EDITED:
        return ()
    return edits if _SUGGESTS in text else [edit for edit in edits if edit is not without_suggestions]


def _edited(
    edits: Sequence[Edit], ctx: RequestContext, text: str, kind: AppMessage, dialect: Dialect
) -> tuple[str, bytes | None]:
    """The text with its payload edited, and the payload as an HTTP body would be."""
    raw = text.encode(errors="replace")
    with suppress(Exception):  # a message that is not understood is passed on as it is
        where = members(raw)["payload"]
        body = came = raw[where]
        if kind is AppMessage.ERROR:
            listed = came if came.lstrip().startswith(b"[") else b"[%s]" % came
            body = came = b'{"errors":%s}' % listed
        for edit in edits:
            with suppress(Exception):  # as for an HTTP answer
                body = edit(ctx, body) or body
        payload = _errors_of(body, dialect) if kind is AppMessage.ERROR else body
        if payload != raw[where]:
            text = (raw[: where.start] + payload + raw[where.stop :]).decode()
        return text, body
    return text, None


def _errors_of(body: bytes, dialect: Dialect) -> bytes:
    """The payload of an error message, in the form that the dialect's clients read: they end the socket for good over
    another one."""
    errors = body[members(body)["errors"]]
    if dialect.error_is_list:
        return errors
    return errors.strip()[1:-1] if _holds_one(errors) else errors


def _holds_one(errors: bytes) -> bool:
    return len(elements(errors)) == 1

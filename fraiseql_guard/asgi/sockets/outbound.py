"""Follows the messages of a GraphQL WebSocket's app, to know which operations are open, and edits them as HTTP
answers."""

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
"""Closing codes after which clients with open operations come back at once."""


class Outbound:
    """Passes on the messages of one socket's app. Messages for an operation that has ended are dropped."""

    __slots__ = ("_link", "_operations", "pings", "terminated")

    def __init__(self, link: Link, operations: Operations) -> None:
        self._link = link
        self._operations = operations
        self.pings = 0
        """Number of the app's pings that the client has not answered."""
        self.terminated = False
        """Whether the client has asked to end the socket."""

    async def says(self, message: Message) -> Operation | None:
        """Pass on a ``websocket.send``. Returns the operation that it ends with an error, so that the app can be told
        to stop it; None without one."""
        operation: Operation | None = None
        passed: Message | None = message
        try:
            operation, passed = self._understood(message)
        except Exception as error:  # noqa: BLE001 - a message of the app that cannot be read is passed on
            runtime = self._link.runtime
            runtime.tell(runtime.recorder.fault, "sockets", error)
        if passed is not None:
            await self._pass(passed)
        return operation

    def _understood(self, message: Message) -> tuple[Operation | None, Message | None]:
        """The operation that a message ends with an error, and the message to pass on; None for either."""
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
        """Note what a message says about an operation; the text to pass on."""
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
        """The code for an app's close. A code after which clients with open operations come back without a pause is
        replaced by one after which they come back slower and slower."""
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
    """The edits that may change this text. The most usual one, which takes out suggestions, looks for a mark first."""
    if not edits or len(text) > _LONGEST_EDITED:
        return ()
    return edits if _SUGGESTS in text else [edit for edit in edits if edit is not without_suggestions]


def _edited(
    edits: Sequence[Edit], ctx: RequestContext, text: str, kind: AppMessage, dialect: Dialect
) -> tuple[str, bytes | None]:
    """The text with its payload edited, and the payload as an HTTP body would be."""
    raw = text.encode(errors="replace")
    with suppress(Exception):  # a message that cannot be read is passed on unchanged
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
    """The payload of an error message in the dialect's form. Clients that get another form end the socket for good."""
    errors = body[members(body)["errors"]]
    if dialect.error_is_list:
        return errors
    return errors.strip()[1:-1] if _holds_one(errors) else errors


def _holds_one(errors: bytes) -> bool:
    return len(elements(errors)) == 1

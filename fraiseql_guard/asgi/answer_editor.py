"""Changes an answer of the app in a few places, where the settings ask for it.

Only whole JSON objects of a known and bounded length are touched. An answer that is streamed, encoded or signed, or
that is no JSON, goes by as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from starlette.types import Message

from fraiseql_guard.asgi.answer import Answer
from fraiseql_guard.core.context import RequestContext

_MOST_BYTES: Final = 262_144
_MEDIA_TYPES: Final = frozenset({b"application/json", b"application/graphql-response+json"})
_BOUND_TO_THE_BYTES: Final = frozenset(
    {b"content-encoding", b"etag", b"digest", b"content-digest", b"repr-digest", b"content-md5", b"signature"}
)
"""Headers of an answer that would be untrue of another body."""

Edit = Callable[[RequestContext, bytes], bytes | None]
"""Returns a changed body for a whole one, never an empty one; None leaves the body as it is."""


class AnswerEditor:
    """Holds an answer back, from its head on, until its body is complete and may be edited."""

    _head: Message | None = None  # held back until the body is complete
    _chunks: list[bytes]  # of the body, held back
    _size: int  # of the chunks, in bytes
    _length: int  # of the whole body in bytes, as the head says

    def __init__(self, ctx: RequestContext, edits: Sequence[Edit], answer: Answer) -> None:
        self._ctx = ctx
        self._edits = edits
        self._answer = answer

    def ready(self, message: Message) -> Sequence[Message]:
        """The messages to send now that the app has sent ``message``; empty while the answer is held back."""
        kind, head = message["type"], self._head
        if head is None:
            if kind != "http.response.start" or not (length := self._editable(message)):
                return (message,)
            self._head, self._length, self._chunks, self._size = message, length, [], 0
            return ()
        if kind != "http.response.body":
            return *self._held(head), message
        chunk = message.get("body", b"")
        self._chunks.append(bytes(chunk))  # of an app that fills one buffer again and again, too
        self._size += len(chunk)
        if not message.get("more_body", False):
            return self._whole(head)
        return () if self._size <= self._length else self._held(head)  # more than its head says

    def _editable(self, head: Message) -> int:
        """The length in bytes of an answer that is to be held back; 0 of any other."""
        headers = self._answer.headers
        length = headers.get(b"content-length", b"")
        editable = (
            length.isdigit()
            and len(length) < 10
            and self._ctx.method != "HEAD"
            and self._answer.media_type.partition(b";")[0].strip() in _MEDIA_TYPES
            and _BOUND_TO_THE_BYTES.isdisjoint(headers)
            and not head.get("trailers")
        )
        return size if editable and (size := int(length)) <= _MOST_BYTES else 0

    def _held(self, head: Message) -> Sequence[Message]:
        """The messages that were held back so far, unchanged."""
        self._head = None
        return head, {"type": "http.response.body", "body": b"".join(self._chunks), "more_body": True}

    def _whole(self, head: Message) -> Sequence[Message]:
        """The messages of the whole answer, edited if its length is the announced one."""
        self._head = None
        came = body = b"".join(self._chunks)
        if self._size == self._length:
            for edit in self._edits:
                with suppress(Exception):  # an answer that one edit does not understand is as the others have left it
                    body = edit(self._ctx, body) or body
        if body is not came:
            lines = [line for line in head["headers"] if line[0] != b"content-length"]
            head = {**head, "headers": [*lines, (b"content-length", b"%d" % len(body))]}
        return head, {"type": "http.response.body", "body": body, "more_body": False}

"""Changes an answer of the app in a few places, where that was asked for.

Only whole JSON objects of a known and bounded length are touched; whatever is streamed, encoded, signed or not
understood goes by as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from fraiseql_guard.context import Context

_MOST_BYTES: Final = 262_144
_MEDIA_TYPES: Final = frozenset({b"application/json", b"application/graphql-response+json"})
_BOUND_TO_THE_BYTES: Final = frozenset(
    {b"content-encoding", b"etag", b"digest", b"content-digest", b"repr-digest", b"content-md5", b"signature"}
)
"""Headers of an answer that would be untrue of another body."""

Edit = Callable[[Context, bytes], bytes | None]
"""Makes another body of a whole one; None leaves it as it is."""


class AnswerEditor:
    """Stands between the app and ``send`` for one request. Holds the head back until the body is complete."""

    __slots__ = ("_body", "_ctx", "_edits", "_expected", "_head", "_send")

    def __init__(self, ctx: Context, edits: Sequence[Edit], send: Any) -> None:
        self._ctx = ctx
        self._edits = edits
        self._send = send
        self._head: Any = None
        self._body = bytearray()
        self._expected = 0

    async def __call__(self, message: Any) -> None:
        """Pass on what the app sends."""
        if message["type"] == "http.response.start" and self._editable(message):
            self._head = message
        elif self._head is None:
            await self._send(message)
        elif message["type"] != "http.response.body":
            await self._let_go()
            await self._send(message)
        else:
            await self._collect(message)

    def _editable(self, head: Any) -> bool:
        """Whether this answer is one to be held back."""
        headers = dict(head.get("headers", ()))
        length = headers.get(b"content-length", b"")
        self._expected = int(length) if length.isdigit() and len(length) < 10 else 0
        return (
            self._ctx.method != "HEAD"
            and headers.get(b"content-type", b"").partition(b";")[0].strip().lower() in _MEDIA_TYPES
            and _BOUND_TO_THE_BYTES.isdisjoint(headers)
            and not head.get("trailers")
            and 0 < self._expected <= _MOST_BYTES
        )

    async def _collect(self, message: Any) -> None:
        self._body += message.get("body", b"")
        if message.get("more_body", False):
            if len(self._body) > self._expected:  # not what its head says
                await self._let_go()
            return
        if len(self._body) == self._expected and (body := self._edited()) is not None:
            lines = [line for line in self._head["headers"] if line[0] != b"content-length"]
            self._head = {**self._head, "headers": [*lines, (b"content-length", b"%d" % len(body))]}
            self._body = bytearray(body)
        await self._let_go(more_body=False)

    def _edited(self) -> bytes | None:
        """The body after all edits; None if none has changed it, or one has failed: then it goes as it came."""
        result: bytes | None = None
        body = bytes(self._body)
        for edit in self._edits:
            try:
                changed = edit(self._ctx, body)
            except Exception:  # noqa: BLE001 - an answer that we do not understand is none of our business
                return None
            if changed is not None:
                result = body = changed
        return result

    async def _let_go(self, *, more_body: bool = True) -> None:
        """Send what was held back."""
        head, self._head = self._head, None
        await self._send(head)
        await self._send({"type": "http.response.body", "body": bytes(self._body), "more_body": more_body})

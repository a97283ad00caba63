"""A bounded look at the app's answer: does a GraphQL response carry errors?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import orjson

_LOOK_BYTES: Final = 65_536
_TAIL_BYTES: Final = 1_024
_FAILED: Final = 400
_STREAMS: Final = (b"text/event-stream", b"multipart/mixed")


class Answer:
    """Watches an answer go by; if it is ``looked_at``, also its head, up to 64 KiB of its body, and whether it is a
    stream."""

    __slots__ = (
        "_chunks",
        "_looked_at",
        "_readable",
        "_seen",
        "_tail",
        "begun",
        "complete",
        "status",
        "stream",
        "trailers",
    )

    def __init__(self, *, looked_at: bool) -> None:
        self._looked_at = looked_at
        self._chunks: list[bytes] = []
        self._tail = b""
        self._seen = 0
        self._readable = False
        self.status = 0
        self.begun = False
        self.complete = False
        self.stream = False
        self.trailers = False

    def start(self, message: Any) -> None:
        """The head of the answer."""
        self.begun = True
        self.status = message["status"]
        self.trailers = bool(message.get("trailers"))
        if not self._looked_at:
            return
        headers = dict(message.get("headers", ()))
        media_type = headers.get(b"content-type", b"").lower()
        self.stream = media_type.startswith(_STREAMS)
        self._readable = b"json" in media_type and b"content-encoding" not in headers

    def body(self, chunk: bytes) -> None:
        """A part of its body."""
        if self._readable and chunk:
            if self._seen < _LOOK_BYTES:
                self._chunks.append(chunk[: _LOOK_BYTES - self._seen])
            self._seen += len(chunk)
            self._tail = chunk[-_TAIL_BYTES:]

    def has_errors(self) -> bool:
        """Whether the answer is a failure. Beyond 64 KiB only its beginning and its end are looked at."""
        if self.status >= _FAILED or not self.complete:
            return True
        head = b"".join(self._chunks)
        if self._seen > _LOOK_BYTES:
            return head[:_TAIL_BYTES].replace(b" ", b"").startswith(b'{"errors":[{') or b'"errors":[{' in self._tail
        if b'"errors"' not in head:
            return False
        try:
            answer = orjson.loads(head)
        except orjson.JSONDecodeError:
            return False
        return any(_errors(each) for each in (answer if isinstance(answer, list) else (answer,)))


def _errors(answer: Any) -> bool:
    return isinstance(answer, dict) and bool(answer.get("errors")) and isinstance(answer["errors"], Iterable)

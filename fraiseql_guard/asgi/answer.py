"""A bounded look at the app's answer: whether a GraphQL response carries errors, and with which codes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson
from starlette.types import Message

_LOOK_BYTES: Final = 65_536
_TAIL_BYTES: Final = 1_024
_FAILED: Final = 400
_STREAMS: Final = (b"text/event-stream", b"multipart/mixed")
_LOOKED_AT_ERRORS: Final = 100
_CODE: Final = re.compile(rb'"code" ?: ?"([A-Z_]{1,64})"')
_NO_CODES: Final[frozenset[str]] = frozenset()
_NO_HEADERS: Final[Mapping[bytes, bytes]] = {}


class Answer:
    """Follows an answer on its way to the client: its head, up to 64 KiB of its body, and whether it is a stream.

    Attributes keep the class's default until the part of the answer that sets them has come.
    """

    headers: Mapping[bytes, bytes] = _NO_HEADERS
    media_type = b""  # as the app wrote it, in lower case
    status = 0
    stream = False
    codes = _NO_CODES
    """The ``extensions.code`` of the first errors in the kept part of the body."""
    _chunks: list[bytes] | None = None  # of a body that can be read
    _seen = 0
    _tail = b""

    def start(self, message: Message) -> None:
        """Note the head of the answer."""
        self.status = message["status"]
        headers = self.headers = dict(message.get("headers", ()))
        media_type = self.media_type = headers.get(b"content-type", b"").lower()
        self.stream = media_type.startswith(_STREAMS)
        self._chunks = [] if b"json" in media_type and b"content-encoding" not in headers else None

    def body(self, chunk: bytes) -> None:
        """Note a part of the answer's body."""
        if self._chunks is not None and chunk:
            if self._seen < _LOOK_BYTES:
                self._chunks.append(chunk[: _LOOK_BYTES - self._seen])
            self._seen += len(chunk)
            self._tail = chunk[-_TAIL_BYTES:]

    def has_failed(self, *, complete: bool) -> bool:
        """Whether the answer is a failure; sets ``codes``. Call it once, after the last message; ``complete`` tells
        whether the answer came whole. Of a body above 64 KiB only the beginning and the end are searched."""
        errors = False
        if self._chunks:
            head, self._chunks = b"".join(self._chunks), None
            if self._seen > _LOOK_BYTES:
                errors, self.codes = _in_part(head, self._tail)
            elif b'"errors"' in head:
                errors, self.codes = _in_whole(head)
        return errors or self.status >= _FAILED or not complete


def streams_events(head: Message) -> bool:
    """Whether the head of an answer announces server-sent events, which may go on for hours."""
    for name, value in head.get("headers", ()):
        if name == b"content-type":
            return bytes(value[:17]).lower() == _STREAMS[0]
    return False


def _in_whole(body: bytes) -> tuple[bool, frozenset[str]]:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False, _NO_CODES
    answers = answer if isinstance(answer, list) else [answer]
    lists = [each["errors"] for each in answers if isinstance(each, dict) and isinstance(each.get("errors"), list)]
    errors = [error for each in lists for error in each[:_LOOKED_AT_ERRORS]][:_LOOKED_AT_ERRORS]
    return bool(errors), frozenset(filter(None, map(_code, errors)))


def _in_part(head: bytes, tail: bytes) -> tuple[bool, frozenset[str]]:
    """The verdict by the beginning and the end of a body: errors stand before the data or after it."""
    if head[:_TAIL_BYTES].replace(b" ", b"").startswith(b'{"errors":[{'):
        errors = head[:_TAIL_BYTES]
    else:
        _, found, errors = tail.rpartition(b'"errors":[{')
        if not found:
            return False, _NO_CODES
    return True, frozenset(code.decode() for code in _CODE.findall(errors))


def _code(error: Any) -> str | None:
    extensions = error.get("extensions") if isinstance(error, dict) else None
    code = extensions.get("code") if isinstance(extensions, dict) else None
    return code if isinstance(code, str) else None

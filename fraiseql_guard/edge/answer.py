"""A bounded look at the app's answer: does a GraphQL response carry errors, and with which codes?"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

_LOOK_BYTES: Final = 65_536
_TAIL_BYTES: Final = 1_024
_FAILED: Final = 400
_STREAMS: Final = (b"text/event-stream", b"multipart/mixed")
_LOOKED_AT_ERRORS: Final = 100
_CODE: Final = re.compile(rb'"code" ?: ?"([A-Z_]{1,64})"')
_NO_CODES: Final[frozenset[str]] = frozenset()


class Answer:
    """Watches an answer go by; if it is ``looked_at``, also its head, up to 64 KiB of its body, and whether it is a
    stream."""

    __slots__ = (
        "_chunks",
        "_found",
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
        self._found: tuple[bool, frozenset[str]] | None = None
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
        return self.status >= _FAILED or not self.complete or self._errors()[0]

    def error_codes(self) -> frozenset[str]:
        """The ``extensions.code`` of its first errors, as far as they are in the part that is looked at."""
        return self._errors()[1]

    def _errors(self) -> tuple[bool, frozenset[str]]:
        """Whether there are errors, and their codes; looked for once, when everything has gone by."""
        if self._found is None:
            head = b"".join(self._chunks)
            self._chunks.clear()
            self._found = _in_part(head, self._tail) if self._seen > _LOOK_BYTES else _in_whole(head)
        return self._found


def _in_whole(body: bytes) -> tuple[bool, frozenset[str]]:
    if b'"errors"' not in body:
        return False, _NO_CODES
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False, _NO_CODES
    answers = answer if isinstance(answer, list) else [answer]
    lists = [each["errors"] for each in answers if isinstance(each, dict) and isinstance(each.get("errors"), list)]
    errors = [error for each in lists for error in each[:_LOOKED_AT_ERRORS]][:_LOOKED_AT_ERRORS]
    return bool(errors), frozenset(filter(None, map(_code, errors)))


def _in_part(head: bytes, tail: bytes) -> tuple[bool, frozenset[str]]:
    """Errors stand before the data or after it; between the two nobody looks."""
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

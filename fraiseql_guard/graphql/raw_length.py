"""Whether a document is far too long, from the beginning of a request's bytes.

A megabyte of JSON costs a millisecond and more to read. A request whose first member is a document of twice the limit
is refused for that, whatever comes after it, without reading more of it than that takes.
"""

from __future__ import annotations

import re
from typing import Final

import orjson

_BEGINNING: Final = re.compile(rb'[ \t\r\n]*+\{[ \t\r\n]*+"query"[ \t\r\n]*+:[ \t\r\n]*+"')
_LONGEST_ESCAPE: Final = 6
_ROUNDS: Final = 3
"""Bytes of a character beyond which it costs less to read the whole request at once."""


def is_longer(body: bytes, characters: int) -> bool:
    """Whether a body certainly begins with a document of at least so many characters. Never raises."""
    beginning = _BEGINNING.match(body)
    if beginning is None:
        return False
    begin, counted = beginning.end(), 0
    for _ in range(_ROUNDS):
        part = _whole(body[begin : begin + characters])
        try:
            counted += len(orjson.loads(b'"%s"' % part))
        except orjson.JSONDecodeError:  # the string ends here, or a character was cut
            return False
        if counted >= characters:
            return True
        begin += len(part)
    return False


def _whole(text: bytes) -> bytes:
    """The inside of a JSON string without an escape that is cut off at its end."""
    last = text.rfind(b"\\", -_LONGEST_ESCAPE)
    if last < 0:
        return text
    before = text[: last + 1]
    escapes = (len(before) - len(before.rstrip(b"\\"))) % 2  # else it is itself escaped
    return text[:last] if escapes else text

"""Whether a document is far too long, from the bytes of a request that nobody has decoded yet.

A megabyte of JSON costs a millisecond and more to read. A request whose first member is a document of twice the limit
is refused for that, whatever comes after it, without reading more of it than that takes.
"""

from __future__ import annotations

import re
from typing import Final

_BEGINNING: Final = re.compile(rb'[ \t\r\n]*+\{[ \t\r\n]*+"query"[ \t\r\n]*+:[ \t\r\n]*+"')
_SAMPLE: Final = 1024
_MUCH: Final = 4
_FEW: Final = 64
"""Escapes that are looked at one by one."""
_LONGEST_ESCAPE: Final = 6


class Endless:
    """Knows the documents of at least ``characters``. Frozen after construction."""

    __slots__ = ("_characters", "_escaped")

    def __init__(self, characters: int) -> None:
        self._characters = characters
        # To look at characters one by one costs more than to decode all, unless there are many and most are escaped.
        self._escaped = re.compile(rb'(?:[^"\\\x80-\xff]|\\["\\/bfnrt]){%d}' % min(characters, 2**31))

    def begins(self, body: bytes) -> bool:
        """Whether a body certainly begins with such a document. Escaped or beyond ASCII, that is left to the reader."""
        if len(body) <= self._characters or not (beginning := _BEGINNING.match(body)):
            return False
        begin = beginning.end()
        much = len(body) > _MUCH * self._characters
        if much and body.count(b"\\", begin, begin + _SAMPLE) > _SAMPLE // 4:
            return self._escaped.match(body, begin) is not None
        end = begin + self._characters + _FEW * _LONGEST_ESCAPE
        return end <= len(body) and _goes_on(body, begin, end) and body[begin:end].isascii()


def _goes_on(body: bytes, begin: int, end: int) -> bool:
    """Whether a string that began before ``begin``, with a few escapes, has its end beyond ``end``."""
    for _ in range(_FEW):
        escape = body.find(b"\\", begin, end)
        if body.find(b'"', begin, end if escape < 0 else escape) >= 0:
            return False
        if escape < 0:
            return True
        begin = escape + 2
    return False

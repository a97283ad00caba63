"""How long a document is at least, from the bytes of a request that nobody has decoded yet.

A megabyte of JSON costs a millisecond and more to read. A request whose first member is a document far beyond every
limit is refused for that, whatever comes after it, without reading more of it than the limit makes necessary.
"""

from __future__ import annotations

import re
from typing import Final

_BEGINNING: Final = re.compile(rb'[ \t\r\n]*+\{[ \t\r\n]*+"query"[ \t\r\n]*+:[ \t\r\n]*+"')
_USUAL: Final = 2
"""Bytes that a character takes at most, unless many are beyond U+07FF or escaped by their number."""


def certain_length(body: bytes, limit: int) -> int:
    """Characters of the ``query`` that a body begins with, if they are certainly more than ``limit``; else 0.

    Exact up to twice the limit, where it becomes an offence; beyond that a lower bound.
    """
    if not (beginning := _BEGINNING.match(body)):
        return 0
    # After this every quotation mark is the end of the string, and each replacement stands for one character.
    window = body[beginning.end() : beginning.end() + 2 * limit * _USUAL]
    escaped = b"\\" in window
    text = window.replace(b"\\\\", b".").replace(b'\\"', b".") if escaped else window
    end = text.find(b'"')
    text = text if end < 0 else text[:end]
    characters = len(text) if text.isascii() else len(text.decode(errors="ignore"))
    if escaped:  # six bytes may be half a character, and the last escape may be cut
        characters -= text.count(b"\\") + 5 * text.count(b"\\u")
    return characters if characters >= 2 * limit or (characters > limit and end >= 0 and not escaped) else 0

"""Finds the members and elements of a JSON text, so that one can be replaced while all others keep their bytes.

Parsing the text and writing it anew would change numbers that no double holds. The text must be valid JSON, which the
caller has parsed before. The work is linear in its length.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Final

import orjson

_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+|[{}\[\],:]', re.DOTALL)
"""A string, or a mark. An unclosed string extends to the end of the text, so that no text is scanned twice."""
_OPEN, _CLOSE = frozenset(b"{["), frozenset(b"}]")
_COLON: Final = ord(":")


def members(text: bytes) -> dict[str, slice]:
    """The slice of each member's value in the text of an object, blanks included, by key."""
    found: dict[str, slice] = {}
    begin, key = 0, ""
    for mark, at in _marks(text):
        if mark == _COLON:
            # The key may be written with escapes: {"\u0071uery"} is a query as well.
            key = orjson.loads(text[begin:at])
        # The opening bracket ends no value. The test of the text lets a member with an empty key through.
        elif key or text[begin:at].strip():
            found[key] = slice(begin, at)
            key = ""
        begin = at + 1
    return found


def elements(text: bytes) -> list[slice]:
    """The slice of each element in the text of an array, blanks included."""
    # The first mark is the opening bracket, the last the closing one, and all between are commas.
    ends = [at for _, at in _marks(text)]
    found = [slice(begin + 1, end) for begin, end in itertools.pairwise(ends)]
    # Between the brackets of an empty array there is one part, which is blank.
    return [part for part in found if text[part].strip()]


def _marks(text: bytes) -> Iterator[tuple[int, int]]:
    """The brackets, commas and colons of the outermost container, each as a byte with its offset."""
    depth = 0
    for token in _TOKEN.finditer(text):
        mark = text[token.start()]
        if mark in _CLOSE:
            depth -= 1
        # Brackets of the outermost container stand at depth 0, what is directly inside of it at depth 1.
        # A string (0x22) is matched only so that marks inside of it are skipped.
        if depth == (0 if mark in _OPEN or mark in _CLOSE else 1) and mark != 0x22:
            yield mark, token.start()
        if mark in _OPEN:
            depth += 1

"""Loads JSON, and refuses texts that two hosts could read differently.

orjson refuses invalid JSON (NaN, a byte order mark, UTF-16, lone surrogates, numbers beyond a double). It accepts
repeated keys, of which hosts disagree which one counts. They are refused here at any depth and in any spelling.
Source: RFC 8259, section 4; RFC 7493 (I-JSON), sections 2.1 to 2.3.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

import orjson

from fraiseql_guard.graphql.json_containers import containers_of

_LARGEST_REPEAT: Final = 2**31
_STEP: Final = 2**14
"""Bytes in which commas are counted at a time."""


class NotStrictError(ValueError):
    """The text is not JSON, or repeats a key. ``too_deep``: the parser gave it up for its nesting."""

    def __init__(self, detail: str, *, too_deep: bool = False) -> None:
        super().__init__(detail)
        self.too_deep = too_deep


JsonStats = tuple[int, int, int]
"""Size of a JSON value: its depth (levels of containers below it), the number of values in it, and the number of
members of all its objects."""


def commas_at_least(number: int) -> re.Pattern[bytes]:
    """A pattern that matches a text with at least ``number`` commas outside of its strings, in one pass."""
    # Possessive quantifiers: a text with fewer commas fails without backtracking.
    string = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
    return re.compile(rb'(?:[^",]*+(?:%s[^",]*+)*+,){%d}' % (string, min(number, _LARGEST_REPEAT)), re.DOTALL)


class JsonLoader:
    """Loads JSON of at most ``max_nodes`` values.

    An object whose ``query`` has more than ``max_decoded_chars`` characters is not searched for repeated keys, which is
    the dearest part of a large body: the caller refuses it anyway.
    """

    __slots__ = ("_crowded", "_max_decoded_chars", "_max_nodes")

    def __init__(self, max_nodes: int, *, max_decoded_chars: float = math.inf) -> None:
        self._max_nodes = max_nodes
        self._max_decoded_chars = max_decoded_chars
        self._crowded = commas_at_least(max_nodes + 1)

    def load(self, text: bytes) -> tuple[Any, JsonStats]:
        """The value and its size. NotStrictError if the text is not JSON, or repeats a key.

        A text of more than ``max_nodes`` values gives None with a size that may be inexact but has more than
        ``max_nodes`` values: the caller refuses it.
        """
        # 1. Each value takes a byte at least. Count the commas of a longer text before it is parsed.
        if len(text) > self._max_nodes and self._is_crowded(text):
            return None, (0, self._max_nodes + 1, 0)
        # 2. Parse, then count exactly.
        value = _parsed(text)
        stats = _, nodes, members = json_stats(value)
        if nodes > self._max_nodes:
            return None, stats
        # 3. A dict has lost its repeated keys: compare its members with the colons of the text.
        query = value.get("query") if type(value) is dict else None
        if type(query) is not str:
            query = ""
        elif len(query) > self._max_decoded_chars:
            return value, stats
        if _colons(text, members, query) != members:
            raise NotStrictError("repeats a key")
        return value, stats

    def _is_crowded(self, text: bytes) -> bool:
        """Whether the commas of a text alone show that it has too many values."""
        return _holds_more_commas(text, self._max_nodes) and self._crowded.match(text) is not None


def _parsed(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        reason = str(error).lower()
        # orjson has one class of error for everything; its text alone says why.
        too_deep = "depth" in reason or "recursion" in reason
        raise NotStrictError("is not valid JSON", too_deep=too_deep) from None


def _holds_more_commas(text: bytes, number: int) -> bool:
    """Whether a text holds more than ``number`` commas, in strings or not. Stops counting once it does."""
    left = number
    for begin in range(0, len(text), _STEP):
        left -= text.count(b",", begin, begin + _STEP)
        if left < 0:
            return True
    return False


def _without_escapes(text: bytes) -> bytes:
    """A JSON text without its escaped quotation marks: each that is left begins or ends a string."""
    # Backslashes in pairs go first, since the second of a pair escapes nothing.
    return text.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in text else text


def _colons(text: bytes, expected: int, query: str) -> int:
    """The number of colons outside of strings, which is that of the members. A parsed value that has fewer members has
    lost some to repeated keys."""
    # Without \u escapes the colons of the query stand in the text as they are. Other strings mostly hold none.
    if text.count(b":") - query.count(":") == expected and b"\\u" not in text:
        return expected
    # Split at quotation marks, every other piece lies outside of strings.
    return b"".join(_without_escapes(text).split(b'"')[::2]).count(b":")


def json_stats(value: Any) -> JsonStats:
    """The size of a parsed JSON value."""
    depth = nodes = members = 0
    generation = [value] if type(value) in (dict, list) else []
    while generation:
        below: list[Any] = []
        # Generation by generation: a value of any depth takes no Python stack.
        for container in generation:
            nodes += len(container)
            if type(container) is dict:
                members += len(container)
            if container:
                below += containers_of(container)
        generation = below
        depth += bool(generation)
    return depth, nodes, members

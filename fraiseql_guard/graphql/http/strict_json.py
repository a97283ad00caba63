"""JSON that every host reads alike, or not at all.

orjson refuses what is no JSON (NaN, a byte order mark, UTF-16, lone surrogates, numbers beyond a double). Repeated
keys it takes, and hosts disagree which one counts; they are refused here at any depth, however they are spelled.
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
"""Bytes that are looked at before it is asked whether that was enough."""


class NotStrictError(ValueError):
    """The text is no JSON, or not every host reads it alike. ``too_deep`` if it was given up for its nesting."""

    def __init__(self, detail: str, *, too_deep: bool = False) -> None:
        super().__init__(detail)
        self.too_deep = too_deep


JsonStats = tuple[int, int, int]
"""Size of a JSON value: containers inside each other below it, values below it, and members of all its objects."""


def commas_at_least(number: int) -> re.Pattern[bytes]:
    """Matches a text with so many commas outside of its strings, in one pass and no further."""
    # Possessive quantifiers: a text without the commas is given up without going back over it.
    string = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
    return re.compile(rb'(?:[^",]*+(?:%s[^",]*+)*+,){%d}' % (string, min(number, _LARGEST_REPEAT)), re.DOTALL)


class JsonLoader:
    """Loads JSON of at most ``max_nodes`` values.

    The caller refuses an object whose ``query`` is longer than ``max_decoded_chars``. So it is not searched for
    repeated keys, which is the dearest part of a large body.
    """

    __slots__ = ("_crowded", "_max_decoded_chars", "_max_nodes")

    def __init__(self, max_nodes: int, *, max_decoded_chars: float = math.inf) -> None:
        self._max_nodes = max_nodes
        self._max_decoded_chars = max_decoded_chars
        self._crowded = commas_at_least(max_nodes + 1)

    def load(self, text: bytes) -> tuple[Any, JsonStats]:
        """The value and its size. NotStrictError if anything is wrong with it.

        No value and no exact size if there are more than ``max_nodes``: the caller refuses it for its size.
        """
        # 1. Each value takes a byte: only longer texts can hold too many, and these are counted before they are parsed.
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
        """Whether a text holds too many values by its commas alone: between two values stands one."""
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
    """Whether there are more than ``number``, looking no further than that takes."""
    left = number
    for begin in range(0, len(text), _STEP):
        left -= text.count(b",", begin, begin + _STEP)
        if left < 0:
            return True
    return False


def _without_escapes(text: bytes) -> bytes:
    """JSON in which every quotation mark begins or ends a string."""
    # Backslashes in pairs go first, since the second of a pair escapes nothing.
    return text.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in text else text


def _colons(text: bytes, expected: int, query: str) -> int:
    """Colons outside of strings. In valid JSON each belongs to a member: objects that lost some had a key twice."""
    # As long as no character is given by its number, those of the query stand in the text. It mostly holds all others.
    if text.count(b":") - query.count(":") == expected and b"\\u" not in text:
        return expected
    # Cut at quotation marks, every other piece stands outside of strings.
    return b"".join(_without_escapes(text).split(b'"')[::2]).count(b":")


def json_stats(value: Any) -> JsonStats:
    """Count without recursion."""
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

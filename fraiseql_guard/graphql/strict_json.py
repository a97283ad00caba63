"""JSON that every host reads alike, or not at all.

orjson refuses what is no JSON (NaN, a byte order mark, UTF-16, lone surrogates, numbers beyond a double). Repeated
keys it takes, and hosts disagree which one counts; they are refused here at any depth, however they are spelled.
Source: RFC 8259, section 4; RFC 7493 (I-JSON), sections 2.1 to 2.3.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Final

import orjson

_LARGEST_REPEAT: Final = 2**31


class NotStrictError(ValueError):
    """The text is no JSON, or not every host reads it alike. ``too_deep`` if it was given up for its nesting."""

    def __init__(self, detail: str, *, too_deep: bool = False) -> None:
        super().__init__(detail)
        self.too_deep = too_deep


@dataclass(frozen=True, slots=True)
class Census:
    """Size of a JSON value: containers inside each other below it, values below it, and members of all its objects."""

    depth: int
    nodes: int
    members: int


def commas_at_least(number: int) -> re.Pattern[bytes]:
    """Matches a text without escapes with so many commas outside of its strings, in one pass and no further."""
    return re.compile(rb'(?:[^",]*+(?:"[^"]*+"[^",]*+)*+,){%d}' % min(number, _LARGEST_REPEAT))


class Loader:
    """Loads JSON of at most ``max_nodes`` values.

    An object whose ``query`` is longer than ``hopeless_chars`` is refused in any case: then it is not searched for
    repeated keys, which is the dearest part of a large body.
    """

    __slots__ = ("_crowded", "_hopeless_chars", "_max_nodes")

    def __init__(self, max_nodes: int, *, hopeless_chars: float = math.inf) -> None:
        self._max_nodes = max_nodes
        self._hopeless_chars = hopeless_chars
        self._crowded = commas_at_least(max_nodes + 1)

    def load(self, text: bytes) -> tuple[Any, Census]:
        """The value and its size. NotStrictError if anything is wrong with it.

        No value and no exact size if there are more than ``max_nodes``: the caller refuses it for its size.
        """
        # A comma stands between two values, so a text full of commas need not be parsed to be too large.
        if text.count(b",") > self._max_nodes and self._crowded.match(_without_escapes(text)):
            return None, Census(0, self._max_nodes + 1, 0)
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            reason = str(error).lower()
            raise NotStrictError("is not valid JSON", too_deep="depth" in reason or "recursion" in reason) from None
        census = take_census(value)
        if census.nodes > self._max_nodes:
            return None, census
        if type(value) is dict and type(query := value.get("query")) is str and len(query) > self._hopeless_chars:
            return value, census
        # In valid JSON a colon outside of strings belongs to a member: objects that lost members had a key twice.
        if text.count(b":") != census.members and _colons(text) != census.members:
            raise NotStrictError("repeats a key")
        return value, census


def _without_escapes(text: bytes) -> bytes:
    """JSON in which every quotation mark begins or ends a string."""
    return text.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in text else text


def _colons(text: bytes) -> int:
    """Colons outside of strings."""
    return b"".join(_without_escapes(text).split(b'"')[::2]).count(b":")


def take_census(value: Any) -> Census:
    """Count without recursion."""
    depth = nodes = members = 0
    generation = [value] if type(value) in (dict, list) else []
    while generation:
        inner: list[Any] = []
        for container in generation:
            nodes += len(container)
            values = container
            if type(container) is dict:
                members += len(container)
                values = container.values()
            inner += [item for item in values if type(item) is dict or type(item) is list]
        depth += bool(inner)
        generation = inner
    return Census(depth, nodes, members)

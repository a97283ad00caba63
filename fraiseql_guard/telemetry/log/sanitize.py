"""Makes the values of a log line safe: short, printable, and possible in JSON. Also formats the line's time."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, Final

MAX_TEXT_CHARS: Final = 256
_MAX_ITEMS: Final = 50
_MAX_DEPTH: Final = 3
_INT64: Final = 1 << 63
_UNCHANGED: Final = (bool, float)
_COLLECTIONS: Final = (Mapping, tuple, list)

_PLAIN: Final = re.compile(r"[\x20-\x7e]*")
# Controls (a terminal would obey them when jq -r prints the line), surrogates, and marks that reverse the text.
_UNFIT: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def timestamp(at: float) -> str:
    """A Unix time in RFC 3339, in UTC with milliseconds."""
    second = int(at)
    return f"{down_to_the_second(second)}.{int((at - second) * 1000):03d}Z"


def down_to_the_second(second: int) -> str:
    """A Unix time in RFC 3339, in UTC, without fractions and zone: the beginning of :func:`timestamp`."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def safe_text(text: str, max_chars: int = MAX_TEXT_CHARS) -> str:
    r"""At most ``max_chars`` characters of a text, with controls and surrogates written out (``\u001b``)."""
    if len(text) <= max_chars and _PLAIN.fullmatch(text):
        # str() turns subclasses (an enum, a lazy text) into plain text for orjson.
        return str(text)
    # Cut first, since writing out may make one character six.
    text = _UNFIT.sub(lambda match: f"\\u{ord(match[0]):04x}", text[: max_chars + 1])
    return text if len(text) <= max_chars else text[: max_chars - 1] + "…"


def safe_value(value: object, max_chars: int = MAX_TEXT_CHARS, depth: int = _MAX_DEPTH) -> object:
    """A value as JSON can hold it: texts through :func:`safe_text`, collections of at most 50 items, ``depth`` levels
    deep; anything else as text."""
    if isinstance(value, str):
        return safe_text(value, max_chars)
    # orjson writes NaN and infinite floats as null.
    if value is None or isinstance(value, _UNCHANGED):
        return value
    if isinstance(value, int):
        # orjson writes integers of 64 bits.
        return value if -_INT64 <= value < _INT64 else safe_text(hex(value), max_chars)
    if depth and isinstance(value, _COLLECTIONS):
        return _safe_collection(value, max_chars, depth - 1)
    return safe_text(str(value), max_chars)


def _safe_collection(value: Any, max_chars: int, depth: int) -> object:
    if isinstance(value, Mapping):
        items = list(value.items())[:_MAX_ITEMS]
        return {safe_text(str(key)): safe_value(one, max_chars, depth) for key, one in items}
    return [safe_value(one, max_chars, depth) for one in value[:_MAX_ITEMS]]

"""Values of a log line, made safe: short, printable, and nothing that JSON cannot hold; and its time."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Final

MAX_TEXT_CHARS: Final = 256
_MAX_ITEMS: Final = 50
_MAX_DEPTH: Final = 3
_INT64: Final = 1 << 63

_PLAIN: Final = re.compile(r"[\x20-\x7e]*")
# Controls (a terminal would obey them when jq -r prints the line), surrogates, and what reverses the text.
_UNFIT: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def timestamp(at: float) -> str:
    """RFC 3339 in UTC with milliseconds."""
    second = int(at)
    return f"{down_to_the_second(second)}.{int((at - second) * 1000):03d}Z"


def down_to_the_second(second: int) -> str:
    """The beginning of such a time."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def safe_text(text: str, max_chars: int = MAX_TEXT_CHARS) -> str:
    r"""At most ``max_chars`` characters, with controls written out (``\u001b``) and surrogates too."""
    if len(text) <= max_chars and _PLAIN.fullmatch(text):
        return str(text)
    text = _UNFIT.sub(lambda match: f"\\u{ord(match[0]):04x}", text[: max_chars + 1])
    return text if len(text) <= max_chars else text[: max_chars - 1] + "…"


def safe_value(value: object, max_chars: int = MAX_TEXT_CHARS, depth: int = _MAX_DEPTH) -> object:
    """The value as JSON can hold it; text in it through :func:`safe_text`, long collections cut."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return safe_text(value, max_chars)
    if isinstance(value, int):
        return value if -_INT64 <= value < _INT64 else safe_text(hex(value), max_chars)
    if isinstance(value, float):
        return value
    if depth and isinstance(value, Mapping):
        items = list(value.items())[:_MAX_ITEMS]
        return {safe_text(str(key)): safe_value(one, max_chars, depth - 1) for key, one in items}
    if depth and isinstance(value, tuple | list):
        return [safe_value(one, max_chars, depth - 1) for one in value[:_MAX_ITEMS]]
    return safe_text(str(value), max_chars)

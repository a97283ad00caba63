"""What a string of a document stands for (GraphQL specification, section 2.9.4)."""

from __future__ import annotations

import json
import re
from typing import Final

from graphql.language.block_string import dedent_block_string_lines

_ESCAPE: Final = re.compile(
    r"""\\(?:u\{([0-9A-Fa-f]{1,8})\}
    |u([dD][89abAB][0-9A-Fa-f]{2})\\u([dD][c-fC-F][0-9A-Fa-f]{2})
    |u([0-9A-Fa-f]{4})
    |(.))""",
    re.VERBOSE | re.DOTALL,
)
_NEW_LINE: Final = re.compile(r"\r\n|[\n\r]")
_MEANT: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", '"': '"', "/": "/", "\\": "\\"}
_SURROGATES: Final = range(0xD800, 0xE000)


def string_value(token: str) -> str:
    """The value of ``"..."``; ValueError for an escape that stands for no character."""
    if "\\" not in token:
        return token[1:-1]
    if "\\u{" in token:
        return _ESCAPE.sub(_meant, token[1:-1])
    value = str(json.loads(token, strict=False))  # without braces the escapes are those of JSON
    value.encode()  # half a pair stands for no character
    return value


def block_string_value(token: str) -> str:
    """The value of a string between three quotes, without its indentation."""
    lines = _NEW_LINE.split(token[3:-3].replace('\\"""', '"""'))
    return "\n".join(dedent_block_string_lines(lines))


def _meant(escape: re.Match[str]) -> str:
    point, high, low, unit, letter = escape.groups()
    if letter is not None:
        if letter not in _MEANT:
            raise ValueError("no such escape")
        return _MEANT[letter]
    if high is not None:
        return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00)
    number = int(point or unit, 16)
    if number in _SURROGATES or number > 0x10FFFF:
        raise ValueError("no character")
    return chr(number)

"""Splits the text of a document into its tokens.

One anchored regular expression matches them. Its repetitions are possessive, so it never backtracks, and it ends at the
first text that is no token: the work is linear in the length of any text. (A search would start again at every quote of
``\"\"\"\"\"\"...`` and be quadratic; so only text that was matched before is searched.)

Escapes are checked here as well: the lexer of graphql-core 3.2.7 reads beyond the end of ``{a(x:"\\u")}``.

Source of the grammar: GraphQL specification, October 2021, section 2.1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final

_IGNORED: Final = r"[ \t\r\n,\ufeff]*+(?:\#[^\r\n\ud800-\udfff]*+[ \t\r\n,\ufeff]*+)*+"
_LEXEME: Final = r"""(?:[_A-Za-z][_0-9A-Za-z]*+
    |[]{}()[@!$&:=|]
    |\.\.\.
    |-?+(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?+[0-9]++)?+(?![_.0-9A-Za-z])
    |"(?!"")[^"\\\r\n\ud800-\udfff]*+
      (?:\\(?:["\\/bfnrt]|u(?:[0-9A-Fa-f]{4}|\{[0-9A-Fa-f]++\}))[^"\\\r\n\ud800-\udfff]*+)*+"
    |\"\"\"[^"\\\ud800-\udfff]*+(?:(?:\\(?:\"\"\")?+|"(?!""))[^"\\\ud800-\udfff]*+)*+\"\"\")"""
_BLANKS: Final = " \t"
_CHUNK_TOKENS: Final = 256
_CHUNK: Final = re.compile(f"(?:{_LEXEME}{_IGNORED}){{0,{_CHUNK_TOKENS}}}+", re.VERBOSE)
_FULL_CHUNK: Final = re.compile(f"(?:{_LEXEME}{_IGNORED}){{{_CHUNK_TOKENS}}}+", re.VERBOSE)
_EACH: Final = re.compile(f"({_LEXEME}){_IGNORED}", re.VERBOSE)
_BLANK: Final = re.compile(_IGNORED, re.VERBOSE)

END: Final = ""
"""Stands after the last token."""
FAULT: Final = "\ud800"
"""Stands in place of text that is no token."""
_KINDS: Final[Mapping[str, str]] = (
    dict.fromkeys("{([", "open") | dict.fromkeys("})]", "close") | dict.fromkeys(".!$&:=|", "punctuator") | {"@": "at"}
)


def chunks(text: str) -> Iterator[list[str]]:
    """The tokens of a text, at most 256 at a time. The last token is END or FAULT, and no other is."""
    # A chunk is matched as a whole, then cut into its tokens: so the regular expression never searches.
    begin = _end(_BLANK, text, 0)
    full = True
    while full:
        end = _end(_CHUNK, text, begin)
        chunk = _EACH.findall(text, begin, end)
        yield chunk
        # A chunk that is not full ended at the end of the text, or at something that is no token.
        begin, full = end, len(chunk) == _CHUNK_TOKENS
    yield [END if begin == len(text) else FAULT]


def tokens_of(text: str) -> list[str]:
    """All tokens, with END or FAULT as the last."""
    return [token for chunk in chunks(text) for token in chunk]


def count_tokens(text: str, most: int) -> int:
    """The number of tokens before the end of the text or the first fault; at most ``most`` are counted."""
    # Full chunks are counted without cutting them into tokens.
    begin, counted = _end(_BLANK, text, 0), 0
    while counted < most and (full := _FULL_CHUNK.match(text, begin)):
        begin, counted = full.end(), counted + _CHUNK_TOKENS
    return min(most, counted + len(_EACH.findall(text, begin, _end(_CHUNK, text, begin)))) if counted < most else most


def offset_of(text: str, number: int) -> int:
    """The offset of the token with that number (from 0). With fewer tokens, that of the end of the text or the
    fault."""
    begin = _end(_BLANK, text, 0)
    while True:
        end = _end(_CHUNK, text, begin)
        # The token stands in this chunk: only here are its tokens looked at one by one.
        if number < _CHUNK_TOKENS:
            found = next(islice(_EACH.finditer(text, begin, end), number, None), None)
            return found.start() if found else end
        # Nothing matched: the text ends or goes wrong here.
        if end == begin:
            return end
        begin, number = end, number - _CHUNK_TOKENS


def _end(pattern: re.Pattern[str], text: str, begin: int) -> int:
    """The end of the match at ``begin``, for a pattern that matches everywhere (at least an empty text)."""
    found = pattern.match(text, begin)
    return found.end() if found else begin


def kind_of(token: str) -> str:
    """The kind of a token: ``name``, ``number``, ``string``, ``block string``, ``open``, ``close``, ``at`` or
    ``punctuator``."""
    if token.isidentifier():  # to Python only names are identifiers, of all tokens
        return "name"
    if token.startswith('"'):
        return "block string" if token.startswith('"""') else "string"
    return _KINDS.get(token[:1], "number")


# --- strings ----------------------------------------------------------------------------------------------------------

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
        return _ESCAPE.sub(_character, token[1:-1])
    # strict=False takes tabs and other control characters, which GraphQL allows in a string.
    value = str(json.loads(token, strict=False))  # without braces the escapes are those of JSON
    value.encode()  # half a pair stands for no character
    return value


def block_string_value(token: str) -> str:
    """The value of a string between three quotes, without its indentation."""
    # GraphQL spec, BlockStringValue: lines are split after the escaped quotes are replaced.
    lines = _NEW_LINE.split(token[3:-3].replace('\\"""', '"""'))
    written = [number for number, line in enumerate(lines) if line.strip(_BLANKS)]
    if not written:
        return ""
    indent = min((_indent_of(lines[number]) for number in written if number), default=0)
    # The first line stands behind the quotes, so that it has no indentation. Blank lines around the text are dropped.
    dedented = [lines[0], *(line[indent:] for line in lines[1:])]
    return "\n".join(dedented[written[0] : written[-1] + 1])


def _indent_of(line: str) -> int:
    return len(line) - len(line.lstrip(_BLANKS))


def _character(escape: re.Match[str]) -> str:
    point, high, low, unit, letter = escape.groups()
    if letter is not None:
        if letter not in _MEANT:
            raise ValueError("no such escape")
        return _MEANT[letter]
    if high is not None:
        # UTF-16: high and low surrogate carry ten bits each of what exceeds 0x10000.
        return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00)
    number = int(point or unit, 16)
    # A surrogate alone is no character (GraphQL spec, 2.9.4).
    if number in _SURROGATES or number > 0x10FFFF:
        raise ValueError("no character")
    return chr(number)

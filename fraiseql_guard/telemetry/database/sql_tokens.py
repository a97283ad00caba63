"""Splits SQL text into words, names and punctuation. Comments are left out; strings and numbers are empty values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

# Every alternative is possessive, so that no text can make the scan go back: it is linear.
_TOKEN: Final = re.compile(
    r"""
    (?P<skip>  \s++ | --[^\n]*+ )
  | (?P<comment> /\* )
  | (?P<dollar> \$ (?:[^\W\d]\w*+)? \$ )
  | (?P<string> [eE]' (?:[^'\\]|\\.|'')*+ '? | ' (?:[^']|'')*+ '? )
  | (?P<quoted> " (?:[^"]|"")*+ "? | ` (?:[^`]|``)*+ `? )
  | (?P<word> [^\W\d] [\w$]*+ )
  | (?P<value> \d [\w.]*+ )
  | (?P<mark> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE: Final = re.compile(r"/\*|\*/")


class Token(NamedTuple):
    """A token of one ``kind``: a "word" (in lower case), a "quoted" name, a "value", or a "mark" of one character."""

    kind: str
    text: str

    @property
    def is_name(self) -> bool:
        """Whether this token can be (part of) the name of a table or function."""
        return self.kind in ("word", "quoted")


def tokens(text: str) -> Iterator[Token]:
    """The tokens of a statement, also of one that was cut or is broken. Linear in the text."""
    position, end = 0, len(text)
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:  # never: the last alternative takes any character
            return
        position = match.end()
        kind, found = match.lastgroup, match[0]
        if kind == "word":
            yield Token("word", found.lower())
        elif kind == "mark":
            yield Token("mark", found)
        elif kind == "quoted":
            yield Token("quoted", _unquoted(found))
        elif kind == "comment":
            position = _after_comment(text, position)
        # Strings, dollar-quoted strings and numbers: their values are never kept.
        elif kind != "skip":
            if kind == "dollar":
                position = _after_dollar_quote(text, position, found)
            yield Token("value", "")


def _unquoted(found: str) -> str:
    """The name that a quoted token stands for: a quote inside of it is written twice. The text may have been cut before
    the closing quote."""
    quote = found[0]
    inside = found[1:-1] if len(found) > 1 and found.endswith(quote) else found[1:]
    return inside.replace(quote * 2, quote)


def _after_dollar_quote(text: str, position: int, tag: str) -> int:
    """The position behind a dollar-quoted string, which the same tag ends."""
    closing = text.find(tag, position)
    return len(text) if closing < 0 else closing + len(tag)


def _after_comment(text: str, position: int) -> int:
    """The position behind a comment. Comments in PostgreSQL nest."""
    depth = 1
    for edge in _COMMENT_EDGE.finditer(text, position):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(text)

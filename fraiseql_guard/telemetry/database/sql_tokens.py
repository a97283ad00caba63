"""SQL text as words, names and punctuation: comments, strings and numbers are left out or say nothing."""

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
    """By ``kind``: a "word" (in lower case), a "quoted" name, a "value", or a "mark" of one character."""

    kind: str
    text: str

    @property
    def is_name(self) -> bool:
        """Whether this can be (a part of) the name of a table or function."""
        return self.kind in ("word", "quoted")


def tokens(text: str) -> Iterator[Token]:
    """The tokens of a statement, also of a cut or broken one. Linear in the text."""
    position, end = 0, len(text)
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:  # never: the last alternative takes any character
            return
        position = match.end()
        kind, found = match.lastgroup, match[0]
        if kind == "comment":
            position = _after_comment(text, position)
        elif kind == "dollar":
            closing = text.find(found, position)
            position = end if closing < 0 else closing + len(found)
            yield Token("value", "")
        elif kind == "word":
            yield Token("word", found.lower())
        elif kind == "quoted":
            quote = found[0]
            inside = found[1:-1] if len(found) > 1 and found.endswith(quote) else found[1:]  # else the text was cut
            yield Token("quoted", inside.replace(quote * 2, quote))
        elif kind == "mark":
            yield Token("mark", found)
        elif kind != "skip":
            yield Token("value", "")


def _after_comment(text: str, position: int) -> int:
    """Comments in PostgreSQL nest."""
    depth = 1
    for edge in _COMMENT_EDGE.finditer(text, position):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(text)

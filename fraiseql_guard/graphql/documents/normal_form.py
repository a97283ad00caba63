"""The normal form of a document: equal for texts that differ in white space, commas, comments and the order of their
definitions, and for no two that mean different things.

Build tools print a document anew before they write it into a manifest, and clients print it again before they send it.
"""

from __future__ import annotations

import json
from typing import Final

from fraiseql_guard.graphql.syntax.lexer import END, FAULT, block_string_value, chunks, string_value

_CLOSING: Final = {"{": "}", "(": ")", "[": "]"}
_CLOSERS: Final = frozenset(_CLOSING.values())
_LONGHAND: Final = ["query", "{"]


def normal_form(text: str, *, max_tokens: int | None = None) -> str | None:
    """The normal form; None of a text that is no document, or that has more tokens (the rest of it is not read)."""
    tokens: list[str] = []
    for chunk in chunks(text):
        tokens += chunk
        # One more than allowed: the last token may be END.
        if max_tokens is not None and len(tokens) > max_tokens + 1:
            return None
    # The lexer's last token says whether the whole text was read.
    last = tokens.pop()
    if last is FAULT or last != END:
        return None
    try:
        definitions = _definitions(tokens)
    except ValueError:
        return None
    # No token holds a raw line break here, so that the line breaks only separate definitions.
    return "\n".join(sorted(definitions)) if definitions else None


def token_bound(form: str) -> int:
    """At least as many tokens as the texts of a normal form have."""
    return form.count(" ") + form.count("\n") + 2


def _definitions(tokens: list[str]) -> list[str]:
    """The definitions with one blank between tokens; ValueError if the last is not complete.

    One ends with the brace that closes its selection. Braces of a default value stand in parentheses.
    """
    found, begin = [], 0
    expected: list[str] = []
    # Follow the brackets; a brace that closes the outermost one ends a definition.
    for number, token in enumerate(tokens):
        if token in _CLOSING:
            expected.append(_CLOSING[token])
        elif token in _CLOSERS:
            if not expected or expected.pop() != token:
                raise ValueError("a bracket closes nothing")
            # A parenthesis at the outermost level (variables) ends nothing.
            if not expected and token == "}":  # noqa: S105
                found.append(_shown(tokens[begin : number + 1]))
                begin = number + 1
    if begin < len(tokens):
        raise ValueError("a definition has no end")
    return found


def _shown(tokens: list[str]) -> str:
    if tokens[:2] == _LONGHAND:  # query {...} and {...} mean the same
        tokens = tokens[1:]
    return " ".join([_string(token) if token.startswith('"') else token for token in tokens])


def _string(token: str) -> str:
    """A string by its value, in quotes: its white space has a meaning, and how it is written has none. ValueError."""
    return json.dumps(block_string_value(token) if token.startswith('"""') else string_value(token))

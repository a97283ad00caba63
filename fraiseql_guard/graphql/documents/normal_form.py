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
    """The normal form of a text; None if it is no document, or has more than ``max_tokens`` tokens. Text after these is
    not read."""
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
    """An upper bound of the tokens in any text with this normal form."""
    return form.count(" ") + form.count("\n") + 2


def _definitions(tokens: list[str]) -> list[str]:
    """The definitions, each as text with one blank between tokens; ValueError if brackets do not match, or the last
    definition is not complete.

    A definition ends with the brace that closes its selection. Braces of a default value stand in parentheses.
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
                found.append(_normal_definition(tokens[begin : number + 1]))
                begin = number + 1
    if begin < len(tokens):
        raise ValueError("a definition has no end")
    return found


def _normal_definition(tokens: list[str]) -> str:
    if tokens[:2] == _LONGHAND:  # query {...} and {...} mean the same
        tokens = tokens[1:]
    return " ".join([_normal_string(token) if token.startswith('"') else token for token in tokens])


def _normal_string(token: str) -> str:
    """A string token in its normal form: its value as JSON, however it was written. ValueError for a wrong escape."""
    return json.dumps(block_string_value(token) if token.startswith('"""') else string_value(token))

"""Finds GraphQL texts in program sources: tagged templates, and the output of Relay's compiler.

Sources are not parsed. A text is found by its tag: gql`...`, graphql(`...`), /* GraphQL */ `...`, in Python gql with a
triple-quoted text, and ``"text": "query ..."`` in a file that Relay's compiler has written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import orjson

_TEMPLATE: Final = re.compile(
    r"(?<![\w$.`])(?:gql|graphql)(?:<[^`<>]*+>)?+\s*+(?:\(\s*+)?+(?:/\*\s*+GraphQL\s*+\*/\s*+)?+`"
    r"|/\*\s*+GraphQL\s*+\*/\s*+`"
)
_PYTHON: Final = re.compile(r"(?<![\w.])gql\(\s*+r?+(\"\"\"|''')")
_COMPILED: Final = re.compile(r"\"text\"\s*+:\s*+(\"(?:[^\"\\\n]|\\.)*+\")")
_OPERATIONS: Final = ("query", "mutation", "subscription", "{")
_SPECIAL: Final = re.compile(r"[`\\$]")
_HOLE: Final = re.compile(r"[{}`\"'\\]")
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True, slots=True)
class EmbeddedText:
    """A GraphQL text in a source, and the line in which it begins. ``fault`` says why the text that is sent is not
    known; else it is empty."""

    text: str
    line: int
    fault: str = ""


def tagged_texts(source: str) -> Iterator[EmbeddedText]:
    """The texts of a JavaScript, TypeScript, Vue or Svelte source."""
    end = 0
    for mark in _TEMPLATE.finditer(source):
        # Skip tags inside of the text before, and in comments, where they are examples.
        if mark.start() < end or _in_comment(source, mark.start()):
            continue
        text, fault, end = _template(source, mark.end())
        yield EmbeddedText(text, _line(source, mark.end()), fault)


def python_texts(source: str) -> Iterator[EmbeddedText]:
    """The texts of a Python source."""
    for mark in _PYTHON.finditer(source):
        end = source.find(mark[1], mark.end())
        if end >= 0:
            yield EmbeddedText(source[mark.end() : end], _line(source, mark.end()))


def compiled_texts(source: str) -> Iterator[EmbeddedText]:
    """The texts in a file that Relay's compiler has written, as the client sends them."""
    for mark in _COMPILED.finditer(source):
        try:
            text = orjson.loads(mark[1])
        except orjson.JSONDecodeError:
            continue  # an escape of JavaScript alone: no compiler writes it
        if text.lstrip().startswith(_OPERATIONS):
            yield EmbeddedText(text, _line(source, mark.start(1)))


def _template(source: str, at: int) -> tuple[str, str, int]:
    """The text of the template that begins at ``at``, its fault (empty if none), and the offset of its end.

    Expressions between definitions (``${FRAGMENT}``) are left out: their definitions are found where they stand. An
    expression elsewhere is a fault, since its text is unknown before the program runs.
    """
    parts: list[str] = []
    fault, depth = "", 0
    while (mark := _SPECIAL.search(source, at)) is not None:
        parts.append(source[at : mark.start()])
        depth += _opened(parts[-1])
        at = mark.end()
        if mark[0] == "`":
            return "".join(parts), fault, at
        if mark[0] == "\\":
            parts.append(_ESCAPES.get(source[at : at + 1], source[at : at + 1]))
            at += 1
        elif source.startswith("{", at):
            at = _after_hole(source, at + 1)
            if depth:
                fault = fault or "a part of it is put in when the program runs"
            parts.append("\n")
        else:
            parts.append("$")
    return "".join(parts), "it does not end", len(source)


def _after_hole(source: str, at: int) -> int:
    """The offset behind an expression in a template, which begins at ``at``. Strings in it may hold braces."""
    depth = 1
    while (mark := _HOLE.search(source, at)) is not None:
        at = mark.end()
        match mark[0]:
            case "{":
                depth += 1
            case "}":
                depth -= 1
                if not depth:
                    return at
            case "`":
                at = _template(source, at)[2]
            case "\\":
                at += 1
            case quote:
                at = _after_quote(source, at, quote)
    return len(source)


def _after_quote(source: str, at: int, quote: str) -> int:
    """The offset behind a quoted text, which ends with its quote or its line."""
    while at < len(source) and source[at] not in (quote, "\n"):
        at += 2 if source[at] == "\\" else 1
    return at + 1


def _opened(text: str) -> int:
    """How many more selections a text opens than it closes."""
    lines = [line.partition("#")[0] for line in text.split("\n")]
    return sum(line.count("{") - line.count("}") for line in lines)


def _in_comment(source: str, at: int) -> bool:
    """Whether a place is in a comment: its line begins with // or, as in JSDoc, with an asterisk."""
    return source[source.rfind("\n", 0, at) + 1 : at].lstrip().startswith(("//", "*"))


def _line(source: str, at: int) -> int:
    return source.count("\n", 0, at) + 1

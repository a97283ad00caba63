"""Docstrings and comments of the package name who is meant."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import fraiseql_guard

ROOT = Path(fraiseql_guard.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
RIDDLES = re.compile(r"\b(?:nobody|somebody|whoever|whom)(?:'s)?\b", re.IGNORECASE)


def told(text: str) -> Iterator[str]:
    """The docstrings, the strings that stand for themselves below a name, and the comments."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_docstrings_and_comments_say_who_is_meant(path: Path) -> None:
    assert [
        line for each in told(path.read_text(encoding="utf-8")) for line in each.splitlines() if RIDDLES.search(line)
    ] == []


def test_the_words_are_found_wherever_they_stand() -> None:
    text = '"""Nobody."""\nx = 1  # whoever\n"""Of somebody\'s."""\ny = "nobody"\ndef f():\n    """Whom."""\n'
    assert len([each for each in told(text) if RIDDLES.search(each)]) == 4

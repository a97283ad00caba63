"""Docstrings, comments and documentation name who is meant, and cite no document that is not in the repository."""

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
BESIDE = sorted(
    path for name in ("tests", "benchmarks", "examples", "tools") for path in (ROOT.parent / name).rglob("*.py")
)
PAGES = sorted(path for name in ("*.md", "docs/**/*.md") for path in ROOT.parent.glob(name))
RIDDLES = re.compile(r"\b(?:nobody|somebody|whoever|whom)(?:'s)?\b", re.IGNORECASE)

ABSENT = re.compile(r"\b(?:SPEC|DESIGN|FACTS|SOCKETS)(?:\.md)?\b")
"""Documents that no clone has."""
QUOTED = re.compile(r"^nobody knows the text of query_hash", re.MULTILINE)
"""What a command prints, as the documentation shows it."""


def told(text: str) -> Iterator[str]:
    """The docstrings, the strings that stand for themselves below a name, and the comments."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


@pytest.mark.parametrize("path", [*FILES, *BESIDE], ids=lambda path: path.relative_to(ROOT.parent).as_posix())
def test_docstrings_and_comments_say_who_is_meant(path: Path) -> None:
    assert [
        line for each in told(path.read_text(encoding="utf-8")) for line in each.splitlines() if RIDDLES.search(line)
    ] == []


@pytest.mark.parametrize("path", [*FILES, *BESIDE], ids=lambda path: path.relative_to(ROOT.parent).as_posix())
def test_docstrings_and_comments_cite_no_document_that_no_clone_has(path: Path) -> None:
    assert [each for each in told(path.read_text(encoding="utf-8")) if ABSENT.search(each)] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT.parent).as_posix())
def test_documentation_says_who_is_meant(path: Path) -> None:
    text = QUOTED.sub("", path.read_text(encoding="utf-8"))
    assert [line for line in text.splitlines() if RIDDLES.search(line) or ABSENT.search(line)] == []


def test_the_glossary_is_in_order() -> None:
    text = (ROOT.parent / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = re.findall(r"^\| ([^|]+?) \|", text, re.MULTILINE)[1:]
    assert words == sorted(words, key=str.lower)
    assert len(words) > 30


def test_the_words_are_found_wherever_they_stand() -> None:
    text = '"""Nobody."""\nx = 1  # whoever\n"""Of somebody\'s."""\ny = "nobody"\ndef f():\n    """Whom."""\n'
    assert len([each for each in told(text) if RIDDLES.search(each)]) == 4

"""The pages of the documentation and their code blocks, as CommonMark reads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parent.parent.parent
_PATTERNS = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/**/*.md", "examples/**/README.md")
_READER = MarkdownIt("commonmark").enable("table")


class Block(str):
    """The text of a code block, with the place where it stands.

    ``page`` is the page's path from the repository's root, ``line`` the line of the block's opening fence, ``language``
    what stands behind it. A block that is indented, or that names no language, has the language ``""``.
    """

    page: str
    line: int
    language: str
    __slots__ = ("language", "line", "page")

    @classmethod
    def at(cls, page: str, line: int, language: str, text: str) -> Block:
        """A block and its place."""
        block = cls(text)
        block.page, block.line, block.language = page, line, language
        return block

    @property
    def first_line(self) -> str:
        """What a claim names it by."""
        return self.strip().partition("\n")[0].strip()

    @property
    def place(self) -> str:
        """For messages: page and line."""
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """Every page, by its path from the repository's root."""
    return sorted({path.relative_to(ROOT).as_posix() for pattern in _PATTERNS for path in ROOT.glob(pattern)})


def every_block(page: str) -> list[Block]:
    """All code blocks of a page, in their order; also those inside lists and quotations."""
    return list(_blocks(page, (ROOT / page).read_text(encoding="utf-8")))


def blocks(page: str, language: str = "python") -> list[Block]:
    """The code blocks of one language on a page such as ``docs/limits.md``, in their order."""
    return [block for block in every_block(page) if block.language == language]


def _blocks(page: str, text: str) -> Iterator[Block]:
    for token in _READER.parse(text):
        if token.type in ("fence", "code_block"):
            line = token.map[0] + 1 if token.map else 0
            yield Block.at(page, line, token.info.strip().partition(" ")[0], token.content)

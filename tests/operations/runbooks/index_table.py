"""The table that says of each line of FraiseQL's own index what becomes of it with us."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tools.expressions import ROOT

PAGE = ROOT / "docs" / "runbooks" / "README.md"
HEADING = "## The index of FraiseQL's runbooks, line by line\n"
VERDICTS = ("works", "instead", "outside")
_CELL = re.compile(r"(?<!\\)\|")
_COMMANDS = ("jq", "curl", "cp", "git", "kubectl", "kill", "fraiseql-guard", "export")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: what the index says, the verdict, what to type, and why."""

    says: str
    verdict: str
    types: str
    why: str

    @property
    def kind(self) -> str:
        """``query``, ``command``, ``python`` or ``address``."""
        return kind_of(self.says)

    def __str__(self) -> str:
        return self.says[:60]


def kind_of(line: str) -> str:
    """What a line is typed into."""
    if line.startswith("http"):
        return "address"
    if line.startswith("from "):
        return "python"
    return "command" if line.split()[0] in _COMMANDS else "query"


def rows() -> list[Row]:
    """All of them, in their order."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(HEADING)
    return list(_rows(rest.partition("\n## ")[0]))


def _rows(section: str) -> Iterator[Row]:
    for line in section.splitlines():
        if line.startswith("| `"):
            cells = [_plain(cell) for cell in _CELL.split(line)[1:-1]]
            yield Row(*cells)


def _plain(cell: str) -> str:
    text = cell.strip().replace("\\|", "|")
    return text[1:-1] if text.startswith("`") and text.endswith("`") and text.count("`") == 2 else text

"""The commands in the runbooks, as they are written there: for tests that run them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tools.expressions import ROOT

PAGES = sorted((ROOT / "docs" / "runbooks").glob("*.md"))
_BLOCK = re.compile(r"^[ ]*```(?P<kind>sh|python)\n(?P<text>.*?)^[ ]*```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Command:
    """A line of a ``sh`` or ``python`` block. ``program`` is its first word (and the second of fraiseql-guard)."""

    page: str
    kind: str
    text: str

    @property
    def program(self) -> str:
        """What is run."""
        words = self.text.split()
        return " ".join(words[:2]) if words[0] == "fraiseql-guard" else words[0]

    def __str__(self) -> str:
        return f"{self.page}: {self.text[:60]}"


def commands() -> Iterator[Command]:
    """Every line of every block, in the order of the pages."""
    for page in PAGES:
        for block in _BLOCK.finditer(page.read_text(encoding="utf-8")):
            for line in block["text"].splitlines():
                if line.strip():
                    yield Command(page.stem, block["kind"], line.strip())


RUN_HERE = frozenset({"jq", "fraiseql-guard logs", "fraiseql-guard alerts", "fraiseql-guard dashboard"})
"""Programs whose commands test_pages.py runs as they are written. All others act on a running app: drills run them."""


def for_drills() -> list[Command]:
    """Commands that need a running app: block, limit, mode, set, lift, keys, gc, curl and Python."""
    return [command for command in commands() if command.program not in RUN_HERE]

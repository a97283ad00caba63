"""Which tests run the code blocks that no runner can run by itself.

``tests/docs/claims/`` has a file for a page, at the page's own place: ``claims/docs/servers.yml`` is about
``docs/servers.md``. It lists the tests, and for each what it runs:

    tests/live/test_example.py::test_a_proxy_is_configured_as_the_page_says:
      - "upstream api {"      # the block whose first line is this
      - every dotenv          # every block of a language
    tests/live/test_example.py::test_a_caller_behind_it:
      - "$ curl -s"           # in sh and console blocks also every command that begins like this, without the prompt
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from tests.support.pages import ROOT, Block

FOLDER = Path(__file__).parent / "claims"
_EVERY = "every "


@dataclass(frozen=True, slots=True)
class Claim:
    """A test, as pytest names it, and what it runs of a page."""

    page: str
    test: str
    what: str

    def covers(self, block: Block) -> bool:
        """Whether the test runs all of a block."""
        return self.what in (f"{_EVERY}{block.language}", block.first_line)

    def covers_command(self, command: str) -> bool:
        """Whether the test runs a command of a block of the shell."""
        return not self.what.startswith(_EVERY) and command.startswith(self.what.removeprefix("$ "))

    def __str__(self) -> str:
        return f"{self.page}: {self.what}"


def every_claim() -> list[Claim]:
    """Of all pages."""
    return [
        claim
        for path in sorted(FOLDER.rglob("*.yml"))
        for claim in claims_of(path.relative_to(FOLDER).with_suffix(".md").as_posix())
    ]


@cache
def claims_of(page: str) -> list[Claim]:
    """Of one page."""
    path = (FOLDER / page).with_suffix(".yml")
    found = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
    return [Claim(page, test, what) for test, whats in found.items() for what in whats]


def claimed(block: Block) -> Claim | None:
    """The test that runs a whole block, if one does."""
    return next((claim for claim in claims_of(block.page) if claim.covers(block)), None)


def claimed_command(block: Block, command: str) -> Claim | None:
    """The test that runs a command of a block, if one does."""
    return next((claim for claim in claims_of(block.page) if claim.covers_command(command)), None)


def exists(claim: Claim) -> bool:
    """Whether the page and the test are there."""
    file, _, name = claim.test.partition("::")
    path = ROOT / file
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return (ROOT / claim.page).exists() and f"def {name}(" in text

"""Every code block of every page runs: by a runner of its language, or by the test that claims it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.claims import FOLDER, Claim, claimed, claims_of, every_claim, exists
from tests.docs.run_page import needs_fraiseql, run_page
from tests.docs.runners import RUNNERS
from tests.docs.shell import commands, problem, problem_of_ours
from tests.support import processes
from tests.support.pages import ROOT, Block, blocks, every_block, pages

BLOCKS = [block for page in pages() for block in every_block(page) if block.language != "python"]
IN_PYTHON = [page for page in pages() if any(not claimed(block) for block in blocks(page))]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_a_block_is_run_or_claimed(block: Block, tmp_path: Path) -> None:
    if claimed(block):
        return
    assert block.language, f"{block.place} is no fenced block with a language"
    assert block.language in RUNNERS, f"{block.place}: nothing runs {block.language}, and no test claims the block"
    assert RUNNERS[block.language](block, tmp_path) == [], block.place


@pytest.mark.parametrize("page", [page for page in IN_PYTHON if not needs_fraiseql(page)])
async def test_the_python_of_a_page_runs_in_its_order(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    await run_page(page)


@processes.needs_fraiseql[0]
@processes.needs_fraiseql[1]
@pytest.mark.parametrize("page", [page for page in IN_PYTHON if needs_fraiseql(page)])
def test_the_python_of_a_page_about_fraiseql_runs_in_its_order(page: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-m", "tests.docs.run_page", page]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("claim", every_claim(), ids=str)
def test_a_claim_is_of_a_test_and_of_a_block(claim: Claim) -> None:
    assert exists(claim), f"{claim.page} or {claim.test} does not exist"
    found = every_block(claim.page)
    typed = [each.text for block in found if block.language in ("sh", "console") for each in commands(block)]
    assert any(map(claim.covers, found)) or any(map(claim.covers_command, typed)), f"{claim} is on the page no more"


@pytest.mark.parametrize("page", [page for page in pages() if claims_of(page)])
def test_a_test_that_claims_blocks_reads_their_page(page: str) -> None:
    for test in {claim.test for claim in claims_of(page)}:
        text = (ROOT / test.partition("::")[0]).read_text(encoding="utf-8")
        assert reads(text, page), f"{test} does not read {page}"


def reads(text: str, page: str) -> bool:
    """Whether a test's module names a page, or the helper that reads its whole folder."""
    return Path(page).name in text or (page.startswith("docs/runbooks/") and "tests.operations.runbooks.pages" in text)


def test_every_file_of_claims_is_of_a_page() -> None:
    named = {path.relative_to(FOLDER).with_suffix(".md").as_posix() for path in FOLDER.rglob("*.yml")}
    assert named <= set(pages())


def test_what_does_not_exist_is_found() -> None:
    assert problem_of_ours(["status"]) is None
    assert problem_of_ours(["limit", "set", "10/minute", "--user", "ada"]) is None
    for wrong in (["statuses"], ["status", "--bogus"], ["limit", "sets"], ["block", "a", "b", "c"]):
        assert problem_of_ours(wrong)
    assert problem(["make", "documentation"])
    assert problem(["pip", "install", "fraiseql-guard[everything]"])
    assert problem(["pip", "install", "fraiseql-guard[all]", "uvicorn"]) is None
    assert problem(["curl", "localhost"]) == "claim"

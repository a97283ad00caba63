"""A reader who follows README.md or docs/getting-started.md to the letter sees what the page shows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.walk import Walk
from tests.support.pages import ROOT, blocks, every_block
from tests.support.processes import needs_fraiseql
from tests.support.redis_server import RedisServer

DEVELOPMENT = "FRAISEQL_ENVIRONMENT=development FRAISEQL_JWT_SECRET=a-secret-of-your-own-of-32-bytes-or-more"
"""The variables that the README names in its text, above the command that prints a token."""


def test_the_readme(tmp_path: Path) -> None:
    instead = {"fraiseql-guard token": f"{DEVELOPMENT} fraiseql-guard token"}
    with Walk(tmp_path, instead) as walk:
        assert walk.follow(every_block("README.md")) == 4


@pytest.mark.redis
def test_getting_started(tmp_path: Path) -> None:
    with RedisServer() as redis, Walk(tmp_path, {"redis://localhost:6379/0": redis.url}) as walk:
        assert walk.follow(every_block("docs/getting-started.md")) > 20


def test_both_pages_have_the_same_app() -> None:
    (here, *_), (there, *_) = blocks("README.md"), blocks("docs/getting-started.md")
    assert here.replace("  # settings come from FRAISEQL_* variables", "") == there


@needs_fraiseql[0]
@needs_fraiseql[1]
def test_the_lines_for_fraiseql(tmp_path: Path) -> None:
    (block,) = (block for block in blocks("README.md") if "create_fraiseql_app" in block)
    types, _, _ = blocks("docs/database.md")[0].partition("app = protect")
    path = tmp_path / "host.py"
    path.write_text(f"{types}\n{block}\nassert app.runtime is not None\n", encoding="utf-8")
    command = [sys.executable, "-W", "error", str(path)]
    done = subprocess.run(command, env={"PYTHONPATH": str(ROOT)}, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr

"""What has to be green is the same wherever it is asked: .ci/run, the forge's workflow, the hooks of a commit."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import yaml

from tools.architecture import ROOT

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z]+):.*## ", MAKEFILE, re.MULTILINE))


def made(script: str) -> list[str]:
    """The lines of a script that call make."""
    return [line for line in map(str.strip, script.splitlines()) if line.startswith("make ")]


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


GATE = made((ROOT / ".ci" / "run").read_text(encoding="utf-8"))


def test_the_gate_is_lint_and_all_tests() -> None:
    assert GATE == ["make lint", "make test"]


def test_the_workflow_does_what_the_gate_does() -> None:
    (job,) = read(".github/workflows/ci.yml")["jobs"].values()
    assert [line for step in job["steps"] for line in made(step.get("run", ""))] == GATE


def test_the_hooks_call_what_is_installed_here() -> None:
    config = read(".pre-commit-config.yaml")
    assert [repository["repo"] for repository in config["repos"]] == ["local"]
    entries = [shlex.split(hook["entry"]) for repository in config["repos"] for hook in repository["hooks"]]
    assert ["make", "lint"] in entries
    assert all(program in ("make", ".venv/bin/python") for program, *_ in entries)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", ".ci/run", ".github/workflows/ci.yml"])
def test_every_target_that_is_named_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^|`| {4}|run: )make ([a-z]+)", text, re.MULTILINE))
    assert named
    assert named <= TARGETS


def test_check_lints_and_names_tests_that_exist() -> None:
    assert re.search(r"^check: lint\b", MAKEFILE, re.MULTILINE)
    listed = re.findall(r"^(?:NOT_)?QUICK := ((?:.*\\\n)*.*)$", MAKEFILE, re.MULTILINE)
    paths = [path for text in listed for path in re.findall(r"tests/[\w/]+(?:\.py)?(?=\s|$)", text)]
    assert len(listed) == 2
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []

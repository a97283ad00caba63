"""The pages about the design say what is so: rooms, modules, picture, and documents that are cited."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fraiseql_guard.core.signals import CODES
from tools.architecture import PACKAGE, PICTURE, ROOT, STAGES, floors, picture
from tools.figures_source import figures_of

ARCHITECTURE = ROOT / "docs" / "design" / "architecture.md"
ROOMS = [room.name for floor in floors() for room in floor]
TEXTS = [
    *(ROOT.glob(name) for name in ("*.md", "docs/**/*.md", ".github/**/*.yml", "tests/**/*.yaml")),
    *(ROOT.glob(f"{folder}/**/*.py") for folder in ("fraiseql_guard", "tests", "benchmarks", "tools", "examples")),
]
PATHS = sorted(path for paths in TEXTS for path in paths)


def test_the_rooms_are_the_modules_and_packages_that_exist() -> None:
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert set(ROOMS) == (modules | packages) - {"__init__", "__main__", "testing"}
    assert len(ROOMS) == len(set(ROOMS))


def test_the_page_lists_every_room_on_its_floor() -> None:
    listed = re.findall(r"^\| (\d+) \| `([a-z_]+)/?` \|", ARCHITECTURE.read_text(encoding="utf-8"), re.MULTILINE)
    levels = floors()
    assert listed == [
        (str(number), room.name)
        for number, floor in zip(range(len(levels), 0, -1), levels, strict=True)
        for room in floor
    ]


def test_every_module_that_the_page_names_exists() -> None:
    named = re.findall(r"`([a-z_/]+(?:/|\.py|\.lua))`", ARCHITECTURE.read_text(encoding="utf-8"))
    missing = [name for name in named if not (PACKAGE / name).exists() and not (ROOT / name).exists()]
    assert not missing
    assert {module for stage in STAGES for module in stage.modules} <= set(named)


def test_no_class_name_stands_for_two_things() -> None:
    assert figures_of(PACKAGE).names["class names that stand for two or more things"] == []


def test_the_walks_for_contributors_name_files_that_exist() -> None:
    named = set(re.findall(r"`((?:fraiseql_guard|tests)/[\w/]+\.py)`", (ROOT / "CONTRIBUTING.md").read_text("utf-8")))
    assert {name for name in named if not (ROOT / name).exists()} == {
        "fraiseql_guard/checks/agents.py",  # what the walk adds
        "tests/guard/test_agents.py",
    }


def test_the_steps_name_every_status_of_a_refusal() -> None:
    shown = {int(status) for stage in STAGES for status in stage.refusals}
    assert shown == {code.status for code in CODES}


def test_the_picture_is_what_the_tables_say() -> None:
    drawn = (ROOT / PICTURE).read_text(encoding="utf-8")
    assert drawn == picture(), "run: python -m tools.docs"
    assert all(f">{name}<" in drawn for name in ROOMS)
    assert "prefers-color-scheme: dark" in drawn


@pytest.mark.parametrize(
    "folder", ["fraiseql_guard", "tests", "benchmarks", "tools", "examples", "docs", ".github", "."]
)
def test_what_is_cited_is_in_the_repository(folder: str) -> None:
    """Documents that are named in docstrings, comments and pages exist; none outside of the repository is cited."""
    here = [
        path for path in PATHS if path.relative_to(ROOT).parts[0] == folder or (folder == "." and path.parent == ROOT)
    ]
    for path in here:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\b(?:SPEC|DESIGN|FACTS)(?: section|\.md|:)", text), path
        for cited in re.findall(r"(?<![\w/.-])docs/[\w/-]+\.md", text):
            assert (ROOT / cited).exists() or (path.parent / cited).exists(), f"{path} cites {cited}"


def test_the_pages_of_the_design_are_there() -> None:
    pages = {path.name for path in Path(ROOT / "docs" / "design").glob("*.md")}
    assert pages == {"specification.md", "architecture.md", "measurements.md", "mechanisms.md"}

"""The figures of the house: counted right on a small package, and compared with those that were written before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.figures import PACKAGE, Figures, changes, main, read, report
from tools.figures_requests import KINDS, entered, files_entered
from tools.figures_source import figures_of, floors

FILES = {
    "__init__.py": "from house.top import Door\n",
    "top.py": "from house.middle import lift\nfrom house import ground as g\nclass Door: ...\n",
    "middle/__init__.py": "def lift():\n    from ..ground import Stone\n    return Stone\n",
    "middle/parts.py": "class Door: ...\nclass Stone: ...\n",
    "middle/ground.py": "import house.ground, os\n",
    "ground.py": "# Why.\nclass Stone: ...\nx = 1  # noqa: F841\n",
    "attic/readme.txt": "no package",
}
BUSY = "def busy(a, b):\n" + "    if a and b: pass\n" * 11
LONG = "def long():\n" + "    x = 1\n" * 41


@pytest.fixture
def house(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "house" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "house"


def test_rooms_floors_and_arrows(house) -> None:
    found = figures_of(house)
    assert found.names["rooms"] == ["ground", "middle", "top"]
    assert found.numbers["floors"] == 3
    assert found.numbers["arrows between rooms"] == 3  # top to both others, middle to ground, however often
    assert found.numbers["layers that the linter holds"] == 0


def test_layers_are_those_of_the_project_beside_the_package(house) -> None:
    contract = '[[tool.importlinter.contracts]]\ntype = "layers"\nlayers = ["top", "middle | attic", "ground"]\n'
    (house.parent / "pyproject.toml").write_text(contract)
    assert figures_of(house).numbers["layers that the linter holds"] == 3


def test_rooms_that_import_each_other_stand_on_one_floor() -> None:
    assert floors({}) == 0
    assert floors({"a": [], "b": []}) == 1
    assert floors({"a": ["b"], "b": ["c"], "c": ["b", "d"], "d": []}) == 3


def test_a_name_that_two_files_use_is_counted_once_with_both(house) -> None:
    found = figures_of(house)
    what = "class names that stand for two or more things"
    assert found.names[what] == ["Door: middle/parts.py, top.py", "Stone: ground.py, middle/parts.py"]
    assert found.names["file names that stand for two or more things"] == ["ground: ground.py, middle/ground.py"]


def test_comments_are_counted_with_and_without_those_for_tools(house) -> None:
    found = figures_of(house)
    assert found.numbers["lines"] == 13
    assert found.numbers["comments per thousand lines"] == round(2 / 13 * 1000, 1)
    assert found.numbers["comments per thousand lines, without those for tools"] == round(1 / 13 * 1000, 1)


def test_long_and_branching_functions_are_named(house) -> None:
    before = figures_of(house)
    (house / "ground.py").write_text(BUSY + LONG)
    found = figures_of(house)
    assert found.names["functions above complexity 10"] == ["ground.py:busy (12)"]
    inside = "functions above complexity 10 with conditions inside expressions"
    assert found.names[inside] == ["ground.py:busy (23)"]
    assert found.names["functions above 40 statements"] == ["ground.py:long (41)"]
    assert before.names["functions above 40 statements"] == []
    assert found.numbers["mean complexity"] == 4.67  # 12, 1, and 1 of middle's
    lines = list(changes(found, before))
    assert "  + ground.py:busy (12)" in lines


def test_a_folder_without_sources_has_no_figures(tmp_path) -> None:
    with pytest.raises(FileNotFoundError):
        figures_of(tmp_path)


@pytest.mark.parametrize("name", KINDS)
async def test_a_request_is_followed_through_files_of_the_package(name) -> None:
    first, again = await files_entered(KINDS[name], PACKAGE)
    assert first
    assert again
    assert all((PACKAGE / file).is_file() for file in first | again)


async def test_graphql_enters_more_than_a_page_and_what_the_app_does_is_not_counted() -> None:
    page, _ = await files_entered(KINDS["plain"], PACKAGE)
    graphql, _ = await files_entered(KINDS["GraphQL"], PACKAGE)
    assert len(graphql) > len(page)
    with entered(PACKAGE) as files:
        json.dumps({})
    assert files == set()


def test_two_files_are_compared_without_measuring(tmp_path, capsys) -> None:
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    before.write_text(json.dumps({"numbers": {"rooms": 3, "lines": 30_835, "gone": 1}, "names": {"rooms": ["a", "b"]}}))
    after.write_text(json.dumps({"numbers": {"rooms": 2, "lines": 26_999.5}, "names": {"rooms": ["a", "c"]}}))
    assert main(["--read", str(after), "--against", str(before)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["rooms", "3", "2", "-1"], ["lines", "30,835", "26,999.5", "-3,835.5"], ["gone", "1", "-"],
    ]  # fmt: skip
    assert lines[-3:] == ["rooms:", "  + c", "  - b"]


def test_figures_are_written_and_read_again(tmp_path, capsys) -> None:
    figures = tmp_path / "figures.json"
    figures.write_text(json.dumps({"numbers": {"rooms": 2.5}, "names": {}}))
    copy = tmp_path / "copy.json"
    assert main(["--read", str(figures), "--json", str(copy)]) == 0
    assert read(copy) == Figures({"rooms": 2.5}, {})
    assert list(report(read(copy))) == [capsys.readouterr().out.splitlines()[0]]


@pytest.mark.parametrize("text", ["no JSON", "[]", "{}"])
def test_what_holds_no_figures_is_told(tmp_path, capsys, text) -> None:
    (tmp_path / "odd.json").write_text(text)
    assert main(["--read", str(tmp_path / "odd.json")]) == 2
    assert "the figures cannot be read" in capsys.readouterr().err

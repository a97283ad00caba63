"""Property tests try the same examples in every run, and new ones, many more, where they are asked to."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
OWN_SETTINGS = re.compile(r"\b(max_examples|derandomize|register_profile|load_profile)\b")
PATIENCE = 120

DRAW = """
import sys
sys.path.insert(0, sys.argv[1])
for name in sys.argv[2:]:
    __import__(name)
from hypothesis import given, strategies as st
from tests.support.properties import examples, forget_the_modules, register_profiles
register_profiles()
forget_the_modules()
@examples(300)
@given(st.integers(), st.text(), st.dictionaries(st.sampled_from("abc"), st.floats()), st.randoms())
def draw(number, text, mapping, random):
    print(number, ascii(text), mapping, random.random())
draw()
"""


def python(*arguments: str, **environment: str) -> str:
    """What it prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=TESTS.parent, env={**os.environ, **environment}, timeout=PATIENCE,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def test_the_same_are_tried_whatever_was_imported_before_and_in_whatever_order_sets_are(tmp_path: Path) -> None:
    (tmp_path / "imported_before.py").write_text("NUMBERS = [123456789, 987654321]; WORDS = ['abcdefgh', 'ijklmnop']\n")
    alone = python("-c", DRAW, str(tmp_path), PYTHONHASHSEED="1")
    later = python("-c", DRAW, str(tmp_path), "imported_before", "fraiseql_guard.cli", PYTHONHASHSEED="2")
    assert len(alone.splitlines()) == 300
    assert alone == later


@pytest.mark.parametrize(
    ("profile", "tried"),
    [([], 100), (["--hypothesis-profile", "check"], 10), (["--hypothesis-profile", "fuzz"], 1234)],
    ids=["ci", "check", "fuzz"],
)
def test_how_many_are_tried(profile: list[str], tried: int) -> None:
    command = ["-m", "pytest", "-q", "-m", "hypothesis", "--hypothesis-show-statistics", *profile]
    told = python(*command, "tests/cli/test_durations.py", FUZZ_EXAMPLES="1234")
    assert set(map(int, re.findall(r"because settings.max_examples=(\d+)", told))) == {tried}


def test_no_test_decides_that_for_itself() -> None:
    files = [path for path in TESTS.rglob("*.py") if path not in (Path(__file__), TESTS / "support" / "properties.py")]
    assert [str(path.relative_to(TESTS)) for path in files if OWN_SETTINGS.search(path.read_text())] == []

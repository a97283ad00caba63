"""Runs of benchmarks in processes of their own: each is bounded, and says what went wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.runs import RUNS, carry_out

OVERHEAD = next(run for run in RUNS if run.name == "overhead")


def test_a_run_that_fails_says_so_and_the_next_one_is_carried_out(tmp_path: Path) -> None:
    wrong = replace(OVERHEAD, short=("--rounds", "many"))
    unknown = replace(OVERHEAD, name="nonsense")
    problems = [problem for _, problem in carry_out([wrong, unknown], tmp_path, short=True)]
    assert "ended with 2: " in problems[0]
    assert "argument --rounds: invalid int value: 'many'" in problems[0]
    assert problems[1].startswith("ended with 2: ")
    assert list(tmp_path.glob("*.json")) == []


def test_a_run_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    endless = replace(OVERHEAD, short=("--rounds", "100000"), short_minutes=0.02)
    (problem,) = [problem for _, problem in carry_out([endless], tmp_path, short=True)]
    assert problem == "ended after 0.02 minutes, before it was done"

"""Results of benchmarks: one form for all of them, and what the summary makes of it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from benchmarks.report import DATA
from benchmarks.results import Clock, read
from benchmarks.runs import RUNS
from benchmarks.summary import heading, results_in, rows_of, table


@dataclass(frozen=True)
class Figure:
    ms: float
    outcome: str


def test_a_result_tells_when_where_and_how_it_was_taken(tmp_path: Path) -> None:
    file = tmp_path / "one.json"
    Clock("flood", ["--short", "--json", str(file), "--rate", "30"]).save(file, {"p99": 1.23456789})
    found = read(file)
    assert found.command == "python -m benchmarks flood --short --rate 30"
    assert found.figures == {"p99": 1.235}
    assert found.machine["cores"] >= 1
    assert found.machine["cpu"]
    assert "Python" in found.versions
    assert [path.name for path in tmp_path.iterdir()] == ["one.json"]


def test_what_is_no_number_is_null_and_values_become_objects(tmp_path: Path) -> None:
    file = tmp_path / "one.json"
    Clock("hostile", []).save(file, {"rows": (Figure(math.nan, "died"), Figure(2.0, "refused")), 64: [1]})
    found = read(file).figures
    assert found["rows"] == [{"ms": None, "outcome": "died"}, {"ms": 2.0, "outcome": "refused"}]
    assert found["64"] == [1]


def test_without_a_file_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Clock("flood", []).save(None, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["[]", "{}", '{"options": [], "figures": {}}'])
def test_what_is_no_result_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(ValueError, match=r"other\.json is no result"):
        read(tmp_path / "other.json")


def test_the_summary_has_a_line_of_every_benchmark_beside_what_it_is_compared_with() -> None:
    results = results_in(DATA)
    rows = rows_of(results, {})
    assert {row.benchmark for row in rows} == {run.name for run in RUNS}
    shown = "\n".join(table(rows))
    for name in ("slowapi", "strawberry", "armor", "without the guard", "bare"):
        assert name in shown
    assert all(row.ours for row in rows)
    assert max(map(len, table(rows))) <= 160
    for result in results:
        assert any(result.date in line and result.machine["cpu"] in line for line in heading(results))


def test_the_summary_says_what_did_not_come_to_its_end() -> None:
    results = [result for result in results_in(DATA) if result.benchmark != "flood"]
    rows = rows_of(results, {"flood": "ended after 5 minutes, before it was done"})
    (line,) = [row for row in rows if row.benchmark == "flood"]
    assert line.what == "ended after 5 minutes, before it was done"


def test_a_result_without_our_figures_is_said_to_have_none() -> None:
    (flood,) = [result for result in results_in(DATA) if result.benchmark == "flood"]
    bare = replace(flood, figures=[row for row in flood.figures if row["app"] == "bare"])
    (row,) = [row for row in rows_of([bare], {}) if row.benchmark == "flood"]
    assert row.what.startswith("its result has not what is shown here")


def test_all_runs_together_stay_within_what_is_promised() -> None:
    assert sum(run.short_minutes for run in RUNS) < 20
    assert sum(run.full_minutes for run in RUNS) < 60


def test_stored_results_are_small_and_can_be_read_by_people() -> None:
    for run in RUNS:
        text = (DATA / f"{run.name}.json").read_text(encoding="utf-8")
        assert len(text) < 60_000
        assert max(map(len, text.splitlines())) <= 160
        assert json.loads(text)["benchmark"] == run.name

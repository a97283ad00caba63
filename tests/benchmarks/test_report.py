"""The page about performance is what its data says: figures, tables, charts, date and machine."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.report import DATA, PAGE, rendered, stale
from benchmarks.results import Result
from benchmarks.runs import RUNS
from benchmarks.summary import results_in

TEXT = PAGE.read_text(encoding="utf-8")
RESULTS = {result.benchmark: result for result in results_in(DATA)}


def test_page_and_charts_are_what_the_data_says() -> None:
    assert [path.name for path in stale()] == [], "run: python -m benchmarks report"


def test_every_benchmark_has_its_section_with_chart_table_and_circumstances() -> None:
    assert re.findall(r"<!-- measured: ([a-z]+) -->", TEXT) == [run.name for run in RUNS]
    for run in RUNS:
        (shown,) = re.findall(rf"<!-- measured: {run.name} -->\n(.*?)<!-- end -->", TEXT, re.DOTALL)
        result = RESULTS[run.name]
        assert f"`{result.command}`" in shown
        for said in (result.date, result.machine["cpu"], f"{result.machine['cores']} cores", result.versions["Python"]):
            assert said in shown
        assert f"(performance/{run.name}.svg)" in shown
        assert "\n|---|" in shown
        assert all((PAGE.parent / file).exists() for file in re.findall(r"\((performance/[^)]+)\)", shown))


@pytest.mark.parametrize("name", [run.name for run in RUNS])
def test_other_figures_make_another_section_and_another_chart(name: str) -> None:
    doubled = replace(RESULTS[name], figures=_doubled(RESULTS[name].figures))
    before, charts = rendered(TEXT, RESULTS)
    after, other = rendered(TEXT, {**RESULTS, name: doubled})
    assert before != after
    assert charts.keys() == other.keys()
    assert {file.partition(".")[0].partition("-")[0] for file in charts if charts[file] != other[file]} == {name}


def test_what_was_not_measured_is_said() -> None:
    text, charts = rendered("<!-- measured: flood -->\nold\n<!-- end -->\n", {})
    assert text == "<!-- measured: flood -->\nNot measured yet.\n<!-- end -->\n"
    assert charts == {}


def test_limits_that_were_not_exact_are_shouted() -> None:
    result = RESULTS["scale"]
    first, *others = result.figures["exact"]
    wrong = {**first, "holds": False, "admitted": {"121": 1}}
    text, _ = rendered(TEXT, {"scale": _with(result, exact=[wrong, *others])})
    assert "NOT exact" in text


def _with(result: Result, **figures: object) -> Result:
    return replace(result, figures={**result.figures, **figures})


def _doubled(value: object) -> object:
    """Every measured figure twice as large; counts of workers, nodes and the like stay."""
    if isinstance(value, dict):
        return {key: each if key in ("workers", "nodes", "allowed") else _doubled(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_doubled(each) for each in value]
    return value * 2 if isinstance(value, float) else value


def test_the_data_lies_beside_the_page() -> None:
    assert Path(DATA).parent == PAGE.parent

"""Short runs of overhead, peers, hostile, flood, sockets and scale, and one table of all: ours, and what is beside.

Less than 20 minutes on two cores. The first run takes some minutes more, in which it makes the environments of other
packages.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any, Final

from benchmarks.results import Clock, Result, read
from benchmarks.runs import RUNS, Run, carry_out, prepare, say
from benchmarks.sections import Section

_WIDTH: Final = 160
_COLUMNS: Final = (10, 50, 24)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    benchmark: str
    what: str
    ours: str
    beside: str


def section_of(result: Result) -> Section:
    """What a result comes to."""
    found: Section = importlib.import_module(f"benchmarks.sections.{result.benchmark}").section(result.figures)
    return found


def rows_of(results: Sequence[Result], problems: Mapping[str, str]) -> list[Row]:
    """The table: the lines of each benchmark, and what went wrong with it."""
    by_name = {result.benchmark: result for result in results}
    rows = []
    for run in RUNS:
        problem = problems.get(run.name, "")
        if run.name in by_name:
            try:
                lines = section_of(by_name[run.name]).summary
            except (LookupError, ValueError) as error:  # one that was ended may have no figures of ours yet
                problem = problem or f"its result has not what is shown here: {error!r}"
            else:
                rows += [Row(run.name, line.what, line.ours, line.beside) for line in lines]
        if problem:
            rows.append(Row(run.name, problem, "", ""))
    return rows


def heading(results: Sequence[Result]) -> list[str]:
    """Date, machine and versions, once for all results that have the same."""
    return list(dict.fromkeys(described(result) for result in results))


def described(result: Result) -> str:
    """When, where and on what a result was taken."""
    machine = result.machine
    memory = f"{machine['memory_gib']:g} GiB, " if machine.get("memory_gib") else ""
    versions = ", ".join(f"{name} {number}" for name, number in result.versions.items())
    return f"{result.date}, {machine['cpu']}, {machine['cores']} cores, {memory}{machine['system']}; {versions}"


def table(rows: Sequence[Row]) -> list[str]:
    """The lines to print; what is long goes on below itself."""
    first, what, ours = _COLUMNS
    lines = [f"{'':{first}}{'':{what}}{'fraiseql-guard':{ours}}beside it", "-" * _WIDTH]
    before = ""
    for row in rows:
        cells = [
            wrap(text, width - 2) or [""]
            for text, width in ((row.what, what), (row.ours, ours), (row.beside, _WIDTH - sum(_COLUMNS)))
        ]
        for number in range(max(map(len, cells))):
            name = row.benchmark if number == 0 and row.benchmark != before else ""
            parts = [cell[number] if number < len(cell) else "" for cell in cells]
            lines.append(f"{name:{first}}{parts[0]:{what}}{parts[1]:{ours}}{parts[2]}".rstrip())
        before = row.benchmark
    return lines


def results_in(folder: Path, runs: Sequence[Run] = RUNS) -> list[Result]:
    """Those of a folder, in the order of the page."""
    files = [folder / f"{run.name}.json" for run in runs]
    return [read(file) for file in files if file.exists()]


def measured(runs: Sequence[Run]) -> tuple[list[Result], dict[str, str]]:
    """Short runs, one after the other, and what went wrong."""
    prepare()
    problems = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for run, problem in carry_out(runs, folder, short=True):
            if problem:
                problems[run.name] = problem
                say(f"{run.name}: {problem}")
        return results_in(folder, runs), problems


def main() -> int:
    """Print the table; ``--json FILE`` writes it. 1 if a benchmark did not come to its end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks summary", description=__doc__)
    names = [run.name for run in RUNS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--of", type=Path, metavar="FOLDER", help="show results that are there, and measure nothing")
    parser.add_argument("--json", metavar="FILE")
    clock, options = Clock("summary"), parser.parse_args()
    runs = [run for run in RUNS if run.name in options.only]
    results, problems = (results_in(options.of, runs), {}) if options.of else measured(runs)
    rows = rows_of(results, problems)
    print("\n".join([*heading(results), "", *table(rows)]))
    clock.save(options.json, {"rows": rows, "problems": problems, "results": _plain(results)})
    return 1 if problems else 0


def _plain(results: Sequence[Result]) -> dict[str, Any]:
    return {result.benchmark: {"command": result.command, "seconds": result.seconds} for result in results}


if __name__ == "__main__":
    sys.exit(main())

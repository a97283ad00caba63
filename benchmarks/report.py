"""Write docs/performance.md and its charts from the results in docs/performance, which ``--measure`` takes anew.

The page's words stand in the page; between its marks stand date, machine, command, chart, figures and table of each
result. So page, charts and data are one: ``--check`` changes nothing, and ends with 1 if they are not.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Final

from benchmarks.results import Result, read, write
from benchmarks.runs import ROOT, RUNS, Run, carry_out, prepare, say
from benchmarks.sections import table
from benchmarks.summary import described, section_of

PAGE: Final = ROOT / "docs" / "performance.md"
DATA: Final = ROOT / "docs" / "performance"
_MARKED: Final = re.compile(r"<!-- measured: ([a-z]+) -->\n.*?<!-- end -->", re.DOTALL)
_WIDTH: Final = 130
_LEFT_OUT: Final[Mapping[str, Sequence[str]]] = {"hostile": ("rows",)}
"""Figures that the page does not show and that are many: each attack at each size."""


def rendered(text: str, results: Mapping[str, Result], folder: str = DATA.name) -> tuple[str, dict[str, str]]:
    """The page with what was measured, and its charts by the names of their files."""
    charts: dict[str, str] = {}

    def shown_of(match: re.Match[str]) -> str:
        name = match[1]
        result = results.get(name)
        if result is None:
            shown = "Not measured yet."
        else:
            section, parts = section_of(result), [_taken(result, folder)]
            for chart in section.charts:
                file = f"{name}-{chart.part}.svg" if chart.part else f"{name}.svg"
                charts[file] = chart.svg
                parts.append(f"![{chart.shows}]({folder}/{file})")
            shown = "\n\n".join([*parts, _wrapped(section.text), table(section.table)])
        return f"<!-- measured: {name} -->\n{shown}\n<!-- end -->"

    return _MARKED.sub(shown_of, text), charts


def _taken(result: Result, folder: str) -> str:
    """What repeats it, how long that took, the data, when and where."""
    load = result.machine.get("load_before")
    busy = "" if load is None else f"; load {load:g} before it began"
    file = f"{result.benchmark}.json"
    taken = f"`{result.command}`, {result.seconds / 60:.1f} minutes{busy}; [{file}]({folder}/{file})."
    return f"{taken}\n{_wrapped(f'{described(result)}.')}"


def _wrapped(text: str) -> str:
    return fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def wanted() -> dict[Path, str]:
    """Every file that is written from the data."""
    results = {run.name: read(DATA / f"{run.name}.json") for run in RUNS if (DATA / f"{run.name}.json").exists()}
    text, charts = rendered(PAGE.read_text(encoding="utf-8"), results)
    return {PAGE: text} | {DATA / file: svg for file, svg in charts.items()}


def stale() -> list[Path]:
    """Files that are not what the data says, and charts that no data asks for."""
    files = wanted()
    differ = [path for path, text in files.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    return differ + [path for path in DATA.glob("*.svg") if path not in files]


def take(runs: Sequence[Run]) -> bool:
    """Measure, and keep each result that came to its end; whether all did."""
    prepare()
    DATA.mkdir(exist_ok=True)
    complete = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for run, problem in carry_out(runs, folder, short=False):
            file = folder / f"{run.name}.json"
            if problem or not file.exists():
                complete = False
                say(f"{run.name}: {problem or 'it wrote no result'}; the page keeps what it has")
                continue
            found = read(file)
            if isinstance(found.figures, dict):
                for left_out in _LEFT_OUT.get(run.name, ()):
                    found.figures.pop(left_out, None)
            write(DATA / file.name, found)
    return complete


def main() -> int:
    """Write what is stale; with ``--check`` name it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks report", description=__doc__)
    names = [run.name for run in RUNS]
    parser.add_argument(
        "--measure", nargs="*", choices=names, metavar="NAME", help=f"all, or these: {', '.join(names)}"
    )
    parser.add_argument("--check", action="store_true", help="change nothing")
    options = parser.parse_args()
    complete = True
    if options.measure is not None:
        complete = take([run for run in RUNS if run.name in (options.measure or names)])
    for path in stale():
        if options.check:
            print(f"{path.relative_to(ROOT)} is not what the data says: python -m benchmarks report", file=sys.stderr)
            complete = False
            continue
        if (text := wanted().get(path)) is None:
            path.unlink()
        else:
            path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())

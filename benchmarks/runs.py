"""Runs of the benchmarks that the page and the summary show: with which options, and how long each may take."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
_END_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One benchmark: options and minutes of the short form, and of the one whose figures are published.

    Minutes are a bound, on two cores: a run that takes longer is ended, and what it has written until then counts.
    Environments of other packages, which the first run makes, take some minutes more.
    """

    name: str
    short: tuple[str, ...] = ("--short",)
    full: tuple[str, ...] = ()
    short_minutes: float
    full_minutes: float


_FEW: Final = ("aliases", "nesting", "fragment bombs", "strings")
"""Families of hostile requests, of ten."""

RUNS: Final = (
    Run(
        name="overhead",
        short=("--rounds", "3", "--requests", "1500"),
        full=("--rounds", "9"),
        short_minutes=1,
        full_minutes=4,
    ),
    Run(name="peers", full=("--short",), short_minutes=5.3, full_minutes=7),
    Run(
        name="hostile",
        short=("--rounds", "3", "--limit", "0.2", "--families", *_FEW),
        short_minutes=3,
        full_minutes=18,
    ),
    Run(name="flood", full=("--short",), short_minutes=5.2, full_minutes=7),
    Run(name="sockets", short_minutes=2, full_minutes=6),
    Run(name="scale", short_minutes=3, full_minutes=14),
)
"""In the order of the page. Together the short forms take less than 20 minutes, the others less than an hour."""


def prepare() -> None:
    """Make what benchmarks make at their first run, so that no run's time is spent on it. What cannot be made is said
    by the benchmark that misses it."""
    from benchmarks.peers.environment import PeersEnvironmentError
    from benchmarks.peers.environment import prepare as prepare_peers
    from benchmarks.peers.variants import VARIANTS
    from tools.components import ComponentError, locate

    try:
        locate("redis-server")
        prepare_peers(VARIANTS)
    except (ComponentError, PeersEnvironmentError) as error:
        say(f"not everything can be prepared: {error}")


def carry_out(runs: Sequence[Run], folder: Path, *, short: bool) -> Iterator[tuple[Run, str]]:
    """One after the other, each with its result in ``folder`` (NAME.json) and its output in NAME.txt; what went wrong,
    or nothing, once each has ended."""
    for run in runs:
        options, minutes = (run.short, run.short_minutes) if short else (run.full, run.full_minutes)
        say(f"{run.name}: at most {minutes:g} minutes")
        file = folder / f"{run.name}.json"
        command = [sys.executable, "-m", "benchmarks", run.name, *options, "--json", str(file)]
        with (folder / f"{run.name}.txt").open("wb") as output:
            process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=_environ()
            )
            try:
                status = process.wait(minutes * 60)
            except subprocess.TimeoutExpired:
                _end(process)
                yield run, f"ended after {minutes:g} minutes, before it was done"
                continue
            except BaseException:
                _end(process)
                raise
        yield run, "" if status == 0 else f"ended with {status}: {_last_words(folder / f'{run.name}.txt')}"


def say(what: str) -> None:
    """Progress."""
    print(what, file=sys.stderr, flush=True)


def _environ() -> dict[str, str]:
    """Nothing of the caller's environment configures the guard."""
    return {name: value for name, value in os.environ.items() if not name.startswith("FRAISEQL_")}


def _end(process: subprocess.Popen[bytes]) -> None:
    """It ends its own servers."""
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_words(output: Path) -> str:
    lines = [line for line in output.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"

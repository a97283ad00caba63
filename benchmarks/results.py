"""What a benchmark has found, as a file: its figures with the date, the machine, the versions, and how it was called.

Every benchmark's ``--json FILE`` writes this form, and what reads results (the page, the summary) reads no other.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from tools.components import CACHE

_PACKAGES: Final = ("fraiseql-guard", "uvicorn", "starlette", "graphql-core", "hiredis", "orjson", "uvloop")
_WIDTH: Final = 120
_DIGITS: Final = 4
"""Significant digits of a figure: no benchmark is more exact, and files stay small."""


@dataclass(frozen=True, slots=True)
class Result:
    """One run of a benchmark. ``seconds`` is how long it took; ``options`` are those of its command line."""

    benchmark: str
    date: str
    seconds: float
    options: tuple[str, ...]
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    figures: Any

    @property
    def command(self) -> str:
        """What repeats it."""
        return f"python -m benchmarks {shlex.join([self.benchmark, *self.options])}"


class Clock:
    """Begins with a benchmark: ``save`` writes its figures, as often as there are new ones."""

    def __init__(self, benchmark: str, options: Sequence[str] | None = None) -> None:
        self._benchmark = benchmark
        self._options = _without_file(sys.argv[1:] if options is None else options)
        self._began = datetime.now(UTC)
        self._load = _load_average()

    def save(self, file: str | os.PathLike[str] | None, figures: Any) -> None:
        """A run that is ended while it writes leaves what was there before. Nothing without a file."""
        if file is None:
            return
        result = Result(
            self._benchmark,
            self._began.date().isoformat(),
            round((datetime.now(UTC) - self._began).total_seconds(), 1),
            self._options,
            {**machine(), "load_before": self._load},
            versions(),
            figures,
        )
        write(file, result)


def write(file: str | os.PathLike[str], result: Result) -> None:
    """A result: whole or not at all."""
    path = Path(file)
    beside = path.with_name(f"{path.name}.part")
    beside.write_text(_lines(_short(asdict(result))) + "\n", encoding="utf-8")
    beside.replace(path)


def read(file: str | os.PathLike[str]) -> Result:
    """A result that was written; ValueError if the file holds something else."""
    found = json.loads(Path(file).read_text(encoding="utf-8"))
    try:
        return Result(**{**found, "options": tuple(found["options"])})
    except (TypeError, KeyError) as error:
        raise ValueError(f"{file} is no result of a benchmark") from error


def machine() -> dict[str, Any]:
    """Processor, cores that this process may use, memory and system."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"cpu": _cpu_model(), "cores": cores, "memory_gib": _memory_gib(), "system": _system()}


def versions() -> dict[str, str]:
    """Python and what the figures depend on most, as far as it is installed."""
    found = {"Python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found | ({"Redis": number} if (number := _redis_version()) else {})


def _redis_version() -> str:
    """That of the server which benchmarks use, if it is there."""
    program = shutil.which("redis-server") or CACHE / "bin" / "redis-server"
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
    return next((word.removeprefix("v=") for word in said.split() if word.startswith("v=")), "")


def _without_file(options: Sequence[str]) -> tuple[str, ...]:
    """The options without ``--json FILE``, which is another one each time."""
    kept, rest = [], iter(options)
    for option in rest:
        if option == "--json":
            next(rest, None)
        elif not option.startswith("--json="):
            kept.append(option)
    return tuple(kept)


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):  # no such name, or no such call
        return None


def _system() -> str:
    return f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}"


def _load_average() -> float | None:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _lines(value: Any, indent: int = 0) -> str:
    """JSON in lines that a person and a diff can read: what fits into one stands in one."""
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or len(flat) + indent < _WIDTH:
        return flat
    inner = " " * (indent + 1)
    if isinstance(value, dict):
        parts = [
            f"{inner}{json.dumps(key, ensure_ascii=False)}: {_lines(each, indent + 1)}" for key, each in value.items()
        ]
        return "{\n" + ",\n".join(parts) + f"\n{' ' * indent}}}"
    return "[\n" + ",\n".join(inner + _lines(each, indent + 1) for each in value) + f"\n{' ' * indent}]"


def _short(value: Any) -> Any:
    """Figures with as many digits as they are worth."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if value == value else None  # JSON has no word for what is no number
    if is_dataclass(value) and not isinstance(value, type):
        return _short(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _short(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_short(each) for each in value]
    return value

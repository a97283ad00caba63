"""Metrics of several worker processes, which meet in the files of PROMETHEUS_MULTIPROC_DIR.

prometheus_client writes the files and merges them. Added here: workers that died, files that are damaged, and the
process metrics of every worker that lives.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from prometheus_client import ProcessCollector
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.values import MutexValue, ValueClass

from fraiseql_guard.surroundings import MULTIPROCESS

VARIABLE: Final = MULTIPROCESS

_LIVE_GAUGE: Final = "gauge_live"
_CLOCK_SLACK_SECONDS: Final = 2.0  # /proc/stat has the boot time in whole seconds


def is_active() -> bool:
    """Whether prometheus_client keeps its values in files: decided once, when it is first imported."""
    return ValueClass is not MutexValue


def directory() -> Path | None:
    """Where the workers of this container meet; None for a process that is alone."""
    return Path(os.environ.get(VARIABLE, "")) if is_active() else None


class Workers:
    """The worker processes that share one directory."""

    __slots__ = ("_directory", "_on_damage", "_reported")

    def __init__(self, directory: Path, *, on_damage: Callable[[], None]) -> None:
        self._directory = directory
        self._on_damage = on_damage  # called once for every file that cannot be read
        self._reported: set[str] = set()

    def merged(self) -> list[Family]:
        """All families of all workers, under the names of the files; gauges of the dead and damaged files left out."""
        dead = {pid for pid in self._pids() if not self._is_alive(pid)}
        files = [
            str(path) for path in self._files() if not (path.name.startswith(_LIVE_GAUGE) and _pid_of(path) in dead)
        ]
        try:
            return _merge(files)
        except Exception:  # noqa: BLE001 - whatever a damaged file leads to
            return _merge([name for name in files if self._is_readable(name)])

    def process_families(self) -> list[Family]:
        """The process metrics of every living worker, told apart by the label ``pid``."""
        families: dict[str, Family] = {}
        alive = {pid for pid in self._pids() if self._is_alive(pid)} | {os.getpid()}
        for pid in sorted(alive):
            for found in ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():  # type: ignore[misc]
                family = families.setdefault(found.name, Family(found.name, found.documentation, found.type))
                for sample in found.samples:
                    family.add_sample(sample.name, {**sample.labels, "pid": str(pid)}, sample.value)
        return list(families.values())

    def _files(self) -> list[Path]:
        return sorted(self._directory.glob("*.db"))

    def _pids(self) -> set[int]:
        return {pid for path in self._files() if (pid := _pid_of(path)) is not None}

    def _is_alive(self, pid: int) -> bool:
        """Whether the process that wrote a pid's files still runs. Its pid may have passed to another one since."""
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except OSError:
            pass  # somebody else's: it exists
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            written = max(path.stat().st_mtime for path in self._files() if _pid_of(path) == pid)
        except (OSError, ValueError):
            return True  # no /proc on this system, or the files are just being removed
        started = _boot_time_seconds() + int(stat[19]) / os.sysconf("SC_CLK_TCK")
        return stat[0] not in (b"Z", b"X") and started <= written + _CLOCK_SLACK_SECONDS

    def _is_readable(self, name: str) -> bool:
        try:
            _merge([name])
        except FileNotFoundError:
            return False  # removed since
        except Exception:  # noqa: BLE001 - struct, JSON, Unicode and more, depending on where the file ends
            if name not in self._reported:
                self._reported.add(name)
                self._on_damage()
            return False
        return True


def _merge(files: Iterable[str]) -> list[Family]:
    return list(MultiProcessCollector.merge(files))  # type: ignore[no-untyped-call]


def _pid_of(path: Path) -> int | None:
    pid = path.stem.rpartition("_")[2]
    return int(pid) if pid.isdecimal() else None


def _boot_time_seconds() -> float:
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return 0.0

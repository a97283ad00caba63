"""Metrics of several worker processes, which share the files in PROMETHEUS_MULTIPROC_DIR.

prometheus_client writes the files. This module adds which workers are alive (process_locks.py), what dead workers
counted (folding.py), a way around damaged files, and the process metrics of the living workers of this container.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client import ProcessCollector
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.values import MutexValue, ValueClass

from fraiseql_guard.core.surroundings import MULTIPROCESS
from fraiseql_guard.telemetry.metrics import value_files
from fraiseql_guard.telemetry.metrics.exposition import is_internal
from fraiseql_guard.telemetry.metrics.folding import CLAIM, LIVE_GAUGE, MOST_WORKERS, READ_WAIT_SECONDS, Folder
from fraiseql_guard.telemetry.metrics.labels import names_caller
from fraiseql_guard.telemetry.metrics.process_locks import LiveProcesses, ProcessLock, exists, find_processes
from fraiseql_guard.telemetry.metrics.value_files import SUFFIX, DamagedFileError, Entry, Key

VARIABLE: Final = MULTIPROCESS

SHARED_PID: Final = (
    f"a process of another container has the pid of this one and writes to the same files in {VARIABLE}: both count "
    "wrongly. Give each container a directory of its own"
)
_LIFE: Final = "fraiseql_guard_life"
"""Attribute of the class that writes the files: this process's lock."""
_CLOCK_SLACK_SECONDS: Final = 2.0  # /proc/stat has the boot time in whole seconds


def is_active() -> bool:
    """Whether prometheus_client keeps its values in files. It decides that once, when it is first imported."""
    return ValueClass is not MutexValue


def _names_caller(key: Key) -> bool:
    """Whether a key belongs to a series of the guard's that names a caller."""
    return is_internal(key.family) and names_caller(key.labels)


def directory() -> Path | None:
    """The directory that the workers share; None for a single process."""
    return Path(os.environ.get(VARIABLE, "")) if is_active() else None


@dataclass(frozen=True, slots=True)
class SeenFiles:
    """The families read from all files of the directory."""

    merged: list[Family]
    """The families of all workers, under the names in the files. Gauges of dead workers and damaged files are left
    out."""
    process: list[Family]
    """The process metrics of the living workers in this pid space, with the label ``pid``."""


class Workers:
    """The worker processes that share one directory. This process is a worker from the construction on, until it ends.

    With ``looks_only`` it is no worker, and changes nothing. A reader waits at most ``read_wait_seconds`` for a process
    that folds. ``on_damage`` is called once for every file that cannot be read.
    """

    __slots__ = ("_directory", "_folder", "_life", "_on_damage", "_reported")

    def __init__(
        self,
        directory: Path,
        *,
        on_damage: Callable[[], None],
        looks_only: bool = False,
        read_wait_seconds: float = READ_WAIT_SECONDS,
    ) -> None:
        self._directory = directory
        self._on_damage = on_damage
        self._reported: set[str] = set()
        self._folder = Folder(
            directory, on_damage=self._damaged, names_caller=_names_caller, read_wait_seconds=read_wait_seconds
        )
        self._life = None if looks_only else _life_in(directory)
        if self._life is not None:
            self.fold()  # a worker mostly starts in the place of one that has ended

    @property
    def shares_its_pid(self) -> bool:
        """Whether a process of another container writes to the same files, so that both count wrongly."""
        return self._life is not None and self._life.shares_its_pid

    def fold(self) -> bool:
        """Fold what dead workers counted. Returns whether some workers were left for the next time."""
        dead = find_processes(self._directory).dead
        try:
            self._folder.fold(dead)
        except Exception:  # noqa: BLE001 - whatever a file causes: files that are not folded are read as they are
            self._damaged("folding")
        return len(dead) > MOST_WORKERS

    def look(self) -> SeenFiles:
        """Read all files. This takes milliseconds for each worker, so it should not run in the event loop."""
        with self._folder.reading():
            # Under the lock, so that no file is folded between the listing and the reading.
            paths, (living, here) = self._files(), self._living()
            merged = self._merge([path for path in paths if _counts(path, living)])
        return SeenFiles(merged, _process_families(here))

    def process_families(self) -> list[Family]:
        """The process metrics of the living workers in this pid space, with the label ``pid``."""
        return _process_families(self._living()[1])

    def _living(self) -> tuple[set[int], set[int]]:
        """The pids of all living workers, and of those in the same pid space as this process."""
        census, paths = find_processes(self._directory), self._files()
        pids = {pid for path in paths if (pid := _pid_of(path)) is not None}
        living = {pid for pid in pids if self._is_alive(pid, census, paths)}
        return living, {*filter(census.is_here, living), os.getpid()}

    def _merge(self, paths: list[Path]) -> list[Family]:
        done = self._folder.counted_elsewhere(paths)
        known: dict[bytes, Key] = {}
        found: dict[Path, list[tuple[bytes, Entry]]] = {}
        for path in paths:
            if path.name in done:
                continue
            try:
                found[path] = value_files.read(path, known)
            except FileNotFoundError:
                continue  # removed since
            except (DamagedFileError, OSError):
                self._damaged(path.name)
        return value_files.families(found, known)

    def _damaged(self, name: str) -> None:
        # A file keeps its name in the report when it is claimed, so that it is reported once.
        name = name.partition(CLAIM)[0].removesuffix(SUFFIX)
        if name not in self._reported:
            self._reported.add(name)
            self._on_damage()

    def _files(self) -> list[Path]:
        return sorted(self._directory.glob(f"*{SUFFIX}"))

    def _is_alive(self, pid: int, census: LiveProcesses, paths: list[Path]) -> bool:
        """Whether the process that wrote a pid's files still runs."""
        if pid in census.known:
            return pid in census.alive
        # A process without a guard holds no lock. Its pid may belong to another process by now, which then started
        # after the files were last written.
        if not exists(pid):
            return False
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            written = max(path.stat().st_mtime for path in paths if _pid_of(path) == pid)
        except (OSError, ValueError):
            return True  # no /proc on this system, or the files are just being removed
        # Field 22 of /proc/PID/stat is the start in clock ticks since the boot (proc(5)).
        started = _boot_time_seconds() + int(stat[19]) / os.sysconf("SC_CLK_TCK")
        return started <= written + _CLOCK_SLACK_SECONDS


def _life_in(directory: Path) -> ProcessLock:
    """The lock of this process in a directory, one for all its guards: they share one set of files."""
    # Kept on prometheus_client's class: it outlives a reload of this module, and so does the set of files.
    lives: dict[Path, ProcessLock] = getattr(ValueClass, _LIFE, {})
    setattr(ValueClass, _LIFE, lives)
    if directory not in lives:
        lives[directory] = ProcessLock(directory)
    return lives[directory]


def _process_families(pids: set[int]) -> list[Family]:
    families: dict[str, Family] = {}
    for pid in sorted(pids):
        for found in ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():  # type: ignore[misc]
            family = families.setdefault(found.name, Family(found.name, found.documentation, found.type))
            for sample in found.samples:
                family.add_sample(sample.name, {**sample.labels, "pid": str(pid)}, sample.value)
    return list(families.values())


def _counts(path: Path, living: set[int]) -> bool:
    return not path.name.startswith(LIVE_GAUGE) or _pid_of(path) in living


def _pid_of(path: Path) -> int | None:
    pid = path.stem.rpartition("_")[2]
    return int(pid) if pid.isdecimal() else None


def _boot_time_seconds() -> float:
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return 0.0

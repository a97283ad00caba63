"""Folds what dead workers counted into one file for each type of metric, so that a scrape reads few files.

A process may be killed at any step; the kernel then frees its lock. The steps:

1. Each dead worker's file is renamed (``counter_123~a1b2c3d4.db``), so that a new process with the same pid does not
   continue it.
2. ``counter_folded.db`` is written anew under another name, and renamed. It holds its former values, the values of the
   files from step 1, and behind them the names of these files. From that moment on the files from step 1 do not count.
3. The files from step 1 are removed.

All files have prometheus_client's own format: its MultiProcessCollector can read them as well.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from secrets import token_hex
from typing import Final

from fraiseql_guard.telemetry.metrics import value_files
from fraiseql_guard.telemetry.metrics.process_locks import PREFIX, TEMPORARY, exists
from fraiseql_guard.telemetry.metrics.value_files import SUFFIX, DamagedFileError, Entry, Key, Labels, Values

try:
    from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
except ImportError:  # no Unix: nothing is folded
    flock = None  # type: ignore[assignment]

MOST_WORKERS: Final = 64
"""Dead workers that are folded at once, so that a scrape never waits long."""
LIVE_GAUGE: Final = "gauge_live"
CLAIM: Final = "~"
"""Stands in the name of a renamed file (step 1), behind its worker's pid."""
_LOCK: Final = f"{PREFIX}folding.lock"
_FOLDED: Final = "folded"
_PER_PROCESS: Final = "gauge_all"
_FOLDABLE: Final = frozenset(
    {"counter", "histogram", "summary", "gauge_sum", "gauge_min", "gauge_max", "gauge_mostrecent"}
)
MOST_CALLERS_SERIES: Final = 1_000
"""Series with a caller's name that are kept for each metric, once only dead workers have counted in them: the series
folded last stay. Each worker bounds its own series, but there may be thousands of workers in a day."""
_KEPT_WORKERS: Final = 32
"""Dead workers whose gauges of the mode ``all``, which has a series for each process, are kept."""
_TEMPORARY_SECONDS: Final = 60.0
READ_WAIT_SECONDS: Final = 10.0
"""Longest that a reader waits for the process that folds."""
_READ_POLL_SECONDS: Final = 0.01


class Folder:
    """Folds the files in one directory.

    ``on_damage`` is called with the name of each file that cannot be read, which is then removed. ``is_there`` tells
    whether a process has a pid now; ``names_caller`` whether a key belongs to a caller's series, which may end.
    ``read_wait_seconds`` is how long a reader waits for the process that folds.
    """

    __slots__ = ("_directory", "_is_there", "_names_caller", "_on_damage", "_read_wait_seconds")

    def __init__(
        self,
        directory: Path,
        *,
        on_damage: Callable[[str], None],
        is_there: Callable[[int], bool] = exists,
        names_caller: Callable[[Key], bool] = lambda _: False,
        read_wait_seconds: float = READ_WAIT_SECONDS,
    ) -> None:
        self._directory = directory
        self._on_damage = on_damage
        self._is_there = is_there
        self._names_caller = names_caller
        self._read_wait_seconds = read_wait_seconds

    def fold(self, dead: Mapping[int, tuple[Path, ...]], *, most: int = MOST_WORKERS) -> None:
        """Fold the files of at most ``most`` dead workers (LiveProcesses.dead). Does nothing while another process
        folds, or in a file system without locks."""
        with suppress(OSError):
            file = _open_lock(self._directory)
            try:
                if _take(file, shared=False):
                    self._fold_locked(dead, most)
            finally:
                os.close(file)  # and so unlock it

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Let no process fold inside of this block. If one holds the lock for ``read_wait_seconds``, the block begins
        without the lock, and the files are read as they are."""
        file = None
        with suppress(OSError):
            file = _open_lock(self._directory)
            deadline = time.monotonic() + self._read_wait_seconds
            # Polled, because flock has no time limit; folding takes milliseconds.
            while not _take(file, shared=True) and time.monotonic() < deadline:
                time.sleep(_READ_POLL_SECONDS)
        try:
            yield
        finally:
            if file is not None:
                os.close(file)  # and so unlock it

    def counted_elsewhere(self, paths: Iterable[Path]) -> set[str]:
        """The names of files that only wait to be removed: they are folded already, or are a second name of a file that
        was given back to its process. ``paths``: the files to look at, the folded ones (``counter_folded.db``) too."""
        found: set[str] = set()
        for path in paths:
            with suppress(OSError, ValueError):
                if path.stem.endswith(f"_{_FOLDED}"):
                    found.update(map(str, json.loads(value_files.trailer(path) or b"[]")))
                elif CLAIM in path.stem and path.stat().st_nlink > 1:
                    found.add(path.name)
        return found

    # --- the steps ----------------------------------------------------------------------------------------------------

    def _fold_locked(self, dead: Mapping[int, tuple[Path, ...]], most: int) -> None:
        self._claim(dead, most)
        for prefix in _FOLDABLE:
            self._fold(prefix)
        self._sweep()

    def _claim(self, dead: Mapping[int, tuple[Path, ...]], most: int) -> None:
        """Step 1 for ``most`` workers. The lock file of a worker is removed once none of its files is left."""
        left, kept, all_files = most, [], self._files_of(dead)
        for pid, locks in dead.items():
            files = all_files.get(pid, [])
            counted = [path for path in files if value_files.prefix_of(path) != _PER_PROCESS]
            if counted and left <= 0:
                continue
            # The limit bounds the files to read: a worker without any does not count.
            left -= bool(counted)
            if not self._claim_files(counted, pid):
                continue
            if len(files) > len(counted):
                kept.append((files, locks))
            elif not self._is_there(pid):
                _remove(locks)
        # Gauges with a series for each process are not folded: those of the last workers are kept as they are.
        # The dead come in the order of their start, so that the last ones are the newest.
        _remove(chain.from_iterable((*files, *locks) for files, locks in kept[:-_KEPT_WORKERS]))

    def _claim_files(self, paths: Iterable[Path], pid: int) -> bool:
        """Rename the files of a dead worker. False if a new process has its pid."""
        return all(self._claim_file(path, pid) for path in paths)

    def _claim_file(self, path: Path, pid: int) -> bool:
        """Rename one file of a dead worker. False if a process has this pid: it may have opened the file, although its
        guard holds no lock yet."""
        if self._is_there(pid):
            return False
        # A live gauge counts only while its worker lives.
        if path.name.startswith(LIVE_GAUGE):
            path.unlink(missing_ok=True)
            return True
        claimed = path.with_name(f"{path.stem}{CLAIM}{token_hex(4)}{SUFFIX}")
        path.rename(claimed)
        if self._is_there(pid):  # it began a moment ago: give the file back, unless it has made a new one
            with suppress(FileExistsError):
                os.link(claimed, path)
                claimed.unlink()
            return False
        return True

    def _fold(self, prefix: str) -> None:
        """Steps 2 and 3 for one type of metric."""
        total = self._directory / f"{prefix}_{_FOLDED}{SUFFIX}"
        claimed = {path.name: path for path in self._directory.glob(f"{prefix}_*{CLAIM}*{SUFFIX}")}
        # A process that was killed between steps 2 and 3 leaves files that the total already holds.
        done = self.counted_elsewhere([total, *claimed.values()])
        new = [path for name, path in sorted(claimed.items()) if name not in done]
        if new:
            values = self._added_up(prefix, total, new, folded={total, *claimed.values()})
            names = json.dumps(sorted(claimed)).encode()
            self._write(total, value_files.packed(values.condensed(), names))
        _remove(claimed.values())

    def _added_up(self, prefix: str, total: Path, new: Iterable[Path], *, folded: Set[Path]) -> Values:
        """The values folded before (``total``) and in the ``new`` files, without the oldest series of callers. All
        files but the ``folded`` ones belong to living workers."""
        values, known = Values(prefix), dict[bytes, Key]()
        # Keys of the files that are folded now come last in the order.
        values.add(self._read(total, known))
        for path in new:
            values.add_newest(self._read(path, known))
        # No series ends that a living worker counts in.
        living = set(self._directory.glob(f"{prefix}_*{SUFFIX}")) - folded
        values.end_oldest(
            lambda raw: self._series_of(known[raw]),
            MOST_CALLERS_SERIES,
            lambda: [raw for path in living for raw, _ in self._read(path, known)],
        )
        return values

    def _series_of(self, key: Key) -> tuple[str, Labels] | None:
        """The metric and the series of a key that names a caller; None for other keys."""
        if not self._names_caller(key):
            return None
        return key.family, key.series

    def _read(self, path: Path, known: dict[bytes, Key]) -> list[tuple[bytes, Entry]]:
        try:
            return value_files.read(path, known)
        except FileNotFoundError:
            return []
        except DamagedFileError:
            self._on_damage(path.name)
            return []

    def _write(self, path: Path, content: bytes) -> None:
        temporary = self._directory / f"{PREFIX}{token_hex(8)}{TEMPORARY}"
        try:
            temporary.write_bytes(content)
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    def _sweep(self) -> None:
        """Remove the half-written files of processes that were killed."""
        for path in self._directory.glob(f"{PREFIX}*{TEMPORARY}"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _TEMPORARY_SECONDS:
                    path.unlink()

    def _files_of(self, pids: Container[int]) -> dict[int, list[Path]]:
        found: dict[int, list[Path]] = {}
        for path in sorted(self._directory.glob(f"*{SUFFIX}")):
            prefix, _, pid = path.stem.rpartition("_")
            # Other files in the directory are not the guard's to touch.
            known = prefix in _FOLDABLE or prefix == _PER_PROCESS or prefix.startswith(LIVE_GAUGE)
            if known and pid.isdecimal() and int(pid) in pids:
                found.setdefault(int(pid), []).append(path)
        return found


def _open_lock(directory: Path) -> int:
    return os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _take(file: int, *, shared: bool) -> bool:
    """Take the lock if it is free; whether the caller may go on. Where there are no locks, a reader may and a folder
    may not."""
    if flock is None:
        return shared
    try:
        flock(file, (LOCK_SH if shared else LOCK_EX) | LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        with suppress(OSError):
            path.unlink()

"""Finds out which of the processes that share a directory are alive: each holds a lock on a file of its own there.

The kernel frees the lock (flock) when the process ends, however it ends. All processes of the machine see that, also in
other containers, where a pid means nothing. A file's name has the pid, the pid space and a random token of its process.
The pid space stands for the boot and the pid namespace: pids can be compared only within one pid space.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from secrets import token_hex
from typing import Final

try:
    from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
except ImportError:  # no Unix: which process lives is not known
    flock = None  # type: ignore[assignment]

PREFIX: Final = "fraiseql_guard_"
ALIVE: Final = ".alive"
TEMPORARY: Final = ".tmp"
_ENDED: Final = frozenset({"Z", "X"})  # zombie, dead (proc(5))


@dataclass(frozen=True, slots=True)
class LiveProcesses:
    """The processes that share a directory, by their pids."""

    alive: frozenset[int]
    """Processes that hold their locks."""
    neighbours: frozenset[int]
    """Living processes in the pid space of this process: their pids mean something here."""
    dead: Mapping[int, tuple[Path, ...]]
    """Processes of this pid space with free locks, by pid: their lock files. The process that began first comes
    first."""
    known: frozenset[int]
    """All processes with a lock file."""

    def is_here(self, pid: int) -> bool:
        """Whether the pid of a living process means something here. A process without a lock can only be seen from its
        own pid space."""
        return pid in self.neighbours or pid not in self.alive


class ProcessLock:
    """The lock of this process, held until it ends. A forked child gets one of its own at once.

    In a file system without locks the process has none, and no file either.
    """

    __slots__ = ("_directory", "_held", "shares_its_pid")

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._held: int | None = None
        self.shares_its_pid = False
        """Whether a living process of another container has the same pid, and so writes to the same files."""
        self._begin()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin_again)

    def _begin_again(self) -> None:
        """Replace the lock after a fork. The child has inherited the open lock file: while that is open, the parent
        would seem to live."""
        if self._held is not None:
            os.close(self._held)
        self._begin()

    def _begin(self) -> None:
        self._held, name = None, f"{PREFIX}{os.getpid()}_{pid_space()}_{token_hex(4)}"
        with suppress(OSError):
            self._held = _locked(self._directory / f"{name}{TEMPORARY}", self._directory / f"{name}{ALIVE}")
            self._part_from_namesakes(f"{name}{ALIVE}")

    def _part_from_namesakes(self, own: str) -> None:
        """Remove the lock files of processes that had this pid before: prometheus_client lets this one continue their
        counts."""
        for path in self._directory.glob(f"{PREFIX}{os.getpid()}_*{ALIVE}"):
            if path.name == own:
                continue
            if is_held(path):
                self.shares_its_pid = True
            else:
                path.unlink(missing_ok=True)


def find_processes(directory: Path) -> LiveProcesses:
    """Find out from the kernel which processes hold their locks."""
    alive, here, strangers = set[int](), set[int](), set[int]()
    free: dict[int, list[Path]] = {}
    own_space = pid_space()
    for path in _by_age(directory.glob(f"{PREFIX}*{ALIVE}")):
        pid, _, rest = path.name.removeprefix(PREFIX).partition("_")
        same_space = rest.partition("_")[0] == own_space
        if not pid.isdecimal():
            continue
        if is_held(path):
            alive.add(int(pid))
            if same_space:
                here.add(int(pid))
        elif same_space:
            free.setdefault(int(pid), []).append(path)
        else:
            strangers.add(int(pid))
    # A pid of a living process, or of another pid space, may be another process's: its files are left alone.
    dead = {pid: tuple(paths) for pid, paths in free.items() if pid not in alive | strangers}
    return LiveProcesses(frozenset(alive), frozenset(here), dead, frozenset(alive | strangers | free.keys()))


def is_held(path: Path) -> bool:
    """Whether a process holds the lock of a file. True also if this process may not open the file."""
    if flock is None:
        return True
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        flock(file, LOCK_SH | LOCK_NB)  # shared, so that two processes that look do not see each other
    except OSError:
        return True
    finally:
        os.close(file)
    return False


def exists(pid: int) -> bool:
    """Whether a process of this pid namespace has this pid and still runs. The id of a thread is no process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it exists, and belongs to another user
    try:
        text = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return True  # no /proc on this system
    facts = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    # kill(2) also finds the id of a thread, whose thread group has another id.
    return facts.get("Tgid", str(pid)).strip() == str(pid) and facts.get("State", "R")[:1] not in _ENDED


def pid_space() -> str:
    """The boot and the pid namespace of this process, as a digest of eight characters."""
    boot, namespace = "", ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    with suppress(OSError):
        namespace = str(Path("/proc/self/ns/pid").readlink())
    return blake2b(f"{boot} {namespace}".encode(), digest_size=4).hexdigest()


def _locked(born: Path, name: Path) -> int | None:
    """Make a file that gets its ``name`` once it is locked, so that it is never seen without its lock. None where files
    cannot be locked."""
    if flock is None:
        return None
    file = os.open(born, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        flock(file, LOCK_EX | LOCK_NB)
        born.rename(name)
    except OSError:
        os.close(file)
        born.unlink(missing_ok=True)
        raise
    return file


def _by_age(paths: Iterable[Path]) -> list[Path]:
    aged = []
    for path in paths:
        with suppress(OSError):
            aged.append((path.stat().st_mtime_ns, path))
    return [path for _, path in sorted(aged)]

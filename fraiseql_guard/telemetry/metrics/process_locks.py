"""Which of the processes that share a directory live: each holds a lock on a file of its own there.

The kernel frees the lock (flock) when the process ends, however it ends, and tells every process of the machine, those
of other containers included, where a pid says nothing. The file's name says whose it is: pid, pid_space, and a random
token. The pid_space is the boot and the pid namespace; a pid means something to processes of the same pid_space alone.
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
    """Processes of the directory by their pids."""

    alive: frozenset[int]
    """They hold their locks."""
    neighbours: frozenset[int]
    """Those of them whose pids mean something here."""
    dead: Mapping[int, tuple[Path, ...]]
    """All of this pid_space whose locks are free, with their files, those who began first in front."""
    known: frozenset[int]
    """All with a file."""


class ProcessLock:
    """The lock of this process, from now until it ends. A forked child has one of its own from its first moment on.

    Without locks in this file system the process has none, and the directory is as it was without this class.
    """

    __slots__ = ("_directory", "_held", "shares_its_pid")

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._held: int | None = None
        self.shares_its_pid = False
        """Whether a living process of another container has the same pid, and so the same files."""
        self._begin()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin_again)

    def _begin_again(self) -> None:
        """A child has inherited the open file; as long as it had, its parent would seem to live."""
        if self._held is not None:
            os.close(self._held)
        self._begin()

    def _begin(self) -> None:
        self._held, name = None, f"{PREFIX}{os.getpid()}_{pid_space()}_{token_hex(4)}"
        with suppress(OSError):
            self._held = _locked(self._directory / f"{name}{TEMPORARY}", self._directory / f"{name}{ALIVE}")
            self._part_from_namesakes(f"{name}{ALIVE}")

    def _part_from_namesakes(self, own: str) -> None:
        """Forget those that had this pid before; what they counted goes on as ours (prometheus_client)."""
        for path in self._directory.glob(f"{PREFIX}{os.getpid()}_*{ALIVE}"):
            if path.name == own:
                continue
            if is_held(path):
                self.shares_its_pid = True
            else:
                path.unlink(missing_ok=True)


def find_processes(directory: Path) -> LiveProcesses:
    """Ask the kernel which locks are held."""
    alive, here, strangers = set[int](), set[int](), set[int]()
    free: dict[int, list[Path]] = {}
    own_home = pid_space()
    for path in _by_age(directory.glob(f"{PREFIX}*{ALIVE}")):
        pid, _, rest = path.name.removeprefix(PREFIX).partition("_")
        at_home = rest.partition("_")[0] == own_home
        if not pid.isdecimal():
            continue
        if is_held(path):
            alive.add(int(pid))
            here.update({int(pid)} if at_home else ())
        elif at_home:
            free.setdefault(int(pid), []).append(path)
        else:
            strangers.add(int(pid))
    dead = {pid: tuple(paths) for pid, paths in free.items() if pid not in alive | strangers}
    return LiveProcesses(frozenset(alive), frozenset(here), dead, frozenset(alive | strangers | free.keys()))


def is_held(path: Path) -> bool:
    """Whether a process has the lock; also if this one may not look."""
    if flock is None:
        return True
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        flock(file, LOCK_SH | LOCK_NB)  # shared, so that two who look do not see each other
    except OSError:
        return True
    finally:
        os.close(file)
    return False


def exists(pid: int) -> bool:
    """Whether a process of this pid namespace has this pid and still runs. A thread's number is not a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # another user's: it exists
    try:
        text = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return True  # no /proc on this system
    facts = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    return facts.get("Tgid", str(pid)).strip() == str(pid) and facts.get("State", "R")[:1] not in _ENDED


def pid_space() -> str:
    """Boot and pid namespace of this process, in eight characters."""
    boot, namespace = "", ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    with suppress(OSError):
        namespace = str(Path("/proc/self/ns/pid").readlink())
    return blake2b(f"{boot} {namespace}".encode(), digest_size=4).hexdigest()


def _locked(born: Path, name: Path) -> int | None:
    """A new file that has its name only once it is locked; None where files cannot be locked."""
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

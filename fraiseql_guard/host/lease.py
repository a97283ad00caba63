"""Which worker of several speaks of what concerns them all, and what it has said.

The kernel knows who lives: the speaker holds a lock on a file (flock), which is free the moment its process ends,
however it ends. What it has said stands in the file, so that the next speaker neither repeats nor omits it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

try:
    from fcntl import LOCK_EX, LOCK_NB, flock
except ImportError:  # no Unix: every process speaks for itself
    flock = None  # type: ignore[assignment]

_NAME: Final = "fraiseql_guard_memory.said"
_MAX_BYTES: Final = 64
FRESH_SECONDS: Final = 15.0
"""A speaker writes with every look. What was left longer ago is of a service that has ended since."""


class Lease(Protocol):
    """Asked with every look."""

    def recall(self) -> str | None:
        """What was said so far ("" for nothing); None if another worker speaks."""
        ...

    def leave(self, said: str) -> None:
        """For the next look, by any worker. Only after :meth:`recall` has returned a string."""
        ...

    def release(self) -> None:
        """No more looks."""
        ...


class Alone:
    """A process that speaks for itself."""

    __slots__ = ("_said",)

    def __init__(self) -> None:
        self._said = ""

    def recall(self) -> str | None:
        """What this process has said."""
        return self._said

    def leave(self, said: str) -> None:
        """Remember it."""
        self._said = said

    def release(self) -> None:
        """There is nothing to let go."""


class Shared:
    """Workers that share a directory. Where it cannot be locked or written, and while the speaker hangs, every worker
    speaks for itself: better twice than never.

    ``clock``: seconds since the epoch, as the file system counts them.
    """

    __slots__ = ("_alone", "_clock", "_held", "_path", "_pid")

    def __init__(self, directory: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = directory / _NAME
        self._clock = clock
        self._held: int | None = None  # the open file, exactly while this process has the lock
        self._pid = 0
        self._alone = Alone()

    def recall(self) -> str | None:
        """Take the lock if it is free. None while another process has it, and shows that it lives. Never raises."""
        if self._pid != os.getpid():
            self._held = None  # a fork inherits the open file, but it is its parent that speaks
        if self._held is not None or flock is None:
            return self._alone.recall()
        try:
            return self._ask()
        except OSError:
            return self._alone.recall()

    def leave(self, said: str) -> None:
        """Write it down, also to show that a worker is there. Never raises."""
        self._alone.leave(said)
        if self._held is not None:
            with suppress(OSError):
                os.pwrite(self._held, said.encode().ljust(_MAX_BYTES), 0)

    def release(self) -> None:
        """Let another one speak."""
        if self._held is not None and self._pid == os.getpid():
            os.close(self._held)
        self._held = None

    def _ask(self) -> str | None:
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            mine = self._lock(file)
            fresh = self._clock() - os.fstat(file).st_mtime <= FRESH_SECONDS
            if mine or fresh:
                self._alone.leave(os.pread(file, _MAX_BYTES, 0).decode("latin-1").strip() if fresh else "")
            return None if fresh and not mine else self._alone.recall()
        finally:
            if self._held != file:
                os.close(file)

    def _lock(self, file: int) -> bool:
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            return False
        self._held, self._pid = file, os.getpid()
        return True

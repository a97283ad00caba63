"""The places that finished log lines are written to: standard error, a file that may be rotated, or a stream."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, TextIO

_LOOK_AGAIN_SECONDS: Final = 1.0


class Sink(Protocol):
    """Takes whole lines, each with its newline. Used by one thread."""

    def write(self, lines: bytes) -> None:
        """Write all lines. OSError or ValueError if that is not possible."""


class StreamSink:
    """Writes to a text stream; without one to what sys.stderr is at the moment, past Python's buffer if that has a
    descriptor."""

    __slots__ = ("_raw", "_stream")

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._raw = _RawLines()

    def write(self, lines: bytes) -> None:
        """Write to the stream; ValueError if it is closed or there is none."""
        stream = self._stream or sys.stderr
        if stream is None:
            raise ValueError("there is no standard error")
        if self._stream is None and (descriptor := _descriptor(stream)) is not None:
            # Past the stream's lock: where a full pipe blocks this thread, the app's own prints would wait for the
            # lock.
            self._raw.write(descriptor, lines)
            return
        stream.write(lines.decode())
        stream.flush()


class FileSink:
    """Appends to a file, which is opened again after it was moved away or removed (logrotate). ``clock`` counts
    seconds."""

    __slots__ = ("_clock", "_descriptor", "_inode", "_looked_at", "_path", "_raw")

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._descriptor = -1
        self._inode = (0, 0)
        self._looked_at = float("-inf")
        self._raw = _RawLines()

    def check(self) -> None:
        """Raise OSError if the file cannot be opened for appending."""
        os.close(self._open())

    def write(self, lines: bytes) -> None:
        """Append lines. Once a second at most, look whether the file is still the one at its path."""
        if (now := self._clock()) - self._looked_at >= _LOOK_AGAIN_SECONDS:
            self._looked_at = now
            self._look()
        if self._descriptor < 0:
            raise OSError(f"{self._path} could not be opened")
        self._raw.write(self._descriptor, lines)

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor, self._looked_at = -1, float("-inf")

    def _look(self) -> None:
        try:
            # A file is the same one by device and inode, whatever its name.
            status = self._path.stat()
            if self._descriptor >= 0 and (status.st_dev, status.st_ino) == self._inode:
                return
        except FileNotFoundError:
            pass
        if self._descriptor >= 0:
            # The file was moved away or removed: lines written until now stay in it.
            os.close(self._descriptor)
            self._descriptor = -1
        self._descriptor = self._open()
        status = os.fstat(self._descriptor)
        self._inode, self._raw = (status.st_dev, status.st_ino), _RawLines()

    def _open(self) -> int:
        # O_APPEND: lines of several workers do not overwrite each other.
        # 0640: the log holds addresses and users' names, which others on the machine need not read.
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


def _descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except OSError:  # a stream in memory. A closed one raises ValueError, which the caller counts
        return None


class _RawLines:
    """Writes to a descriptor. After half a line (the disk was full) it begins a new line, so that only one is
    spoilt."""

    __slots__ = ("_torn",)

    def __init__(self) -> None:
        self._torn = False

    def write(self, descriptor: int, lines: bytes) -> None:
        rest = data = b"\n" + lines if self._torn else lines
        try:
            while rest:
                # write() may take a part of the bytes; what it took is known even if the next call fails.
                rest = rest[os.write(descriptor, rest) :]
        finally:
            if len(rest) < len(data):
                self._torn = bool(rest)

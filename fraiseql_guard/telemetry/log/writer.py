"""Writes lines in the background, so that a full disk, or a pipe that is not read, never blocks the event loop."""

from __future__ import annotations

import atexit
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from threading import Condition, Thread
from typing import Final

from fraiseql_guard.telemetry.log.sinks import Sink

_MAX_PENDING_BYTES: Final = 4 * 1024 * 1024
_CHUNK_BYTES: Final = 4096  # PIPE_BUF: workers that share a pipe do not write into each other's lines
_GATHER_SECONDS: Final = 0.005  # to wake the thread for every line would cost the loop more than making the line
_MAX_CLOSE_SECONDS: Final = 1.0


class LineWriter:
    """A bounded queue of lines, and one daemon thread that writes them. The thread starts with the first line, and
    again in a forked process.

    Lines keep their order. Lines that do not fit or cannot be written are dropped; ``on_failure`` is called with their
    number, from either thread.
    """

    __slots__ = ("_bytes", "_changed", "_closing", "_lines", "_max_bytes", "_on_failure", "_pid", "_sink", "_thread")

    def __init__(
        self, sink: Sink, *, on_failure: Callable[[int], None], max_pending_bytes: int = _MAX_PENDING_BYTES
    ) -> None:
        self._sink = sink
        self._on_failure = on_failure
        self._max_bytes = max_pending_bytes
        self._pid = -1
        self._reset()

    def put(self, line: bytes) -> None:
        """Queue one line, which ends in a newline. Returns at once."""
        if self._pid != os.getpid():
            self._reset()  # after a fork: thread, lock and pending lines are the parent's
        with self._changed:
            # Full means that the disk or the reader is slower than the app: newer lines are lost, not requests.
            accepted = self._bytes + len(line) <= self._max_bytes and (self._thread is not None or self._start())
            if accepted:
                self._lines.append(line)
                self._bytes += len(line)
                # The thread waits only while there are no lines.
                if len(self._lines) == 1:
                    self._changed.notify_all()
        if not accepted:
            self._on_failure(1)

    def flush(self, timeout_seconds: float = _MAX_CLOSE_SECONDS) -> bool:
        """Wait until all queued lines are written or dropped; False if that takes longer than the timeout."""
        if self._pid != os.getpid():
            return True
        with self._changed:
            # The thread stops gathering, writes what it has, and ends; the next line starts another.
            self._closing = self._thread is not None
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._bytes, timeout_seconds)

    def close(self, timeout_seconds: float = _MAX_CLOSE_SECONDS) -> None:
        """Write the queued lines and end the thread; after the timeout return while it goes on. A later line starts
        another thread."""
        if self.flush(timeout_seconds):
            atexit.unregister(self.close)

    def _reset(self) -> None:
        self._changed = Condition()
        self._lines: deque[bytes] = deque()
        self._bytes = 0  # of all queued lines, including lines that are being written
        self._thread: Thread | None = None
        self._closing = False
        self._pid = os.getpid()

    def _start(self) -> bool:
        thread = Thread(target=self._run, name="fraiseql-guard-log", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads, or the interpreter is going away
            return False
        self._thread = thread
        atexit.unregister(self.close)  # registered for a thread that has ended
        atexit.register(self.close)
        return True

    def _run(self) -> None:
        while lines := self._take():
            failed = sum(self._write(chunk) for chunk in _chunks(lines))
            if failed:
                self._on_failure(failed)
            with self._changed:
                # Only now: flush waits until lines are written, not until they are taken.
                self._bytes -= sum(map(len, lines))
                self._changed.notify_all()

    def _take(self) -> list[bytes]:
        """Wait for lines, and take all of them; [] when the thread is to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._closing)
            # Gather more lines before writing, unless the end is waited for.
            if not self._closing:
                self._changed.wait_for(lambda: self._closing, _GATHER_SECONDS)
            lines = list(self._lines)
            self._lines.clear()
            if not lines:
                # Under the lock, so that put() sees at once that it has to start a thread.
                self._thread, self._closing = None, False
            return lines

    def _write(self, chunk: list[bytes]) -> int:
        """Write some lines. Returns how many could not be written."""
        try:
            self._sink.write(b"".join(chunk))
        except Exception:  # noqa: BLE001 - a given stream may raise anything, and this thread must live on
            return len(chunk)
        return 0


def _chunks(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        # A line longer than a chunk goes alone.
        if chunk and size + len(line) > _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(line)
        size += len(line)
    if chunk:
        yield chunk

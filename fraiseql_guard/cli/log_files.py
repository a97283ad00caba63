"""Reads log files for a command, with a progress bar where a person waits for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from fraiseql_guard.operations.log_analysis.reading import lines_of, opened, size_of

ReadLines = Callable[[Iterable[bytes]], None]
"""Reads the lines of one file."""


def read_logs(files: Sequence[Path], read: ReadLines) -> None:
    """Call ``read`` with the lines of each file. OSError for a file that cannot be opened, ValueError for one that
    cannot be read to its end."""
    with _progress(sum(map(size_of, files))) as advance:
        for path in files:
            _read(path, read, advance)


def _read(path: Path, read: ReadLines, advance: Callable[[int], None]) -> None:
    with opened(path) as (stream, position):
        seen = 0

        def advanced() -> None:
            nonlocal seen
            # Counted in bytes on the disk: a compressed file yields more bytes than it has.
            now = position()
            advance(now - seen)
            seen = now

        try:
            read(lines_of(stream, advanced))
        except (EOFError, OSError) as error:  # a compressed file that is still written to, or is none
            raise ValueError(f"{path}: {error}") from None


@contextmanager
def _progress(size: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error, if that is a terminal and the size is known. Yields a function that advances it
    by so many bytes."""
    # Standard input and compressed streams may have no known size.
    if not sys.stderr.isatty() or not size:
        yield lambda _: None
        return
    columns = (TextColumn("reading"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    # transient: the bar disappears in the end, and leaves the report alone.
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading", total=size)
        yield lambda count: progress.advance(task, count)

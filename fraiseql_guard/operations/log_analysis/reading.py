"""Reads the lines of log files of any size in bounded memory: plain, compressed (gzip), or from standard input."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

MAX_LINE_BYTES: Final = 1 << 20
"""The guard writes no longer line: one that is counts as unreadable."""
OVERLONG: Final = b"..."
"""Stands for a line that is too long. It is no JSON, so that it counts as unreadable."""
STANDARD_INPUT: Final = Path("-")
_CHUNK_BYTES: Final = 1 << 20
_GZIP_MAGIC: Final = b"\x1f\x8b"


def lines_of(stream: BinaryIO, advanced: Callable[[], None] = lambda: None) -> Iterator[bytes]:
    """Every line without its newline, OVERLONG for one that is too long. ``advanced`` is called after each chunk."""
    rest, skipping = b"", False  # an unfinished line, or whether the rest of a long one is skipped
    while chunk := stream.read(_CHUNK_BYTES):
        advanced()
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        # The newline that ends the long line has come: OVERLONG stands for it, and reading goes on behind it.
        if skipping and lines:
            lines[0], skipping = OVERLONG, False
        yield from lines
        if skipping or len(rest) > MAX_LINE_BYTES:
            rest, skipping = b"", True
    if rest or skipping:
        yield OVERLONG if skipping else rest


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, Callable[[], int]]]:
    """A log to read, and a function that returns how many of its bytes on the disk have been read. OSError if it cannot
    be opened."""
    if path == STANDARD_INPUT:
        yield sys.stdin.buffer, lambda: 0
        return
    with path.open("rb") as raw:
        # By its content: rotated logs are compressed under any name.
        if raw.peek(2)[:2] == _GZIP_MAGIC:
            with gzip.open(raw) as unpacked:
                yield cast("BinaryIO", unpacked), raw.tell
        else:
            yield raw, raw.tell


def size_of(path: Path) -> int:
    """The bytes of a log on the disk; 0 for standard input, whose size is not known."""
    return 0 if path == STANDARD_INPUT else path.stat().st_size

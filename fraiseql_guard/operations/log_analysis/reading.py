"""Reads the lines of log files of any size in bounded memory: plain, compressed (gzip), or from standard input."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

MAX_LINE_BYTES: Final = 1 << 20
"""Longest line that the guard writes; a longer one counts as unreadable."""
OVERLONG: Final = b"..."
"""Replaces a line that is too long. It is no JSON, so that it counts as unreadable."""
STANDARD_INPUT: Final = Path("-")
_CHUNK_BYTES: Final = 1 << 20
_GZIP_MAGIC: Final = b"\x1f\x8b"


def lines_of(stream: BinaryIO, advanced: Callable[[], None] = lambda: None) -> Iterator[bytes]:
    """Yield every line without its newline, OVERLONG for one that is too long. ``advanced`` is called after each
    chunk."""
    rest, skipping = b"", False  # the unfinished line, and whether it is too long and skipped
    while chunk := stream.read(_CHUNK_BYTES):
        advanced()
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        # The end of the line that is too long: yield OVERLONG in its place.
        if skipping and lines:
            lines[0], skipping = OVERLONG, False
        yield from lines
        if skipping or len(rest) > MAX_LINE_BYTES:
            rest, skipping = b"", True
    if rest or skipping:
        yield OVERLONG if skipping else rest


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, Callable[[], int]]]:
    """Open a log, plain or compressed. Yields its stream, and a function that returns how many of its bytes on the disk
    have been read (0 for standard input). OSError if it cannot be opened."""
    if path == STANDARD_INPUT:
        yield sys.stdin.buffer, lambda: 0
        return
    with path.open("rb") as raw:
        # Detected by content, since rotated logs are compressed under any name.
        if raw.peek(2)[:2] == _GZIP_MAGIC:
            with gzip.open(raw) as unpacked:
                yield cast("BinaryIO", unpacked), raw.tell
        else:
            yield raw, raw.tell


def size_of(path: Path) -> int:
    """The size of a log on the disk in bytes; 0 for standard input, whose size is unknown."""
    return 0 if path == STANDARD_INPUT else path.stat().st_size

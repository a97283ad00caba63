"""Lines of log files of any size: plain, compressed, or from standard input, in bounded memory."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

MAX_LINE_BYTES: Final = 1 << 20
"""A longer line is none of ours: it is passed over, and counted as one that cannot be read."""
OVERLONG: Final = b"..."
"""Stands for a line that is too long; no JSON."""
STANDARD_INPUT: Final = Path("-")
_CHUNK_BYTES: Final = 1 << 20
_GZIP_MAGIC: Final = b"\x1f\x8b"


def lines_of(stream: BinaryIO, advanced: Callable[[], None] = lambda: None) -> Iterator[bytes]:
    """Every line without its newline, OVERLONG for one that is too long. ``advanced`` is told of each chunk."""
    rest, skipping = b"", False
    while chunk := stream.read(_CHUNK_BYTES):
        advanced()
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        if skipping and lines:
            lines[0], skipping = OVERLONG, False
        yield from lines
        if skipping or len(rest) > MAX_LINE_BYTES:
            rest, skipping = b"", True
    if rest or skipping:
        yield OVERLONG if skipping else rest


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, Callable[[], int]]]:
    """A log to read, and how many of its bytes on the disk have been read. OSError if it cannot be."""
    if path == STANDARD_INPUT:
        yield sys.stdin.buffer, lambda: 0
        return
    with path.open("rb") as raw:
        if raw.peek(2)[:2] == _GZIP_MAGIC:
            with gzip.open(raw) as unpacked:
                yield cast("BinaryIO", unpacked), raw.tell
        else:
            yield raw, raw.tell


def size_of(path: Path) -> int:
    """Bytes on the disk; 0 of standard input, whose size is unknown."""
    return 0 if path == STANDARD_INPUT else path.stat().st_size

r"""Unwraps log lines to which container runtimes and their tools have added a prefix or a JSON envelope.

Known are CRI's files (``2026-01-31T12:00:00.1Z stdout F {...}``), Docker's json-file
(``{"log":"{...}\n","stream":"stdout","time":"..."}``), ``kubectl logs --prefix`` (``[pod/api-1/app] {...}``) and
``--timestamps``, ``docker compose logs`` (``api-1  | {...}``), and combinations of these. Nothing else is removed: a
line of another program that quotes a line of the guard, which a caller may have forged, must not count as one.

Runtimes cut long lines into parts. The parts of one stream are joined again, although parts of others stand between
them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import orjson

from fraiseql_guard.operations.log_analysis.reading import MAX_LINE_BYTES, OVERLONG

_TIME: Final = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9}+)?+(?:Z|[+-]\d\d:\d\d)"
_SOURCE: Final = re.compile(rb"\[[A-Za-z0-9][\w.:-]{0,253}+(?:/[A-Za-z0-9][\w.:-]{0,253}+){1,3}+\] ", re.ASCII)
_COMPOSE: Final = re.compile(rb"[A-Za-z0-9][\w.-]{0,127}+ {0,64}+\| ", re.ASCII)
_CRI: Final = re.compile(_TIME + rb" (stdout|stderr) ([FP])(?::[A-Z]++)*+ ", re.ASCII)
_STAMP: Final = re.compile(_TIME + rb" ", re.ASCII)
_JSON_FILE: Final = (b'{"log":', b'{"stream":', b'{"time":', b'{"attrs":')
_PREFIXES: Final = (_STAMP, _SOURCE, _COMPOSE)
"""Prefixes of a line, each of which may stand there once."""
MAX_STREAMS: Final = 1_000
"""Most streams with an unfinished line; beyond, the line of the oldest is ended."""


class _WrappedLine(NamedTuple):
    """One unwrapped line: its stream, its text, and whether it is whole or the last part of a line (``whole``)."""

    stream: bytes
    whole: bool
    text: bytes
    kept: bool
    """Whether it came from a runtime's file. Then its text may have another prefix or envelope."""


def unwrapped(
    lines: Iterable[bytes], *, max_line_bytes: int = MAX_LINE_BYTES, max_streams: int = MAX_STREAMS
) -> Iterator[bytes]:
    """Yield the lines without wrapping, joined from their parts; OVERLONG for one that is too long. Unfinished lines
    are yielded at the end."""
    waiting: dict[bytes, bytearray] = {}  # parts of lines, by their stream
    for line in lines:
        part = _part_of(line)
        # An ordinary line.
        if part.whole and part.stream not in waiting:
            # A runtime's file may hold lines with a time stamp of their own.
            yield _part_of(part.text).text if part.kept else part.text
            continue
        # A part of a long line.
        held = waiting.setdefault(part.stream, bytearray())
        # Once the line is too long, further parts are dropped.
        if len(held) <= max_line_bytes:
            held += part.text
        if part.whole:
            yield _joined(waiting.pop(part.stream), max_line_bytes)
        elif len(waiting) > max_streams:
            yield _joined(waiting.pop(next(iter(waiting))), max_line_bytes)
    yield from (_joined(held, max_line_bytes) for held in waiting.values())


def _joined(held: bytearray, max_line_bytes: int) -> bytes:
    return OVERLONG if len(held) > max_line_bytes else _part_of(bytes(held)).text


def _part_of(line: bytes) -> _WrappedLine:
    """Remove the prefixes of a line, and the envelope of one runtime's file. The text inside of an envelope is not
    unwrapped further here, since it may be the middle of a line."""
    stream, text, prefixes = b"", line, list(_PREFIXES)
    while True:
        if kept := _of_json_file(text) if text.startswith(b"{") else _of_cri(text):
            # A NUL stands in no prefix, so that source and stream cannot be confused.
            return _WrappedLine(stream + b"\0" + kept.stream, kept.whole, kept.text, True)
        found = next((match for each in prefixes if (match := each.match(text))), None)
        if found is None:
            return _WrappedLine(stream, True, text, False)
        # Each prefix once, so that the loop ends.
        prefixes.remove(found.re)
        # The time differs from line to line, and is no part of a stream's name.
        if found.re is not _STAMP:
            stream += found[0]
        text = text[found.end() :]


def _of_cri(text: bytes) -> _WrappedLine | None:
    found = _CRI.match(text)
    return None if found is None else _WrappedLine(found[1], found[2] == b"F", text[found.end() :], True)


def _of_json_file(text: bytes) -> _WrappedLine | None:
    """Unwrap a line of Docker's json-file; None for any other line. An entry whose ``log`` does not end with a newline
    is a part."""
    if not text.startswith(_JSON_FILE):
        return None
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    log, stream = found.get("log"), found.get("stream")
    if not isinstance(log, str) or stream not in ("stdout", "stderr"):
        return None
    return _WrappedLine(stream.encode(), log.endswith("\n"), log.removesuffix("\n").encode(), True)

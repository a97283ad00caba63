"""A value that is read from a file, and read again after the file has changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final, Generic, TypeVar

T = TypeVar("T")

LOOK_AGAIN_SECONDS: Final = 5.0

_Stamp = tuple[int, int, int, int]
"""Differs after a file has changed: both times, the inode, the size."""


class _Absence(Enum):
    IS_AN_ERROR = 0


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why the file cannot be used since a moment of the clock."""

    cause: str
    content: int | None
    """The hash of bad content; None if the file could not be read."""
    stamp: _Stamp | None
    """As long as it is this, the content is the bad one."""
    since: float


def _nothing(*_: object) -> None:
    """For an observer that is not given."""


class WatchedFile(Generic[T]):
    """The value that ``parse`` makes of a file's bytes, fresh to ``interval_seconds``.

    OSError or ValueError at construction if the file cannot be used. Later a file that cannot be used leaves the last
    good value in force. ``on_failure(cause, is_new)`` is called at each look at such a file: ``is_new`` once for each
    cause and each content; ``on_recovery(outage_seconds)`` when it can be used again. A file that may be absent has the
    value ``absent`` then. ``parse`` is given at most ``limit_bytes``. ``clock`` counts seconds.
    """

    __slots__ = (
        "_absent",
        "_clock",
        "_failure",
        "_interval_seconds",
        "_limit_bytes",
        "_looked_at",
        "_on_failure",
        "_on_recovery",
        "_parse",
        "_path",
        "_stamp",
        "value",
    )

    def __init__(
        self,
        path: Path,
        parse: Callable[[bytes], T],
        *,
        clock: Callable[[], float] = time.monotonic,
        interval_seconds: float = LOOK_AGAIN_SECONDS,
        limit_bytes: int = -1,
        absent: T | _Absence = _Absence.IS_AN_ERROR,
        on_failure: Callable[[str, bool], None] = _nothing,
        on_recovery: Callable[[float], None] = _nothing,
    ) -> None:
        self._path = path
        self._parse = parse
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._limit_bytes = limit_bytes
        self._absent = absent
        self._on_failure = on_failure
        self._on_recovery = on_recovery
        self._failure: _Failure | None = None
        self._looked_at = clock()
        self._stamp = self._look_at_stamp()
        self.value: T = self._value(self._content(self._stamp))
        """What the file says, or said when it could last be used."""

    @property
    def written_at(self) -> float:
        """When the file with the value was written, in seconds since 1970; 0 if it is absent."""
        return self._stamp[0] / 1e9 if self._stamp is not None else 0.0

    def changed(self) -> bool:
        """Look at the file, if it is time to; whether :attr:`value` was read anew. Cheap: every request may ask."""
        now = self._clock()
        if now - self._looked_at < self._interval_seconds:
            return False
        self._looked_at = now
        return self._look(now)

    def _look(self, now: float) -> bool:
        stamp, content, failure = None, None, self._failure
        try:
            stamp = self._look_at_stamp()
            # Read only what has changed.
            changed = stamp != self._stamp
            if changed and failure is not None and failure.stamp is not None and failure.stamp == stamp:
                self._on_failure(failure.cause, False)  # the same bad content: reading it again tells nothing
                return False
            if changed:
                content = self._content(stamp)
                self.value = self._value(content)
        except (OSError, ValueError) as error:
            self._fail(now, error, stamp, content)
            return False
        # The file can be used: an outage, if there was one, is over.
        self._stamp, self._failure = stamp, None
        if failure is not None:
            self._on_recovery(now - failure.since)
        return changed

    def _fail(self, now: float, error: OSError | ValueError, stamp: _Stamp | None, content: bytes | None) -> None:
        before, cause = self._failure, cause_of(error)
        since = now if before is None else before.since
        if content is None:  # what could not be read may be readable later, unchanged
            self._failure = _Failure(cause, None, None, since)
        else:
            self._failure = _Failure(cause, hash(content), stamp, since)
        is_new = before is None or (before.cause, before.content) != (cause, self._failure.content)
        self._on_failure(cause, is_new)

    def _look_at_stamp(self) -> _Stamp | None:
        """None if the file is absent and may be."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            if self._absent is _Absence.IS_AN_ERROR:
                raise
            return None
        # The inode tells a file that was renamed over; ctime one whose mtime was set back.
        return status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size

    def _content(self, stamp: _Stamp | None) -> bytes | None:
        """None if the file is absent."""
        if stamp is None:
            return None
        with self._path.open("rb") as file:
            return file.read(self._limit_bytes)

    def _value(self, content: bytes | None) -> T:
        if content is None and not isinstance(self._absent, _Absence):
            return self._absent
        return self._parse(content or b"")


def cause_of(error: Exception) -> str:
    """Why a file cannot be used, as the end of a sentence that names the file."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)

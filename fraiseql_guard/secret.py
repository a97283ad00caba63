"""A secret that does not show itself, given directly or in a file that may be exchanged while we run."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from hmac import compare_digest
from pathlib import Path

_LOOK_AGAIN_SECONDS = 5.0


class Secret:
    """Text that appears in no repr, log line or error.

    A file is read again when it has changed, at most every 5 seconds; while it cannot be read (an orchestrator is
    exchanging it), or ``check`` raises ValueError for its new text, the last text stays in force.
    """

    __slots__ = ("_check", "_clock", "_looked_at", "_path", "_stamp", "_text")

    def __init__(
        self,
        text: str = "",
        *,
        path: Path | None = None,
        check: Callable[[str], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._text = text
        self._check = check
        self._path = path
        self._clock = clock
        self._stamp: tuple[int, ...] | None = None
        self._looked_at = clock()
        if path is not None:
            self._read(path)

    @property
    def fixed(self) -> bool:
        """Whether it never changes: it was given directly."""
        return self._path is None

    def reveal(self) -> str:
        """The text itself, fresh to 5 seconds."""
        if self._path is not None and (now := self._clock()) - self._looked_at >= _LOOK_AGAIN_SECONDS:
            self._looked_at = now
            with suppress(OSError, ValueError):  # mid-exchange: keep the last good text
                self._read(self._path)
        return self._text

    def _read(self, path: Path) -> None:
        status = path.stat()
        stamp = (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size)
        if stamp == self._stamp:
            return
        text = path.read_text(encoding="utf-8").strip()
        if not text:
            raise ValueError("the file is empty")
        if self._check is not None and self._stamp is not None:  # the first text is checked by who asked for it
            self._check(text)
        self._text, self._stamp = text, stamp

    def matches(self, candidate: str) -> bool:
        """Compare in constant time."""
        return compare_digest(self.reveal().encode(errors="surrogatepass"), candidate.encode(errors="surrogatepass"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._path == other._path and self.matches(other._text)

    def __hash__(self) -> int:
        return hash(self._path)

    def __repr__(self) -> str:
        return "Secret(****)"

    __str__ = __repr__

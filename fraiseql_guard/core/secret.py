"""Secrets that appear in no repr, given directly or in a file that may be exchanged at run time."""

from __future__ import annotations

import time
from collections.abc import Callable
from hmac import compare_digest
from pathlib import Path

from fraiseql_guard.core.clocks import Clock
from fraiseql_guard.core.watched_file import WatchedFile


class Secret:
    """Text that appears in no repr, log line or error.

    A file is read again when it has changed, at most every 5 seconds; while it cannot be read (an orchestrator is
    exchanging it), or ``check`` raises ValueError for its new text, the last text stays in force.
    """

    __slots__ = ("_check", "_file", "_path", "_text")

    def __init__(
        self,
        text: str = "",
        *,
        path: Path | None = None,
        check: Callable[[str], object] | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._text = text
        self._path = path
        self._check: Callable[[str], object] | None = None  # the caller has checked the first text
        self._file: WatchedFile[str] | None = None
        if path is not None:
            self._file = WatchedFile(path, self._parse, clock=clock)
            self._text = self._file.value
        self._check = check

    @property
    def fixed(self) -> bool:
        """Whether it never changes: it was given directly."""
        return self._path is None

    def by(self, clock: Clock) -> Secret:
        """The same secret, whose file is looked at again by another clock. OSError or ValueError as at construction."""
        if self._path is None:
            return self
        return Secret(path=self._path, check=self._check, clock=clock)

    def reveal(self) -> str:
        """The text itself, fresh to 5 seconds."""
        if self._file is not None and self._file.changed():
            self._text = self._file.value
        return self._text

    def _parse(self, content: bytes) -> str:
        # Editors and orchestrators end a file with a line break.
        text = content.decode().replace("\r\n", "\n").replace("\r", "\n").strip()
        if not text:
            raise ValueError("the file is empty")
        if self._check is not None:
            self._check(text)
        return text

    def matches(self, candidate: str) -> bool:
        """Compare in constant time."""
        # Bytes: compare_digest takes no text beyond ASCII.
        return compare_digest(self.reveal().encode(errors="surrogatepass"), candidate.encode(errors="surrogatepass"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._path == other._path and self.matches(other._text)

    def __hash__(self) -> int:
        # The text is no part of the hash, since it may change.
        return hash(self._path)

    def __repr__(self) -> str:
        return "Secret(****)"

    __str__ = __repr__

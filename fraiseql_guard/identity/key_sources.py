"""Where keys come from on this machine: settings, the files that they name, and a JWK set in a file.

A source that is exchanged for something unusable keeps its last good keys: a half-finished deployment must not lock
everybody out. It says so to its observer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final, Literal, Protocol

from fraiseql_guard.identity.jwk_set import MAX_SET_BYTES, JwkSet, read_jwk_set
from fraiseql_guard.identity.key_material import VerificationKey, kept
from fraiseql_guard.secret import Secret

SourceName = Literal["setting", "file", "url"]
Reader = Callable[[str, str, Collection[str]], VerificationKey]

_LOOK_AGAIN_SECONDS: Final = 5.0


class KeyObserver(Protocol):
    """Is told what happens to the sources of keys."""

    def key_source_failed(self, source: SourceName, detail: str, usable: bool) -> None:
        """A source could not be read; ``usable``: older keys of it are still in force."""
        ...

    def key_source_recovered(self, source: SourceName, outage_seconds: float) -> None:
        """A source that had failed was read again."""
        ...

    def warn(self, sentence: str) -> None:
        """Something about the keys deserves a look."""
        ...


class Unobserved:
    """Does nothing."""

    def key_source_failed(self, source: SourceName, detail: str, usable: bool) -> None:
        """Does nothing."""

    def key_source_recovered(self, source: SourceName, outage_seconds: float) -> None:
        """Does nothing."""

    def warn(self, sentence: str) -> None:
        """Does nothing."""


class KeySource(Protocol):
    """Brings keys."""

    observer: KeyObserver

    @property
    def fixed(self) -> bool:
        """Whether its keys never change."""
        ...

    def keys(self) -> tuple[VerificationKey, ...]:
        """The keys in force; another tuple if and only if one of them has changed. Cheap: asked for every token."""
        ...


class ConfiguredKey:
    """One key that a setting holds, or a file that it names. ``read`` makes the key of the text; its ValueError at
    construction is the caller's to explain."""

    __slots__ = ("_algorithms", "_keys", "_name", "_read", "_secret", "_text", "fixed", "observer")

    def __init__(self, name: str, secret: Secret, read: Reader, algorithms: Collection[str]) -> None:
        self.observer: KeyObserver = Unobserved()
        self._name, self._secret, self._read, self._algorithms = name, secret, read, algorithms
        self._text = secret.reveal()
        self.fixed = secret.fixed
        self._keys: tuple[VerificationKey, ...] = (read(name, self._text, algorithms),)

    def keys(self) -> tuple[VerificationKey, ...]:
        """The key in force."""
        text = self._secret.reveal()
        if text is not self._text and text != self._text:
            self._take_over(text)
        return self._keys

    def _take_over(self, text: str) -> None:
        self._text = text
        try:
            key = self._read(self._name, text, self._algorithms)
        except ValueError as error:
            self.observer.key_source_failed("setting", f"the new text of the {self._name} key {error}", True)
            return
        self._keys = kept(self._keys, (key,))


class JwksFile:
    """A JWK set in a file, read again when it has changed, at most every 5 seconds.

    Every key in it must be usable: the file's author can leave out what is not. ``clock`` counts seconds. OSError
    or ValueError at construction.
    """

    __slots__ = ("_algorithms", "_clock", "_failed_at", "_keys", "_looked_at", "_path", "_stamp", "observer")

    fixed: Final = False

    def __init__(self, path: Path, algorithms: Collection[str], *, clock: Callable[[], float] = time.monotonic) -> None:
        self.observer: KeyObserver = Unobserved()
        self._path, self._algorithms, self._clock = path, algorithms, clock
        self._looked_at = clock()
        self._failed_at: float | None = None
        self._stamp = _stamp(path)
        self._keys = self._read().keys

    def keys(self) -> tuple[VerificationKey, ...]:
        """The keys in force."""
        now = self._clock()
        if now - self._looked_at >= _LOOK_AGAIN_SECONDS:
            self._looked_at = now
            self._look(now)
        return self._keys

    @property
    def age_seconds(self) -> float:
        """How long ago the set in force was written."""
        return max(0.0, time.time() - self._stamp[0] / 1e9)

    def _look(self, now: float) -> None:
        try:
            stamp = _stamp(self._path)
            if stamp == self._stamp and self._failed_at is None:
                return
            self._keys, self._stamp = kept(self._keys, self._read().keys), stamp
        except (OSError, ValueError) as error:
            self._failed_at = now if self._failed_at is None else self._failed_at
            cause = error.strerror if isinstance(error, OSError) else str(error)
            self.observer.key_source_failed("file", f"{self._path}: {cause}", True)
            return
        if self._failed_at is not None:
            self.observer.key_source_recovered("file", now - self._failed_at)
            self._failed_at = None

    def _read(self) -> JwkSet:
        with self._path.open("rb") as file:
            found = read_jwk_set(file.read(MAX_SET_BYTES + 1), self._algorithms)
        if found.problems:
            raise ValueError(f"holds what cannot be used: {'; '.join(found.problems)}")
        if not found.keys:
            raise ValueError("holds no key")
        return found


def _stamp(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size

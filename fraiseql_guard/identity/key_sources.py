"""Reads keys on this machine: from settings, from files that they name, and from a JWK set in a file.

A source whose content becomes unusable keeps its last good keys, and tells its observer: a half-finished deployment
must not lock all users out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final, Literal, Protocol

from fraiseql_guard.core.secret import Secret
from fraiseql_guard.core.watched_file import WatchedFile
from fraiseql_guard.identity.jwk_set import MAX_SET_BYTES, read_jwk_set
from fraiseql_guard.identity.key_material import VerificationKey, kept

SourceName = Literal["setting", "file", "url"]
Reader = Callable[[str, str, Collection[str]], VerificationKey]


class KeyObserver(Protocol):
    """Is told of failures and recoveries of the sources of keys."""

    def key_source_failed(self, source: SourceName, detail: str, usable: bool) -> None:
        """A source could not be read. ``usable``: its older keys are still in force."""
        ...

    def key_source_recovered(self, source: SourceName, outage_seconds: float) -> None:
        """A source that had failed was read again."""
        ...

    def warn(self, sentence: str) -> None:
        """Warn an operator about the keys, in a sentence."""
        ...


class Unobserved:
    """The default observer, which does nothing."""

    def key_source_failed(self, source: SourceName, detail: str, usable: bool) -> None:
        """Does nothing."""

    def key_source_recovered(self, source: SourceName, outage_seconds: float) -> None:
        """Does nothing."""

    def warn(self, sentence: str) -> None:
        """Does nothing."""


class KeySource(Protocol):
    """A place that keys come from: a setting, a file, or a URL."""

    observer: KeyObserver

    @property
    def fixed(self) -> bool:
        """Whether the keys of the source never change."""
        ...

    def keys(self) -> tuple[VerificationKey, ...]:
        """The keys in force; another tuple if and only if one of them has changed. Cheap: called for every token."""
        ...


class ConfiguredKey:
    """One key in a setting, or in a file that the setting names. ``read`` makes the key of the text; its ValueError is
    raised at construction, and afterwards reported to the observer."""

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
        # Identity first: the secret mostly returns the very same object, for every token.
        if text is not self._text and text != self._text:
            self._take_over(text)
        return self._keys

    def _take_over(self, text: str) -> None:
        # Remember a bad text as well, so that it is reported once.
        self._text = text
        try:
            key = self._read(self._name, text, self._algorithms)
        except ValueError as error:
            self.observer.key_source_failed("setting", f"the new text of the {self._name} key {error}", True)
            return
        self._keys = kept(self._keys, (key,))


class JwksFile:
    """A JWK set in a file, read again when it has changed, at most every 5 seconds.

    Every key in it must be usable, since the file's author can leave out others. ``clock`` counts seconds. OSError or
    ValueError at construction if it cannot be used.
    """

    __slots__ = ("_algorithms", "_file", "_keys", "_path", "observer")

    fixed: Final = False

    def __init__(self, path: Path, algorithms: Collection[str], *, clock: Callable[[], float] = time.monotonic) -> None:
        self.observer: KeyObserver = Unobserved()
        self._path, self._algorithms = path, algorithms
        self._file = WatchedFile(
            path,
            self._parse,
            clock=clock,
            limit_bytes=MAX_SET_BYTES + 1,
            on_failure=self._failed,
            on_recovery=self._recovered,
        )
        self._keys = self._file.value

    def keys(self) -> tuple[VerificationKey, ...]:
        """The keys in force."""
        if self._file.changed():
            self._keys = kept(self._keys, self._file.value)
        return self._keys

    @property
    def age_seconds(self) -> float:
        """Seconds since the set in force was written."""
        return max(0.0, time.time() - self._file.written_at)

    def _failed(self, cause: str, _: bool) -> None:
        self.observer.key_source_failed("file", f"{self._path}: {cause}", True)

    def _recovered(self, outage_seconds: float) -> None:
        self.observer.key_source_recovered("file", outage_seconds)

    def _parse(self, content: bytes) -> tuple[VerificationKey, ...]:
        found = read_jwk_set(content, self._algorithms)
        if found.problems:
            raise ValueError(f"holds what cannot be used: {'; '.join(found.problems)}")
        if not found.keys:
            raise ValueError("holds no key")
        return found.keys

"""Documents that clients have registered by their hash (automatic persisted queries), in this process's memory.

Any caller may register documents that pass the limits, so each gets a bounded share of the memory. A caller registers a
limited number a minute and holds a limited number at a time. A document that a second caller has asked for is in common
use, and new documents cannot push it out.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Final

from fraiseql_guard.core.lru import Lru

_MINUTE_SECONDS: Final = 60.0
_CALLERS: Final = 10_000
_FRESH_PART: Final = 5
"""One fifth of the room is for documents that only one caller has asked for, four fifths for those in common use."""


@dataclass(frozen=True, slots=True)
class _Registered:
    text: str
    owner: Hashable
    size_bytes: int


class Registrations:
    """The registered texts by their hex SHA-256. ``per_caller`` bounds the documents that a caller holds,
    ``per_minute`` those that a caller registers in a minute. ``clock`` counts seconds."""

    def __init__(
        self,
        *,
        max_documents: int = 1000,
        max_bytes: int = 8 * 1024 * 1024,
        per_caller: int = 50,
        per_minute: int = 10,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_documents = max_documents
        self._max_bytes = max_bytes
        self._per_caller = per_caller
        self._per_minute = per_minute
        self._clock = clock
        # Room for more than may stay, so that it drops none by itself: what a caller holds is counted.
        self._fresh: Lru[str, _Registered] = Lru(max_documents + 1, max_bytes=2 * max_bytes)
        self._shared: Lru[str, _Registered] = Lru(
            max_documents - max_documents // _FRESH_PART, max_bytes=max_bytes - max_bytes // _FRESH_PART
        )
        self._held: Counter[Hashable] = Counter()
        self._allowances: Lru[Hashable, tuple[float, float]] = Lru(_CALLERS)

    def __len__(self) -> int:
        return len(self._fresh) + len(self._shared)

    @property
    def size_bytes(self) -> int:
        """Bytes of all texts."""
        return self._fresh.size_bytes + self._shared.size_bytes

    def find(self, digest: str, caller: Hashable) -> str | None:
        """The text of a registered document, or None. If ``caller`` did not register it, it is in common use from now
        on."""
        for shelf in (self._shared, self._fresh):
            if (document := shelf.get(digest)) is not None:
                # One caller alone cannot bring a document into common use, which is kept longest.
                if shelf is self._fresh and document.owner != caller:
                    self._drop(digest, document)
                    self._shared.put_sized(digest, document, document.size_bytes)
                return document.text
        return None

    def texts(self) -> Iterator[tuple[str, str]]:
        """Hex SHA-256 and text of every document."""
        for shelf in (self._shared, self._fresh):
            for digest, document in shelf.items():
                yield digest, document.text

    def register(self, digest: str, text: str, caller: Hashable) -> bool:
        """Remember a text that passed the limits; False if it is known or the caller has registered enough for now."""
        if digest in self._fresh or digest in self._shared:
            return False
        document = _Registered(text, caller, len(text.encode()))
        # A text has to fit into the part of the room that is for documents of one caller.
        if document.size_bytes > self._max_bytes // _FRESH_PART or not self._allowed(caller):
            return False
        # A caller who holds the maximum loses their oldest document.
        if self._held[caller] >= self._per_caller:
            self._drop(*next(each for each in self._fresh.items() if each[1].owner == caller))
        self._held[caller] += 1
        self._fresh.put_sized(digest, document, document.size_bytes)
        # Without room, the oldest documents that only one caller has asked for leave.
        while self._overfull:
            self._drop(*self._fresh.oldest(1)[0])
        return True

    @property
    def _overfull(self) -> bool:
        return len(self) > self._max_documents or self.size_bytes > self._max_bytes

    def _allowed(self, caller: Hashable) -> bool:
        # A token bucket of one minute's registrations.
        now = self._clock()
        left, at = self._allowances.get(caller) or (float(self._per_minute), now)
        left = min(self._per_minute, left + (now - at) * self._per_minute / _MINUTE_SECONDS)
        self._allowances.put(caller, (left - 1 if left >= 1 else left, now))
        return left >= 1

    def _drop(self, digest: str, document: _Registered) -> None:
        # Counts of zero are deleted, so that the counter has no more keys than there are documents.
        self._fresh.pop(digest)
        self._held[document.owner] -= 1
        if not self._held[document.owner]:
            del self._held[document.owner]

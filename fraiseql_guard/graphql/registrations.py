"""Documents that clients have registered by their hash (automatic persisted queries), in this process's memory.

Anyone may register what passes the limits, so the memory defends itself: a caller registers so many a minute and holds
so many at a time, and what a second caller has asked for is common: new documents cannot push it out.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Final

from fraiseql_guard.stores.recent import Recent

_MINUTE_SECONDS: Final = 60.0
_CALLERS: Final = 10_000
_FRESH_PART: Final = 5
"""A fifth of the room is for documents that one caller alone has asked for, the rest for those of common use."""


@dataclass(frozen=True, slots=True)
class _Registered:
    text: str
    owner: Hashable
    size_bytes: int


@dataclass(slots=True)
class _Shelf:
    """Documents in the order of their last use."""

    documents: OrderedDict[str, _Registered]
    size_bytes: int = 0

    def put(self, digest: str, document: _Registered) -> None:
        self.documents[digest] = document
        self.size_bytes += document.size_bytes

    def pop(self, digest: str) -> _Registered:
        document = self.documents.pop(digest)
        self.size_bytes -= document.size_bytes
        return document


class Registrations:
    """Texts by their hex SHA-256. ``clock`` counts seconds."""

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
        self._fresh = _Shelf(OrderedDict())
        self._shared = _Shelf(OrderedDict())
        self._held: Counter[Hashable] = Counter()
        self._allowances: Recent[Hashable, tuple[float, float]] = Recent(_CALLERS)

    def __len__(self) -> int:
        return len(self._fresh.documents) + len(self._shared.documents)

    @property
    def size_bytes(self) -> int:
        """Bytes of all texts."""
        return self._fresh.size_bytes + self._shared.size_bytes

    def find(self, digest: str, caller: Hashable) -> str | None:
        """The text. Once another caller than the one who registered it asks for it, it is one of common use."""
        for shelf in (self._shared, self._fresh):
            if (document := shelf.documents.get(digest)) is not None:
                shelf.documents.move_to_end(digest)
                if shelf is self._fresh and document.owner != caller:
                    self._share(digest)
                return document.text
        return None

    def texts(self) -> Iterator[tuple[str, str]]:
        """Hex SHA-256 and text of every document."""
        for shelf in (self._shared, self._fresh):
            for digest, document in shelf.documents.items():
                yield digest, document.text

    def register(self, digest: str, text: str, caller: Hashable) -> bool:
        """Remember a text that passed the limits; False if it is known or the caller has registered enough for now."""
        document = _Registered(text, caller, len(text.encode()))
        known = digest in self._fresh.documents or digest in self._shared.documents
        if known or document.size_bytes > self._max_bytes // _FRESH_PART or not self._allowed(caller):
            return False
        if self._held[caller] >= self._per_caller:
            self._drop(next(key for key, held in self._fresh.documents.items() if held.owner == caller))
        self._fresh.put(digest, document)
        self._held[caller] += 1
        while len(self) > self._max_documents or self.size_bytes > self._max_bytes:
            self._drop(next(iter(self._fresh.documents)))
        return True

    def _allowed(self, caller: Hashable) -> bool:
        now = self._clock()
        left, at = self._allowances.get(caller) or (float(self._per_minute), now)
        left = min(self._per_minute, left + (now - at) * self._per_minute / _MINUTE_SECONDS)
        self._allowances.put(caller, (left - 1 if left >= 1 else left, now))
        return left >= 1

    def _drop(self, digest: str) -> _Registered:
        document = self._fresh.pop(digest)
        self._held[document.owner] -= 1
        if not self._held[document.owner]:
            del self._held[document.owner]
        return document

    def _share(self, digest: str) -> None:
        self._shared.put(digest, self._drop(digest))
        shared = self._shared
        most_documents = self._max_documents - self._max_documents // _FRESH_PART
        most_bytes = self._max_bytes - self._max_bytes // _FRESH_PART
        while len(shared.documents) > most_documents or shared.size_bytes > most_bytes:
            shared.pop(next(iter(shared.documents)))

"""Trusted documents on Redis: an index and its texts, two hashes of one hash tag (lua/documents.lua)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from typing import Final

import orjson

from fraiseql_guard.core.signals import KeyFamily
from fraiseql_guard.stores.documents import (
    MAX_DOCUMENTS,
    MAX_DOCUMENTS_BYTES,
    Adding,
    DocumentIndex,
    Listed,
    TrustedDocument,
    listed,
)
from fraiseql_guard.stores.protocol import StoreError
from fraiseql_guard.stores.redis.key_access import RedisKeys
from fraiseql_guard.stores.redis.key_families import DOCUMENTS

_SCRIPT: Final = "documents"
_VERSION: Final = b"#"
_ATTEMPTS: Final = 3
_LONGEST_ENTRY: Final = 8_192
_DIGEST: Final = re.compile("[0-9a-f]{64}")
_PAGE: Final = 500
"""About the entries of one exchange: half a millisecond of the server's time, one of this process's."""


class RedisDocuments:
    """DocumentStore on Redis. Every method may raise StoreError."""

    def __init__(self, keys: RedisKeys) -> None:
        self._keys = keys
        self._index = keys.names.common(DOCUMENTS)
        self._texts = f"{self._index}:texts"

    async def index(self, known_version: int) -> DocumentIndex | None:
        """DocumentStore.index."""
        try:
            for _ in range(_ATTEMPTS):
                # The pages belong together if version and count are equal before and after, and all entries were read.
                version, count = await self._look()
                if version == known_version:
                    return None
                entries = {name: each async for name, each in self._entries()}
                if len(entries) == count and await self._look() == (version, count):
                    return DocumentIndex(version, tuple(each for each in entries.values() if each is not None))
        except (ValueError, TypeError, LookupError) as error:
            raise StoreError("script", f"unexpected index of documents: {error}", opens_breaker=False) from error
        raise StoreError("script", "the index of documents changes while it is read", opens_breaker=False)

    async def _look(self) -> tuple[int, int]:
        version, count = await self._keys.run(_SCRIPT, self._index, ("look",))
        return int(version), int(count)

    async def _entries(self) -> AsyncIterator[tuple[bytes, Listed | None]]:
        """The entries by name, page by page, some of them twice if the hash grows meanwhile. An entry that other
        software wrote is None."""
        cursor = b"0"
        while True:
            cursor, fields = await self._keys.ask(self._index, ("HSCAN", self._index, cursor, "COUNT", _PAGE))
            # One field of the hash is the version; the others are documents.
            for name, value in zip(fields[::2], fields[1::2], strict=True):
                if name != _VERSION:
                    yield name, self._entry(name, value)
            if cursor == b"0":
                return

    def _entry(self, name: bytes, value: bytes) -> Listed | None:
        try:
            return _entry(name, value)
        except (ValueError, TypeError) as error:
            self._keys.unreadable.note(KeyFamily.DOCUMENTS, name, f"is no document of ours: {error}")
            return None

    async def texts(self, ids: Sequence[str]) -> Sequence[str | None]:
        """DocumentStore.texts."""
        found: Sequence[bytes | None] = await self._keys.ask(self._texts, ("HMGET", self._texts, *ids)) if ids else ()
        # A text that is not UTF-8 gets another digest than the index has, and is left out by the watch.
        return [None if text is None else text.decode(errors="replace") for text in found]

    async def add(self, documents: Sequence[TrustedDocument]) -> Adding:
        """DocumentStore.add."""
        arguments: list[str | int | bytes] = ["add", MAX_DOCUMENTS, MAX_DOCUMENTS_BYTES]
        for document in documents:
            entry = listed(document)
            # JSON behind digest and size: a name may hold blanks.
            facts = orjson.dumps([entry.name, entry.type])
            text = document.text.encode(errors="replace")
            arguments += [entry.id, entry.digest, entry.size_bytes, facts, text]
        outcome, *more = await self._keys.run(_SCRIPT, self._index, arguments)
        if outcome == b"done":
            return Adding(int(more[0]))
        return Adding(conflict=more[0].decode(errors="replace")) if outcome == b"conflict" else Adding(full=True)

    async def remove(self, ids: Sequence[str]) -> int:
        """DocumentStore.remove."""
        return int((await self._keys.run(_SCRIPT, self._index, ("remove", *ids)))[1])


def _entry(key: bytes, entry: bytes) -> Listed:
    """An entry of the index; ValueError or TypeError if other software wrote it."""
    # Bounded first: an entry of other software may be long.
    mark, id_ = key[:1], key[1:].decode()
    if max(len(entry), len(key)) > _LONGEST_ENTRY or mark != b":":
        raise ValueError("it is named or written otherwise")
    digest, size, facts = entry.decode().split(" ", 2)
    name, type_, *_ = orjson.loads(facts)
    if not _DIGEST.fullmatch(digest) or not _is_size(size):
        raise ValueError("it has no digest and size")
    if not isinstance(name, str) or not isinstance(type_, str):
        raise TypeError("its name and type are no texts")
    return Listed(id_, digest, int(size), name, type_)


def _is_size(text: str) -> bool:
    return text.isdecimal() and int(text) <= MAX_DOCUMENTS_BYTES

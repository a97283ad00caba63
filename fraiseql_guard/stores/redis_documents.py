"""Trusted documents on Redis: an index and its texts, two hashes of one hash tag (lua/documents.lua)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

import orjson

from fraiseql_guard.stores.documents import (
    MAX_DOCUMENTS,
    MAX_DOCUMENTS_BYTES,
    Adding,
    DocumentIndex,
    Listed,
    TrustedDocument,
    listed,
)
from fraiseql_guard.stores.namespace import Namespace
from fraiseql_guard.stores.protocol import StoreError
from fraiseql_guard.stores.redis_fleet import Ask, Run

_SCRIPT: Final = "documents"
_VERSION: Final = b"#"
_ATTEMPTS: Final = 3
_PAGE: Final = 500
"""Entries of one exchange, about: half a millisecond of the server's time, one of ours."""


class RedisDocuments:
    """DocumentStore through ``run`` and ``ask``. Every method may raise StoreError."""

    def __init__(self, run: Run, ask: Ask, namespace: Namespace) -> None:
        self._run = run
        self._ask = ask
        self._index = namespace.common("documents")
        self._texts = f"{self._index}:texts"

    async def index(self, known_version: int) -> DocumentIndex | None:
        """DocumentStore.documents."""
        try:
            for _ in range(_ATTEMPTS):
                version, count = await self._look()
                if version == known_version:
                    return None
                entries = {each.id: each async for each in self._entries()}
                if len(entries) == count and await self._look() == (version, count):
                    return DocumentIndex(version, tuple(entries.values()))
        except (ValueError, TypeError, LookupError) as error:
            raise StoreError("script", f"unexpected index of documents: {error}", opens_breaker=False) from error
        raise StoreError("script", "the index of documents changes while it is read", opens_breaker=False)

    async def _look(self) -> tuple[int, int]:
        version, count = await self._run(_SCRIPT, self._index, ("look",))
        return int(version), int(count)

    async def _entries(self) -> AsyncIterator[Listed]:
        """The entries, page by page: some of them twice if the hash is growing meanwhile."""
        cursor = b"0"
        while True:
            cursor, fields = await self._ask(self._index, ("HSCAN", self._index, cursor, "COUNT", _PAGE))
            for name, value in zip(fields[::2], fields[1::2], strict=True):
                if name != _VERSION:
                    yield _entry(name[1:], value)
            if cursor == b"0":
                return

    async def texts(self, ids: Sequence[str]) -> Sequence[str | None]:
        """DocumentStore.document_texts."""
        found: Sequence[bytes | None] = await self._ask(self._texts, ("HMGET", self._texts, *ids)) if ids else ()
        return [None if text is None else text.decode(errors="replace") for text in found]

    async def add(self, documents: Sequence[TrustedDocument]) -> Adding:
        """DocumentStore.add_documents."""
        arguments: list[str | int | bytes] = ["add", MAX_DOCUMENTS, MAX_DOCUMENTS_BYTES]
        for document in documents:
            entry = listed(document)
            facts = orjson.dumps([entry.name, entry.type])
            text = document.text.encode(errors="replace")
            arguments += [entry.id, entry.digest, entry.size_bytes, facts, text]
        outcome, *more = await self._run(_SCRIPT, self._index, arguments)
        if outcome == b"done":
            return Adding(int(more[0]))
        return Adding(conflict=more[0].decode(errors="replace")) if outcome == b"conflict" else Adding(full=True)

    async def remove(self, ids: Sequence[str]) -> int:
        """DocumentStore.remove_documents."""
        return int((await self._run(_SCRIPT, self._index, ("remove", *ids)))[1])


def _entry(id_: bytes, entry: bytes) -> Listed:
    digest, size, facts = entry.decode().split(" ", 2)
    name, type_, *_ = orjson.loads(facts)
    return Listed(id_.decode(), digest, int(size), name, type_)

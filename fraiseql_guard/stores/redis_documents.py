"""Trusted documents on Redis: an index and its texts, two hashes of one hash tag (lua/documents.lua)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

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
from fraiseql_guard.stores.redis_fleet import Ask, Run

INDEX: Final = "fg:{documents}"
TEXTS: Final = f"{INDEX}:texts"
_SCRIPT: Final = "documents"


class RedisDocuments:
    """DocumentStore through ``run`` and ``ask``. Every method may raise StoreError."""

    def __init__(self, run: Run, ask: Ask) -> None:
        self._run = run
        self._ask = ask

    async def index(self, known_version: int) -> DocumentIndex | None:
        """DocumentStore.documents."""
        reply = await self._run(_SCRIPT, INDEX, ("read", known_version))
        try:
            version = int(reply[0])
            if version == known_version:
                return None
            entries = (_entry(*pair) for pair in zip(reply[1::2], reply[2::2], strict=True))
            return DocumentIndex(version, tuple(entries))
        except (ValueError, TypeError, LookupError) as error:
            raise StoreError("script", f"unexpected index of documents: {error}", opens_breaker=False) from error

    async def texts(self, ids: Sequence[str]) -> Sequence[str | None]:
        """DocumentStore.document_texts."""
        found: Sequence[bytes | None] = await self._ask(TEXTS, ("HMGET", TEXTS, *ids)) if ids else ()
        return [None if text is None else text.decode(errors="replace") for text in found]

    async def add(self, documents: Sequence[TrustedDocument]) -> Adding:
        """DocumentStore.add_documents."""
        arguments: list[str | int | bytes] = ["add", MAX_DOCUMENTS, MAX_DOCUMENTS_BYTES]
        for document in documents:
            entry = listed(document)
            facts = json.dumps([entry.name, entry.type])
            text = document.text.encode(errors="replace")
            arguments += [entry.id, entry.digest, entry.size_bytes, facts, text]
        outcome, *more = await self._run(_SCRIPT, INDEX, arguments)
        if outcome == b"done":
            return Adding(int(more[0]))
        return Adding(conflict=more[0].decode(errors="replace")) if outcome == b"conflict" else Adding(full=True)

    async def remove(self, ids: Sequence[str]) -> int:
        """DocumentStore.remove_documents."""
        return int((await self._run(_SCRIPT, INDEX, ("remove", *ids)))[1])


def _entry(id_: bytes, entry: bytes) -> Listed:
    digest, size, facts = entry.decode().split(" ", 2)
    known: list[Any] = json.loads(facts)
    return Listed(id_.decode(), digest, int(size), *known[:2])

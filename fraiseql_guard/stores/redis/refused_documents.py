"""Which callers were refused for which documents, on Redis: one script (lua/refused.lua), on keys of one hash tag."""

from __future__ import annotations

from collections.abc import Sequence

from fraiseql_guard.stores.redis.key_access import RedisKeys
from fraiseql_guard.stores.redis.key_families import REFUSED
from fraiseql_guard.stores.refused_documents import CALLERS, MOST_DOCUMENTS, WINDOW_SECONDS, RefusedFor


class RedisRefusedDocuments:
    """RefusedDocumentStore on Redis. Every method may raise StoreError."""

    def __init__(self, keys: RedisKeys) -> None:
        self._keys = keys
        self._key = keys.names.common(REFUSED)

    async def note(self, refusals: Sequence[RefusedFor]) -> Sequence[str]:
        """RefusedDocumentStore.note."""
        if not refusals:
            return ()
        pairs = [part for refused in refusals for part in (refused.document, refused.caller)]
        reply = await self._keys.run("refused", self._key, (WINDOW_SECONDS, CALLERS, MOST_DOCUMENTS, *pairs))
        return [document.decode(errors="replace") for document in reply]

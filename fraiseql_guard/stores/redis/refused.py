"""Which callers were refused for which documents, on Redis: one script (lua/refused.lua), on keys of one hash tag."""

from __future__ import annotations

from collections.abc import Sequence

from fraiseql_guard.stores.redis.fleet import Run
from fraiseql_guard.stores.redis.key_families import REFUSED
from fraiseql_guard.stores.redis.namespace import Namespace
from fraiseql_guard.stores.refused import CALLERS, MOST_DOCUMENTS, WINDOW_SECONDS, RefusedFor


class RedisRefused:
    """RefusedStore through ``run``. Every method may raise StoreError."""

    def __init__(self, run: Run, namespace: Namespace) -> None:
        self._run = run
        self._key = namespace.common(REFUSED)

    async def note_refused(self, refusals: Sequence[RefusedFor]) -> Sequence[str]:
        """RefusedStore.note_refused."""
        if not refusals:
            return ()
        pairs = [part for refused in refusals for part in (refused.document, refused.caller)]
        reply = await self._run("refused", self._key, (WINDOW_SECONDS, CALLERS, MOST_DOCUMENTS, *pairs))
        return [document.decode(errors="replace") for document in reply]

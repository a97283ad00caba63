"""Which callers were lately refused for which documents: many callers show a page of the app, one caller an attacker.

Payloads are digests alone: of a document's text, and of its caller.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from fraiseql_guard.core.lru import Lru

CALLERS: Final = 3
"""Distinct callers, refused for one document within the window, at which it counts as a document of the app's
clients."""
WINDOW_SECONDS: Final = 600
MOST_DOCUMENTS: Final = 2_000
"""Most documents that are counted at a time. Without room, the document whose last refusal is oldest goes."""
_REPORTED: Final = ""
"""Stands in the place of a caller, for the moment when the document was reported."""


@dataclass(frozen=True, slots=True)
class RefusedFor:
    """A caller was refused for a document. Both are hex digests."""

    document: str
    caller: str


class RefusedDocumentStore(Protocol):
    """Counts the distinct callers that were refused for each document. Every method may raise StoreError."""

    async def note(self, refusals: Sequence[RefusedFor]) -> Sequence[str]:
        """Note refusals, in their order. Returns the documents that have reached CALLERS with them: each is reported
        once, and counted anew after a window."""
        ...


class MemoryRefusedDocuments:
    """RefusedDocumentStore in the memory of a process."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._callers: Lru[str, dict[str, float]] = Lru(MOST_DOCUMENTS)  # by document

    async def note(self, refusals: Sequence[RefusedFor]) -> Sequence[str]:
        """RefusedDocumentStore.note."""
        now, reached = self._clock(), []
        for refused in refusals:
            # A document that was reported is not counted for a window.
            # look, not get: refusals that are not counted do not make their document the newest.
            held = self._callers.look(refused.document) or {}
            if held.get(_REPORTED, -math.inf) > now - WINDOW_SECONDS:
                continue
            callers = {each: at for each, at in held.items() if each != _REPORTED and at > now - WINDOW_SECONDS}
            callers[refused.caller] = now
            if len(callers) >= CALLERS:
                reached.append(refused.document)
                callers = {_REPORTED: now}
            self._callers.put(refused.document, callers)
        return reached

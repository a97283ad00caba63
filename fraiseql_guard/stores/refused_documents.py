"""Which callers were refused for which documents lately: what tells an app's own page from one attacker's query.

Payloads are digests alone: of a document's text, and of its caller.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from fraiseql_guard.core.lru import Lru

CALLERS: Final = 3
"""So many distinct callers, refused for one document within the window, make it one that clients of the app send."""
WINDOW_SECONDS: Final = 600
MOST_DOCUMENTS: Final = 2_000
"""Documents that are counted at a time. The one that was not refused for longest goes if there is no room."""
_TOLD: Final = ""
"""In the place of callers: when the document was told."""


@dataclass(frozen=True, slots=True)
class RefusedFor:
    """A caller was refused for a document. Both are hex digests."""

    document: str
    caller: str


class RefusedDocumentStore(Protocol):
    """The counts of these callers. Every method may raise StoreError."""

    async def note(self, refusals: Sequence[RefusedFor]) -> Sequence[str]:
        """Note refusals, in their order. Returns the documents that reached CALLERS by them: each is told once, and
        counted from nothing once a window has passed."""
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
            held = self._callers.look(refused.document) or {}
            if held.get(_TOLD, -math.inf) > now - WINDOW_SECONDS:
                continue
            callers = {each: at for each, at in held.items() if each != _TOLD and at > now - WINDOW_SECONDS}
            callers[refused.caller] = now
            if len(callers) >= CALLERS:
                reached.append(refused.document)
                callers = {_TOLD: now}
            self._callers.put(refused.document, callers)
        return reached

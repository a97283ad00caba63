"""Has the operator blocked this very document, or an operation of this name?

A name is what a client says of itself: to block it stops a deployment that went wrong, not an attacker. The document's
digest is exact, and the smallest change of its text is another document.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from fraiseql_guard.core.context import Denial, RequestContext
from fraiseql_guard.core.signals import DOCUMENT_BLOCKED, Protection
from fraiseql_guard.stores.overrides import Override, OverrideKind, Overrides


class BlockedDocuments:
    """Documents and operations as the control set has them, whether trusted or not. ``clock`` counts seconds.

    Every operation of every document in the request counts, not only the one named: hosts exist that run another.
    """

    protection: Final = Protection.QUERY_LIMITS

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._documents: Mapping[str, float] = {}
        self._operations: Mapping[str, float] = {}

    def update(self, control: Overrides) -> None:
        """Take over the blocks of a new control set."""
        now = self._clock()
        self._documents = _until(now, control.of(OverrideKind.DOCUMENT), str.lower)
        self._operations = _until(now, control.of(OverrideKind.OPERATION), str)

    def decide(self, ctx: RequestContext) -> Denial | None:
        """Refuse what is blocked. What could not be measured has no operations, but its text may be known."""
        if not (self._documents or self._operations):
            return None
        for digest in ctx.hashes:
            if digest in self._documents:
                return self._refuse(f"document {digest}", self._documents[digest])
        for name in ctx.measured.names if ctx.measured is not None else ():
            if name in self._operations:
                return self._refuse(f"operation {name}", self._operations[name])
        return None

    def _refuse(self, detail: str, until: float) -> Denial:
        return Denial(DOCUMENT_BLOCKED, detail=detail, retry_after_seconds=max(1.0, until - self._clock()))


def _until(now: float, entries: Iterable[Override], key: Callable[[str], str]) -> Mapping[str, float]:
    return {key(entry.key): now + entry.expires_in_seconds for entry in entries}

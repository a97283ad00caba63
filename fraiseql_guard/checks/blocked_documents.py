"""Refuses documents and operations that an operator has blocked.

A client chooses the names of its operations: to block one stops a deployment that went wrong, not an attacker. A
document is blocked by its digest, and is another one after the smallest change of its text.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.signals import DOCUMENT_BLOCKED, Protection
from fraiseql_guard.stores.overrides import Override, OverrideKind, Overrides


class BlockedDocuments:
    """Refuses the documents and operations that the control set blocks, trusted or not. ``clock`` counts seconds.

    Every operation in the request's documents is compared, not only the one named by ``operationName``: some hosts run
    another one.
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
        """Refuse a blocked document or operation. A document that could not be measured has no known operations, but
        may have a known text."""
        if not (self._documents or self._operations):
            return None
        # Is the text of any document in the request blocked?
        for digest in ctx.hashes:
            if digest in self._documents:
                return self._refuse(f"document {digest}", self._documents[digest])
        # Is the name of any operation blocked?
        for name in ctx.measured.names if ctx.measured is not None else ():
            if name in self._operations:
                return self._refuse(f"operation {name}", self._operations[name])
        return None

    def _refuse(self, detail: str, until: float) -> Denial:
        return Denial(DOCUMENT_BLOCKED, detail=detail, retry_after_seconds=max(1.0, until - self._clock()))


def _until(now: float, entries: Iterable[Override], key: Callable[[str], str]) -> Mapping[str, float]:
    return {key(entry.key): now + entry.expires_in_seconds for entry in entries}

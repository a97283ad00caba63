"""Recognises documents of the app's own by the number of callers that are refused for them.

An app that is deployed with a page over a limit makes every visitor send the same document. Each visitor would collect
offences, and be blocked for what the app does. So all workers count in the store which callers were refused for which
document. A document that enough callers were refused for is published to all workers, and brings no more offences. It
is still refused, and costs its callers what it did before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import orjson

from fraiseql_guard.core import signals as s
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import AppDocument, Denial
from fraiseql_guard.core.lru import Lru
from fraiseql_guard.core.signals import Code
from fraiseql_guard.stores.overrides import Override, OverrideKind, Overrides
from fraiseql_guard.stores.protocol import Store, StoreError
from fraiseql_guard.stores.refused_documents import WINDOW_SECONDS, RefusedFor

KEPT_SECONDS: Final = 86_400.0
"""How long a document stays known as the app's own. One that is still refused afterwards is found and published
anew."""
MOST_IN_FORCE: Final = 50
"""Most documents of the app's own that are known at a time."""
MOST_A_CALLER: Final = 5
"""Most documents that one caller counts for in half a window, so that a few attackers cannot fill the list."""
_CALLERS: Final = 5_000
_WAITING: Final = 200
_NAME_CHARACTERS: Final = 64

_LIMITS: Final[Mapping[str, Code]] = {
    code.name: code
    for code in (
        s.QUERY_TOO_DEEP, s.QUERY_TOO_COMPLEX, s.LIST_TOO_LARGE, s.OFFSET_TOO_LARGE, s.TOO_MANY_ALIASES,
        s.TOO_MANY_ROOT_FIELDS, s.TOO_MANY_DIRECTIVES, s.TOO_MANY_DUPLICATE_KEYS, s.TOO_MANY_OPERATIONS,
        s.TOO_MANY_FRAGMENTS, s.QUERY_TOO_LONG, s.QUERY_TOO_MANY_TOKENS, s.LITERAL_TOO_DEEP,
    )
}  # fmt: skip
"""Refusals that an app can cause: its document asks for more than a setting allows."""


class AppDocumentObserver(Protocol):
    """Is told of the app's own documents."""

    def app_document(self, document: AppDocument) -> None:
        """This worker has found a document of the app's own; called once in the whole fleet."""
        ...

    def app_documents(self, documents: Mapping[str, AppDocument]) -> None:
        """The documents in force have changed; ``documents`` are all of them, by query hash."""
        ...

    def fault(self, part: str, error: BaseException) -> None:
        """A part of the guard raised ``error``."""
        ...


class AppDocuments:
    """Notes refusals in memory, counts them in the store from a background task, and knows what all workers have found.

    ``clock`` counts seconds and never goes back.
    """

    def __init__(
        self, store: Store, *, observer: AppDocumentObserver, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._observer = observer
        self._clock = clock
        self._in_force: Mapping[str, AppDocument] = {}
        self._noted: Lru[str, tuple[float, set[str]]] = Lru(_CALLERS)
        self._waiting: dict[RefusedFor, AppDocument] = {}
        self._untold: dict[str, AppDocument] = {}

    def update(self, control: Overrides) -> None:
        """Take over what a new control set says."""
        found = (_read(entry) for entry in control.of(OverrideKind.APP_DOCUMENT))
        self._in_force = {document.query_hash: document for document in found if document is not None}
        self._observer.app_documents(self._in_force)

    def excuses(self, ctx: RequestContext) -> bool:
        """Whether the request is for a document of the app's own."""
        return bool(self._in_force) and ctx.query_hash in self._in_force

    def note(self, ctx: RequestContext, denial: Denial) -> None:
        """Note that a request was refused, or would be refused in enforce mode."""
        query_hash = ctx.query_hash
        if denial.code.name not in _LIMITS or denial.limit is None or denial.actual is None or query_hash is None:
            return
        # Count each caller once, and hold no more than the store can take.
        caller = ctx.subject.tag  # a user, an IPv4 address, or the /48 of an IPv6 address
        if query_hash in self._in_force or len(self._waiting) >= _WAITING or not self._counts_for(caller, query_hash):
            return
        name = ctx.measured.name if ctx.measured is not None else None
        self._waiting[RefusedFor(query_hash, caller)] = AppDocument(
            query_hash, denial.code, denial.limit, denial.actual, (name or "")[:_NAME_CHARACTERS]
        )

    async def tick(self) -> None:
        """Count the noted refusals in the store, and publish documents that were found. Called twice a second; never
        raises."""
        if not self._waiting and not self._untold:
            return
        try:
            await self._count()
            await self._publish()
        except StoreError:
            pass  # the store has counted it; the next tick tries again
        except Exception as error:  # noqa: BLE001 - what is found out in the background must not stop it
            self._observer.fault("app_documents", error)

    async def _count(self) -> None:
        noted = dict(self._waiting)
        reached = await self._store.refused_documents.note(tuple(noted))
        for refused, document in noted.items():
            del self._waiting[refused]
            if refused.document in reached:
                self._untold[refused.document] = document

    async def _publish(self) -> None:
        for query_hash, document in list(self._untold.items()):
            if len(self._in_force.keys() | {query_hash}) <= MOST_IN_FORCE:
                await self._store.overrides.put(_written(document))
                self._observer.app_document(document)
            del self._untold[query_hash]

    def _counts_for(self, caller: str, query_hash: str) -> bool:
        """Whether to count this caller for the document: not counted in this half window, nor for too many others."""
        now = self._clock()
        # Start a new half window for a caller when the last one is over.
        since, documents = self._noted.get(caller) or (now, set())
        if now - since >= WINDOW_SECONDS / 2:  # half: a caller who goes on being refused never drops out
            since, documents = now, set()
        self._noted.put(caller, (since, documents))
        if query_hash in documents or len(documents) >= MOST_A_CALLER:
            return False
        documents.add(query_hash)
        return True


def _written(document: AppDocument) -> Override:
    facts = [document.code.name, document.limit, document.actual, document.operation]
    value = orjson.dumps(facts).decode()
    return Override(
        OverrideKind.APP_DOCUMENT, document.query_hash, KEPT_SECONDS, "several callers are refused", "", value
    )


def _read(entry: Override) -> AppDocument | None:
    """The document of an entry; None if another version of the guard wrote it in a form that this one cannot read."""
    try:
        code, limit, actual, operation = orjson.loads(entry.value)
        return AppDocument(entry.key, _LIMITS[code], float(limit), float(actual), str(operation)[:_NAME_CHARACTERS])
    except (ValueError, TypeError, LookupError):
        return None

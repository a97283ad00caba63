"""Documents of the app's own: what several callers are refused for is a page, not an attack.

An app that is deployed with a page over a limit has every visitor send the same document. Each of them would collect
offences, and be blocked for what the app does. So all workers count in the store which callers were refused for which
document; one that enough of them were refused for is told to all workers, and from then on brings no offence. It is
refused all the same, and costs its callers what it did before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import orjson

from fraiseql_guard.core import signals as s
from fraiseql_guard.core.context import AppDocument, Denial, RequestContext
from fraiseql_guard.core.lru import Lru
from fraiseql_guard.core.signals import Code
from fraiseql_guard.stores.overrides import Override, OverrideKind, Overrides
from fraiseql_guard.stores.protocol import Store, StoreError
from fraiseql_guard.stores.refused_documents import WINDOW_SECONDS, RefusedFor

KEPT_SECONDS: Final = 86_400.0
"""A document is the app's own for so long: one that is still refused afterwards is found, and told, anew."""
MOST_IN_FORCE: Final = 50
"""Documents of the app's own at a time."""
MOST_A_CALLER: Final = 5
"""Documents for which one caller counts in half a window: a few attackers do not fill the list with theirs."""
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
"""Refusals that an app may bring about: what a document asks for is more than a setting allows."""


class AppDocumentObserver(Protocol):
    """Hears of the app's own documents."""

    def app_document(self, document: AppDocument) -> None:
        """One was found, by this worker: told once in the whole fleet."""
        ...

    def app_documents(self, documents: Mapping[str, AppDocument]) -> None:
        """All that are in force now, by their hash."""
        ...

    def fault(self, part: str, error: BaseException) -> None:
        """Something of ours broke."""
        ...


class AppDocuments:
    """Notes refusals in memory, counts them in the store from a background task, and knows what all workers found.

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
        """A request is refused, or would be."""
        query_hash = ctx.query_hash
        if denial.code.name not in _LIMITS or denial.limit is None or denial.actual is None or query_hash is None:
            return
        caller = ctx.subject.tag  # a user, an IPv4 address, or the /48 of an IPv6 address
        if query_hash in self._in_force or len(self._waiting) >= _WAITING or not self._room(caller, query_hash):
            return
        name = ctx.measured.name if ctx.measured is not None else None
        self._waiting[RefusedFor(query_hash, caller)] = AppDocument(
            query_hash, denial.code, denial.limit, denial.actual, (name or "")[:_NAME_CHARACTERS]
        )

    async def tick(self) -> None:
        """To be called twice a second: asks the store nothing where nothing was noted. Never raises."""
        if not self._waiting and not self._untold:
            return
        try:
            await self._count()
            await self._tell()
        except StoreError:
            pass  # counted by the store; the next tick tries again
        except Exception as error:  # noqa: BLE001 - what is found out in the background must not stop it
            self._observer.fault("app_documents", error)

    async def _count(self) -> None:
        noted = dict(self._waiting)
        reached = await self._store.refused_documents.note(tuple(noted))
        for refused, document in noted.items():
            del self._waiting[refused]
            if refused.document in reached:
                self._untold[refused.document] = document

    async def _tell(self) -> None:
        for query_hash, document in list(self._untold.items()):
            if len(self._in_force.keys() | {query_hash}) <= MOST_IN_FORCE:
                await self._store.overrides.put(_written(document))
                self._observer.app_document(document)
            del self._untold[query_hash]

    def _room(self, caller: str, query_hash: str) -> bool:
        """Whether the caller counts for this document, and has not just done so."""
        now = self._clock()
        since, documents = self._noted.get(caller) or (now, set())
        if now - since >= WINDOW_SECONDS / 2:  # so that who goes on being refused never drops out of the window
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
    """None for what another version of ours may have said."""
    try:
        code, limit, actual, operation = orjson.loads(entry.value)
        return AppDocument(entry.key, _LIMITS[code], float(limit), float(actual), str(operation)[:_NAME_CHARACTERS])
    except (ValueError, TypeError, LookupError):
        return None

"""Keeps a process's copy of the fleet's trusted documents fresh."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from fraiseql_guard.core.loop_task import LoopTask
from fraiseql_guard.stores.documents import DocumentIndex, DocumentStore, Listed, TrustedDocument, batches, digest_of
from fraiseql_guard.stores.protocol import StoreError

POLL_SECONDS: Final = 0.5
BATCH_BYTES: Final = 128 * 1024
"""Most bytes of texts in one exchange: few enough to arrive within its deadline."""

_LOOK_AGAIN_SECONDS: Final = 0.02
_UNKNOWN_VERSION: Final = -1


class DocumentsWatch:
    """Polls a store's trusted documents, in a task of its own: reading many of them delays no block or switch.

    ``on_change`` gets all documents by id each time that a new set was read completely. While the store does not
    answer, has lost its documents, or lacks some of their texts, the last complete set stays in force. ``on_problem``
    gets a sentence about documents that are lost or texts that are missing, once each.
    """

    def __init__(
        self,
        store: DocumentStore,
        *,
        on_change: Callable[[Mapping[str, TrustedDocument]], None],
        on_problem: Callable[[str], None],
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._store = store
        self._on_change = on_change
        self._on_problem = on_problem
        self._poll_seconds = poll_seconds
        self._wanted = DocumentIndex(_UNKNOWN_VERSION)
        self._in_force = _UNKNOWN_VERSION
        self._documents_in_force = 0
        self._texts: dict[str, str] = {}  # by digest: what was read stays read when an exchange fails
        self._torn = self._told = _UNKNOWN_VERSION
        self._known = False
        self._polling = LoopTask(self._poll)
        self.ensure_polling: Callable[[], object] = self._polling.ensure_running
        """Poll in the running event loop from now on."""
        self.aclose = self._polling.aclose
        """Stop polling in the running event loop."""

    async def wait_until_known(self, seconds: float) -> None:
        """Return once the documents were read for the first time, or after so many seconds at the latest."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._known:  # noqa: ASYNC110 - an event belongs to one event loop, and any loop may read
                    await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def refresh(self) -> None:
        """Read the index now if it has changed, and the texts that are missing. Never raises StoreError: the store
        counts its own failures."""
        with suppress(StoreError):
            index = await self._store.index(self._wanted.version)
            # The wanted set is remembered even if its texts do not arrive: the next look goes on reading.
            if index is not None:
                self._wanted = index
            if self._wanted.version != self._in_force and not self._lost():
                await self._read()

    def _lost(self) -> bool:
        """Whether the store has lost the documents that are in force here: it has version 0, as if it never had any. A
        set that was never complete is in force nowhere."""
        if self._wanted.version != 0 or not self._documents_in_force:
            return False
        self._in_force = 0  # looked at, so that it is said once, and not taken over
        self._on_problem(
            f"the store has lost its trusted documents: the last known {self._documents_in_force} stay in force in "
            "this process, and one that starts has none. Add them again, all at once"
        )
        return True

    async def _read(self) -> None:
        """Read the texts that are new; put the set in force if it is complete."""
        index = self._wanted
        # By digest: a text that a document had before under another id is not read again.
        await self._read_texts(self._missing(index))
        if missing := self._missing(index):
            self._tell_torn([each.id for each in missing])
            return
        # Complete: drop the texts of documents that are gone, and hand the set over.
        self._texts = {each.digest: self._texts[each.digest] for each in index.entries}
        documents = {each.id: self._document(each) for each in index.entries}
        self._in_force, self._told = index.version, _UNKNOWN_VERSION
        self._documents_in_force = len(documents)
        self._on_change(documents)
        self._known = True

    def _missing(self, index: DocumentIndex) -> list[Listed]:
        return [each for each in index.entries if each.digest not in self._texts]

    def _document(self, entry: Listed) -> TrustedDocument:
        return TrustedDocument(entry.id, self._texts[entry.digest], entry.name, entry.type)

    async def _read_texts(self, entries: Sequence[Listed]) -> None:
        """Read the texts of these entries, one batch in each exchange. A text that does not match its digest is left
        out."""
        for batch in batches(entries, BATCH_BYTES):
            found = await self._store.texts([each.id for each in batch])
            for entry, text in zip(batch, found, strict=True):
                if text is not None and digest_of(text) == entry.digest:
                    self._texts[entry.digest] = text

    def _tell_torn(self, missing: list[str]) -> None:
        """Report missing texts, if they are missing for the second time: at the first look they may just have
        changed."""
        version = self._wanted.version
        torn, self._torn = self._torn, version
        if version != torn or version == self._told:
            return
        self._told = version
        self._on_problem(
            f"the store has not the texts of {len(missing)} trusted documents ({missing[0][:64]}, ...): the last known "
            "set stays in force. Does its Redis evict keys? Add the documents again"
        )

    async def _poll(self) -> None:
        while True:
            await self.refresh()
            await asyncio.sleep(self._poll_seconds)

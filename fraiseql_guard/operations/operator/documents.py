"""Trusted documents of the whole fleet, and the text behind a log line's query_hash."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from fraiseql_guard.core import signals
from fraiseql_guard.core.settings import name_of
from fraiseql_guard.graphql.documents.manifests import document_of, parse_manifest
from fraiseql_guard.operations.operator.deps import OperatorDeps, store_answering
from fraiseql_guard.operations.operator.interface import (
    ConflictError,
    Document,
    Done,
    NotAppliedError,
    NotFoundError,
    OperatorError,
)
from fraiseql_guard.stores.documents import (
    MAX_DOCUMENT_BYTES,
    MAX_DOCUMENTS,
    MAX_DOCUMENTS_BYTES,
    DocumentIndex,
    Listed,
    TrustedDocument,
    digest_of,
    listed,
)
from fraiseql_guard.stores.protocol import StoreError

QUERY_HASH: Final = r"[0-9a-f]{12,64}"
"""A query_hash, or its beginning: at least 12 digits."""
STORE, FILE, PROCESS = "store", "file", "process"
"""Where a document comes from: the fleet's store, the manifest of this host, the memory of this process."""
_LONGEST_ID: Final = 256
AUDITED: Final = 20
"""Documents that one line of the audit names at most."""
_UNKNOWN_VERSION: Final = -1

Remembered = Callable[[], Iterable[tuple[str, str]]]
"""Returns the SHA-256 (hexadecimal) and the text of every document that a process remembers."""


class Documents:
    """The operator's methods about documents. ``remembered`` are those of this process; None outside of a guard."""

    def __init__(self, deps: OperatorDeps, remembered: Remembered | None) -> None:
        self._deps = deps
        self._remembered = remembered

    async def documents(self) -> Sequence[Document]:
        """Operator.documents."""
        filed = [document_shown(listed(each), FILE) for each in self._filed().values()]
        with store_answering():
            index = await self._index()
        return sorted([*filed, *(document_shown(each, STORE) for each in index.entries)], key=lambda each: each.id)

    async def trust(self, documents: Sequence[Document], *, actor: str = "") -> Done:
        """Operator.trust."""
        # All documents are checked before the first one is added.
        wanted = [_checked(each) for each in documents]
        filed: Mapping[str, TrustedDocument] = {}
        with suppress(NotAppliedError):  # a manifest that cannot be read contradicts nothing
            filed = self._filed()
        for each in wanted:
            if each.id in filed and filed[each.id].text != each.text:
                raise ConflictError(
                    f"the manifest {self._deps.settings.trusted_documents_file} has another text under the id "
                    f"{each.id[:64]}, and it would hold: nothing was added",
                    field="id",
                )
        with store_answering():
            # One call adds all of them, or none.
            adding = await self._deps.store.documents.add(wanted)
        if adding.conflict is not None:
            raise ConflictError(
                f"the id {adding.conflict[:64]} stands for another text: nothing was added. Remove that document "
                "first, or give this one another id",
                field="id",
            )
        if adding.full:
            raise ConflictError(
                f"there is no room: the store takes {MAX_DOCUMENTS} documents and {MAX_DOCUMENTS_BYTES} bytes of text. "
                "Nothing was added. Remove documents that no client uses any more",
                field="text",
            )
        # The audit names the first ones, so that its line stays short.
        ids = [each.id for each in wanted]
        fields = {"documents": ids[:AUDITED], "count": len(ids), "added": adding.changed}
        await self._deps.record(signals.ADMIN_TRUST, actor, fields)
        counted = "1 document is" if len(ids) == 1 else f"{len(ids)} documents are"
        return Done(
            message=f"{counted} trusted {self._where()}.{self._cross_site_simple()}",
            changed=adding.changed > 0,
            affected=adding.changed,
            details={"ids": ids},
        )

    async def distrust(self, id_: str, *, actor: str = "") -> Done:
        """Operator.distrust."""
        with store_answering():
            removed = await self._deps.store.documents.remove([id_])
        still = ""
        with suppress(NotAppliedError):
            if id_ in self._filed():
                path = self._deps.settings.trusted_documents_file
                still = f"The manifest {path} has it, and so it is trusted there: remove it from that file"
        if not removed:
            raise NotFoundError(f"the store has no document {id_[:64]}. {still}".rstrip(". "), field="id")
        await self._deps.record(signals.ADMIN_DISTRUST, actor, {"document": id_})
        more = f" {still}." if still else ""
        return Done(message=f"{id_} is no longer trusted {self._where()}.{more}", affected=removed)

    async def document(self, query_hash: str) -> Document:
        """Operator.document."""
        prefix = str(query_hash).lower()
        if not re.fullmatch(QUERY_HASH, prefix):
            raise OperatorError(
                f"{prefix[:80]!r} is no query_hash: 64 hexadecimal digits, or at least the first 12", field="query_hash"
            )
        # Of the three sources, the manifest wins over the store, and both over what this process remembers.
        found = self._found_in_memory(prefix)
        answers = True
        try:
            found |= await self._found_in_store(prefix)
        except StoreError:
            answers = False
        found |= self._found_in_file(prefix)
        if len(found) > 1:
            raise OperatorError(
                f"{len(found)} documents have a query_hash that begins with {prefix}: {', '.join(sorted(found)[:5])}. "
                "Give more of it",
                field="query_hash",
            )
        for each in found.values():
            return each
        raise NotFoundError(self._unknown(prefix, answers=answers), field="query_hash")

    def _found_in_file(self, prefix: str) -> dict[str, Document]:
        """The manifest's documents whose query_hash begins so, by it; none if the manifest cannot be read."""
        found: dict[str, Document] = {}
        with suppress(NotAppliedError):
            for each in self._filed().values():
                entry = listed(each)
                if entry.digest.startswith(prefix):
                    found[entry.digest] = document_shown(entry, FILE, each.text)
        return found

    def _found_in_memory(self, prefix: str) -> dict[str, Document]:
        """The documents that this process remembers and whose query_hash begins so, by it."""
        remembered = self._remembered() if self._remembered is not None else ()
        return {
            digest: document_shown(listed(TrustedDocument(digest, text)), PROCESS, text)
            for digest, text in remembered
            if digest.startswith(prefix)
        }

    async def _found_in_store(self, prefix: str) -> dict[str, Document]:
        """The store's documents whose query_hash begins so, by it. StoreError if the store does not answer."""
        entries = [each for each in (await self._index()).entries if each.digest.startswith(prefix)]
        texts = await self._deps.store.documents.texts([each.id for each in entries])
        return {
            each.digest: document_shown(each, STORE, text)
            for each, text in zip(entries, texts, strict=True)
            if text is not None
        }

    def _unknown(self, prefix: str, *, answers: bool) -> str:
        """A sentence that says where the text was looked for, and how it can be found."""
        path = self._deps.settings.trusted_documents_file
        places = [f"the manifest {path}"] if path is not None else []
        places += ["the store's trusted documents" + ("" if answers else " (it does not answer)")]
        if self._remembered is not None:
            places += ["what this worker has let pass since its start and still remembers"]
        helps = (
            "A worker that has let it pass remembers it: --url https://HOST/admin. "
            if self._remembered is None
            else "Another worker may remember it. "
        )
        return (
            f"nobody knows the text of query_hash {prefix}: looked in {', '.join(places)}. {helps}The text of what is "
            f"refused is logged with {name_of('log_query_text')}=true"
        )

    def _where(self) -> str:
        shared = self._deps.settings.redis_url is not None
        return "by all workers, within a second" if shared else "by this process, as long as it lives"

    def _cross_site_simple(self) -> str:
        """A sentence about this worker, if it does not ask for trusted documents; what others do is not known."""
        if self._remembered is None or self._deps.settings.trusted_documents != "off":
            return ""
        return f" {name_of('trusted_documents')} is off in this worker, so that it does not ask for them."

    async def _index(self) -> DocumentIndex:
        return await self._deps.store.documents.index(_UNKNOWN_VERSION) or DocumentIndex()

    def _filed(self) -> Mapping[str, TrustedDocument]:
        """The documents of this host's manifest; NotAppliedError if it cannot be read."""
        path = self._deps.settings.trusted_documents_file
        if path is None:
            return {}
        try:
            return parse_manifest(path.read_bytes()).documents
        except (OSError, ValueError) as error:
            raise NotAppliedError(f"the manifest {path} cannot be read: {error}") from None


def _checked(document: Document) -> TrustedDocument:
    """A document that can be trusted, with its id; OperatorError that names what is wrong with it."""
    # Without an id, clients send the hash of the text.
    id_, text = document.id or digest_of(document.text), document.text
    shown = repr(id_[:64])
    if len(id_) > _LONGEST_ID or not id_.isprintable():
        raise OperatorError(f"id={shown} is not 1 to {_LONGEST_ID} printable characters", field="id")
    size = len(text.encode(errors="replace"))
    if size > MAX_DOCUMENT_BYTES:
        raise OperatorError(f"document {shown} has {size} bytes, and {MAX_DOCUMENT_BYTES} are accepted", field="text")
    try:
        # The name and type of the first operation, where none are given.
        known = document_of(text)
    except ValueError as error:
        raise OperatorError(f"document {shown}: {error}", field="text") from None
    return TrustedDocument(id_, text, document.name or known.name, document.type or known.type)


def document_shown(entry: Listed, source: str, text: str = "") -> Document:
    """A trusted document as operators see it."""
    return Document(
        id=entry.id,
        name=entry.name,
        type=entry.type,
        query_hash=entry.digest,
        size_bytes=entry.size_bytes,
        source=source,
        text=text,
    )

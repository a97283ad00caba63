"""Trusted documents that the whole fleet shares: the protocol of their sub-store, and the sub-store in memory.

They are not kept among the overrides, which every process reads whole: a process asks for their version, then for the
index alone, and then for the texts that it lacks. Each process reads each text once.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Protocol, TypeVar

T = TypeVar("T")

MAX_DOCUMENTS: Final = 5_000
"""Most trusted documents in a store."""
MAX_DOCUMENTS_BYTES: Final = 8 * 1024 * 1024
"""Most bytes of all texts of the documents in a store together (UTF-8)."""
MAX_DOCUMENT_BYTES: Final = 256 * 1024
"""Most bytes of one text."""
KEPT_SECONDS: Final = 365 * 86_400
"""How long trusted documents are kept after a worker last read the index: documents in use never expire."""


@dataclass(frozen=True, slots=True)
class TrustedDocument:
    """A document that clients may name by its id. ``name`` and ``type`` (query, mutation, subscription) describe its
    operation; "" where they are not known."""

    id: str
    text: str
    name: str = ""
    type: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry of the index: a document without its text."""

    id: str
    digest: str  # hex SHA-256 of its text
    size_bytes: int
    name: str = ""
    type: str = ""


@dataclass(frozen=True, slots=True)
class DocumentIndex:
    """All documents at one version. Version 0 means that the store was never given any, or has lost them; a store that
    an operator has emptied has a later version."""

    version: int = 0
    entries: tuple[Listed, ...] = ()


@dataclass(frozen=True, slots=True)
class Adding:
    """The outcome of adding documents: all of them are in force, or none was added.

    ``conflict`` is an id that stands for another text already; ``full`` says that there is no room. Otherwise both are
    unset, and ``changed`` is the number of documents that are new, or have another name or type.
    """

    changed: int = 0
    conflict: str | None = None
    full: bool = False


class DocumentStore(Protocol):
    """The trusted documents of the fleet. Every method may raise StoreError."""

    async def index(self, known_version: int) -> DocumentIndex | None:
        """The index, or None if it still has the known version."""
        ...

    async def texts(self, ids: Sequence[str]) -> Sequence[str | None]:
        """The texts of the documents with these ids, in their order; None for an id that the store does not have."""
        ...

    async def add(self, documents: Sequence[TrustedDocument]) -> Adding:
        """Trust documents, all or none. A text never changes under its id."""
        ...

    async def remove(self, ids: Sequence[str]) -> int:
        """Stop trusting documents; return how many of the ids the store had."""
        ...


def digest_of(text: str) -> str:
    """The hex SHA-256 of a document's text: its query hash, and its id unless it has another."""
    return sha256(text.encode(errors="replace")).hexdigest()


def listed(document: TrustedDocument) -> Listed:
    """The entry of the index for a document."""
    size_bytes = len(document.text.encode(errors="replace"))
    return Listed(document.id, digest_of(document.text), size_bytes, document.name, document.type)


def batches(entries: Iterable[Listed], size_bytes: int) -> Iterable[Sequence[Listed]]:
    """Entries in groups for one exchange each: the texts of a group have ``size_bytes`` together at most, unless a
    single text is larger."""
    group: list[Listed] = []
    size = 0
    for entry in entries:
        # A text that is larger than a batch is a batch of its own.
        if group and size + entry.size_bytes > size_bytes:
            yield group
            group, size = [], 0
        group.append(entry)
        size += entry.size_bytes
    if group:
        yield group


class MemoryDocuments:
    """DocumentStore in the memory of a process."""

    def __init__(self) -> None:
        self._version = 0
        self._documents: Mapping[str, TrustedDocument] = {}
        self._entries: Mapping[str, Listed] = {}

    async def index(self, known_version: int) -> DocumentIndex | None:
        """DocumentStore.index."""
        if known_version == self._version:
            return None
        return DocumentIndex(self._version, tuple(self._entries.values()))

    async def texts(self, ids: Sequence[str]) -> Sequence[str | None]:
        """DocumentStore.texts."""
        found = (self._documents.get(id_) for id_ in ids)
        return [None if document is None else document.text for document in found]

    async def add(self, documents: Sequence[TrustedDocument]) -> Adding:
        """DocumentStore.add."""
        # All or none: the new index takes the place of the old one only at the end.
        index, changed = dict(self._entries), 0
        for entry in map(listed, documents):
            held = index.get(entry.id, entry)
            # An id that stands for another text: nothing is added.
            if held.digest != entry.digest:
                return Adding(conflict=entry.id)
            # True counts as 1: it is new, or has another name or type.
            changed += index.get(entry.id) != entry
            index[entry.id] = entry
        if len(index) > MAX_DOCUMENTS or sum(entry.size_bytes for entry in index.values()) > MAX_DOCUMENTS_BYTES:
            return Adding(full=True)
        if changed:
            self._entries = index
            # New mappings, so that a reader between two awaits has an old set or a new one.
            self._documents = {**self._documents, **{each.id: each for each in documents}}
            self._version += 1
        return Adding(changed)

    async def remove(self, ids: Sequence[str]) -> int:
        """DocumentStore.remove."""
        gone = self._documents.keys() & set(ids)
        if gone:
            self._documents, self._entries = _without(self._documents, gone), _without(self._entries, gone)
            self._version += 1
        return len(gone)


def _without(held: Mapping[str, T], gone: Container[str]) -> Mapping[str, T]:
    return {id_: each for id_, each in held.items() if id_ not in gone}

"""The trusted documents of a process: those of a manifest in a file, and those of the fleet in the store."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

from fraiseql_guard.core.lru import Lru
from fraiseql_guard.core.settings import name_of
from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.core.watched_file import WatchedFile, cause_of
from fraiseql_guard.graphql.documents.manifests import parse_manifest
from fraiseql_guard.graphql.documents.normal_form import normal_form, token_bound
from fraiseql_guard.stores.documents import TrustedDocument

_NAMED: Final = 5
_HASH: Final = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.ASCII | re.IGNORECASE)
_MOST_LOOKED_UP: Final = 1_000
_MOST_LOOKED_UP_BYTES: Final = 4 * 1024 * 1024
_BYTES_PER_CHARACTER: Final = 4

Documents = Mapping[str, TrustedDocument]


def _manifest(path: Path, clock: Callable[[], float], on_problem: Callable[[str], None]) -> WatchedFile[Documents]:
    """Watch the manifest in a file. SettingsError if it cannot be used at the start; later ``on_problem`` is told."""

    def failed(cause: str, is_new: bool) -> None:
        # The file is looked at every few seconds: a cause that stays is told once.
        if is_new:
            on_problem(f"{path} cannot be used, the last good manifest stays in force: {cause}")

    try:
        return WatchedFile(path, _documents, clock=clock, on_failure=failed)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{name_of('trusted_documents_file')}={str(path)!r} cannot be used: {cause_of(error)}. Accepted: "
            "a manifest of Relay or Apollo, as fraiseql-guard documents add writes it"
        ) from None


def _documents(content: bytes) -> Documents:
    return parse_manifest(content).documents


class TrustedDocuments:
    """The union of the documents in the file and in the store. If they have different texts under one id, that of the
    file holds and ``on_problem`` is told: a file is deployed with its app, and access to the store must not suffice to
    replace its documents.

    ``awaits_store``: there is a store, whose documents are unknown until the first call of :meth:`take`. ``clock``
    counts seconds.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        awaits_store: bool = False,
        clock: Callable[[], float] = time.monotonic,
        on_problem: Callable[[str], None],
    ) -> None:
        self._manifest = _manifest(path, clock, on_problem) if path is not None else None
        self._on_problem = on_problem
        self._stored: Documents = {}
        self._by_id: Documents = {}
        self._by_hash: Mapping[str, str | None] = {}  # texts whose id is a hash; None where two ids are the same hash
        self._texts: Mapping[bytes, str] = {}  # by SHA-256
        # By text: the digest of its normal form, and at most how many tokens it has.
        self._forms: Mapping[str, tuple[bytes, int]] = {}
        self._by_normal_form: Mapping[bytes, str] = {}
        self._max_tokens = 0
        # The trusted text for other texts, empty if there is none: clients that print documents anew repeat them.
        self._looked_up: Lru[str, str] = Lru(_MOST_LOOKED_UP, max_bytes=_MOST_LOOKED_UP_BYTES)
        self._contradicting: frozenset[str] = frozenset()
        self.known = not awaits_store
        """Whether the documents of all sources are known, so that any other document is untrusted."""
        self._unite()

    def text(self, document_id: str) -> str | None:
        """The text of the document with this id, or None. A SHA-256 may be given with or without ``sha256:`` before
        it."""
        self._reload_manifest()
        document = self._by_id.get(document_id)
        if document is not None:
            return document.text
        # GraphQL over HTTP writes sha256: before the hash, Relay and Apollo write the bare hash.
        bare = _HASH.fullmatch(document_id)
        return self._by_hash.get(bare[1].lower()) if bare else None

    def same(self, text: str) -> str | None:
        """The trusted text that equals a text except for white space, commas, comments and the order of definitions;
        None if there is none."""
        self._reload_manifest()
        # First the exact text, then the cache of texts that were looked up, then the normal form.
        if text in self._forms:
            return text
        found = self._looked_up.get(text)
        if found is None:
            form = normal_form(text, max_tokens=self._max_tokens)
            # An empty text stands for "not trusted", which is cached as well.
            found = self._by_normal_form.get(_digest_of(form), "") if form is not None else ""
            self._looked_up.put_sized(text, found, _BYTES_PER_CHARACTER * len(text))
        return found or None

    @property
    def size_bytes(self) -> int:
        """Bytes of the cache of texts that were looked up, without the documents."""
        return self._looked_up.size_bytes

    def forget(self) -> None:
        """Empty the cache of texts that were looked up."""
        self._looked_up.clear()

    def texts(self) -> Iterator[tuple[str, str]]:
        """Hex SHA-256 and text of every document."""
        self._reload_manifest()
        return ((digest.hex(), text) for digest, text in self._texts.items())

    def take(self, documents: Documents) -> None:
        """Take over the documents that the store holds now, in place of those before."""
        self._stored, self.known = documents, True
        self._unite()

    def _reload_manifest(self) -> None:
        if self._manifest is not None and self._manifest.changed():
            self._unite()

    def _unite(self) -> None:
        """Build the tables of all documents anew, after a source has changed."""
        filed = self._manifest.value if self._manifest is not None else {}
        # The file wins over the store, as the right side of the merge.
        by_id = {**self._stored, **filed}
        self._texts = self._by_digest(dict.fromkeys(each.text for each in by_id.values()))
        self._by_id = by_id
        self._by_hash = _by_hash(by_id)
        # Documents that stay keep their normal form, which is the dearest part.
        self._forms = {text: self._forms.get(text) or _form_of(text) for text in self._texts.values()}
        self._by_normal_form = {digest: text for text, (digest, _) in self._forms.items() if digest}
        self._max_tokens = max((tokens for _, tokens in self._forms.values()), default=0)
        # A text may have become trusted, or ceased to be.
        self._looked_up.clear()
        self._warn_of(_contradicting(filed, self._stored))

    def _by_digest(self, texts: Iterable[str]) -> Mapping[bytes, str]:
        """Texts by their SHA-256, which is computed only for new texts."""
        known = {text: digest for digest, text in self._texts.items()}
        # A text that cannot be encoded must not keep the others from being taken over.
        return {known.get(text) or sha256(text.encode(errors="replace")).digest(): text for text in texts}

    def _warn_of(self, contradicting: set[str]) -> None:
        """Tell ``on_problem`` of the ids with two texts, unless they are those that it was told last."""
        if contradicting and contradicting != self._contradicting:
            named = ", ".join(id_[:64] for id_ in sorted(contradicting)[:_NAMED])
            more = f" and {len(contradicting) - _NAMED} more" if len(contradicting) > _NAMED else ""
            self._on_problem(
                f"the store has other texts than the manifest for the trusted documents {named}{more}: the manifest's "
                "hold here. Remove them from one of the two"
            )
        self._contradicting = frozenset(contradicting)


def _contradicting(filed: Documents, stored: Documents) -> set[str]:
    """The ids under which the two sources have different texts."""
    shared = filed.keys() & stored.keys()
    return {id_ for id_ in shared if filed[id_].text != stored[id_].text}


def _by_hash(documents: Documents) -> Mapping[str, str | None]:
    """The texts of documents whose id is a hash, by the bare hash; None if two texts have the same hash as id."""
    found: dict[str, str | None] = {}
    for document in documents.values():
        if bare := _HASH.fullmatch(document.id):
            digest = bare[1].lower()
            found[digest] = document.text if found.get(digest, document.text) == document.text else None
    return found


def _digest_of(form: str) -> bytes:
    return sha256(form.encode()).digest()


def _form_of(text: str) -> tuple[bytes, int]:
    form = normal_form(text)
    return (_digest_of(form), token_bound(form)) if form is not None else (b"", 0)

"""Persisted queries: documents that a request names and does not carry. Trusted ones come from a manifest, others are
registered by clients (APQ).

Sources: Relay's and Apollo's manifests; Apollo's protocol of automatic persisted queries, version 1.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from fraiseql_guard.core import signals
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.settings import Settings, name_of
from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.graphql.denials import malformed
from fraiseql_guard.graphql.http.envelope import GENERAL_NAME, Envelope
from fraiseql_guard.stores.documents import TrustedDocument

if TYPE_CHECKING:
    from fraiseql_guard.graphql.documents.registrations import Registrations
    from fraiseql_guard.graphql.documents.trusted import TrustedDocuments

_FOUND_BY_PROTOCOL: Final = 200
"""Status with which Apollo's clients expect PersistedQueryNotFound: with another they stop sending hashes."""
_ONE_VERSION: Final = "persistedQuery must be of version 1 and carry a sha256Hash."
_UNAVAILABLE: Final = Denial(signals.DOCUMENTS_UNAVAILABLE, retry_after_seconds=1.0)

_STATIC_LIMITS: Final = (
    "max_query_depth", "max_aliases", "max_root_fields", "max_duplicate_keys", "max_directives", "max_operations",
    "max_fragments", "max_tokens", "max_query_chars", "max_literal_depth", "introspection_max_list_depth",
)  # fmt: skip
_READABLE: Final = 1_000_000
"""What is left of a static limit: even a trusted document must be one that can be measured."""


def without_static_limits(settings: Settings) -> Settings:
    """Settings for trusted documents: their text is an operator's choice, their variables are a caller's."""
    limits: dict[str, Any] = dict.fromkeys(_STATIC_LIMITS, _READABLE)
    return replace(
        settings, **limits, introspection="allow", unsliced_lists="assume", trusted_documents="off", apq=False
    )


@dataclass(frozen=True, slots=True)
class Resolved:
    """A request with its document's text.

    ``named``: the app has to be given the text. ``registers``: the hash under which the text is registered if it
    passes.
    """

    envelope: Envelope
    trusted: bool = False
    named: bool = False
    registers: str | None = None


class PersistedQueries:
    """Puts the text into requests that name their document, and says which documents are trusted."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float], on_problem: Callable[[str], None]) -> None:
        _check_settings(settings)
        self.required: Final = settings.trusted_documents == "require"
        self._trusted: TrustedDocuments | None = None
        self._registered: Registrations | None = None
        if settings.trusted_documents != "off":
            from fraiseql_guard.graphql.documents.trusted import TrustedDocuments

            self._trusted = TrustedDocuments(
                settings.trusted_documents_file,
                awaits_store=settings.redis_url is not None,
                clock=clock,
                on_problem=on_problem,
            )
        if settings.apq:
            from fraiseql_guard.graphql.documents.registrations import Registrations

            self._registered = Registrations(clock=clock)

    @property
    def size_bytes(self) -> int:
        """Bytes of the texts that clients have registered or given; the manifest is no cache."""
        parts = (self._registered, self._trusted)
        return sum(part.size_bytes for part in parts if part is not None)

    def forget(self) -> None:
        """Forget which texts are trusted documents. What is registered stays."""
        if self._trusted is not None:
            self._trusted.forget()

    def resolve(self, envelope: Envelope, caller: Hashable) -> Resolved | Denial:
        """The request with its text, or why it has none."""
        persisted = envelope.extensions.get("persistedQuery")
        digest = _hash_of(persisted)
        # A hash in a form that is not known could mean another document to the host.
        if persisted is not None and digest is None:
            return Denial(signals.PERSISTED_QUERY_NOT_SUPPORTED, detail=_ONE_VERSION)
        if envelope.query is not None:
            return self._with_text(envelope, envelope.query, digest)
        return self._by_name(envelope, digest, caller)

    def _by_name(self, envelope: Envelope, digest: str | None, caller: Hashable) -> Resolved | Denial:
        """A request that carries no text: its hash, or else the id that it gives, names one."""
        # A hash wins over an id: it cannot name two texts.
        document_id = envelope.document[1] if envelope.document else ""
        # Trusted documents first: a registration must not stand in for one.
        if self._trusted is not None and (text := self._trusted.text(digest or document_id)) is not None:
            return Resolved(_with(envelope, text), trusted=True, named=True)
        if digest is not None and self._registered is not None:
            return self._registered_by(envelope, digest, caller, self._registered)
        return _UNAVAILABLE if self._unsure() else Denial(signals.PERSISTED_QUERY_NOT_FOUND)

    @staticmethod
    def _registered_by(
        envelope: Envelope, digest: str, caller: Hashable, registered: Registrations
    ) -> Resolved | Denial:
        """Apollo's clients ask by hash alone; when it is not found, they send the text with it."""
        text = registered.find(digest, caller)
        if text is None:
            return Denial(signals.PERSISTED_QUERY_NOT_FOUND, answered_status=_FOUND_BY_PROTOCOL)
        return Resolved(_with(envelope, text), named=True)

    def _with_text(self, envelope: Envelope, text: str, digest: str | None) -> Resolved | Denial:
        # A wrong hash could poison the host's own cache of persisted queries for other users.
        if digest is not None and digest != sha256(text.encode()).hexdigest():
            return malformed("The hash is not that of the document.")
        same = self._trusted.same(text) if self._trusted is not None else None
        # A client that also names the document may mean another by that name: the app gets the text alone.
        renamed = envelope.document is not None and envelope.document[0] != GENERAL_NAME
        if same is None:
            registers = digest if self._registered is not None else None
            return Resolved(envelope, named=renamed, registers=registers)
        if same != text:  # the app gets what is trusted, to the letter
            return Resolved(_with(envelope, same), trusted=True, named=True)
        return Resolved(envelope, trusted=True, named=renamed)

    def untrusted(self) -> Denial:
        """Why a document that is not trusted is refused where only trusted ones pass."""
        return _UNAVAILABLE if self._unsure() else Denial(signals.NOT_TRUSTED)

    def take(self, documents: Mapping[str, TrustedDocument]) -> None:
        """Take over the trusted documents that the store holds now."""
        if self._trusted is not None:
            self._trusted.take(documents)

    def texts(self) -> Iterator[tuple[str, str]]:
        """Hex SHA-256 and text of every document, trusted or registered."""
        if self._trusted is not None:
            yield from self._trusted.texts()
        if self._registered is not None:
            yield from self._registered.texts()

    def _unsure(self) -> bool:
        """Whether a document may be one of the store's, which this process has not seen yet."""
        # Before the store's first answer the name may be one of its own. With APQ the client sends the text instead.
        return self._trusted is not None and not self._trusted.known and self._registered is None

    def register(self, digest: str, text: str, caller: Hashable) -> None:
        """Remember a document that passed."""
        if self._registered is not None:
            self._registered.register(digest, text, caller)


def persisted_queries(
    settings: Settings, *, clock: Callable[[], float] = time.monotonic, on_problem: Callable[[str], None]
) -> PersistedQueries | None:
    """What the settings ask for; None if documents always come with their text."""
    if settings.apq or settings.trusted_documents != "off":
        return PersistedQueries(settings, clock=clock, on_problem=on_problem)
    return None


def _check_settings(settings: Settings) -> None:
    """SettingsError if the settings ask for what cannot be."""
    trusted = settings.trusted_documents
    if trusted != "off" and settings.trusted_documents_file is None and settings.redis_url is None:
        raise SettingsError(
            f"{name_of('trusted_documents')}={trusted!r} needs the documents. Accepted: "
            f"{name_of('trusted_documents_file')}=persisted-queries.json, or {name_of('redis_url')} for those that "
            "fraiseql-guard documents add puts into the store"
        )
    if trusted == "require" and settings.apq:
        raise SettingsError(
            f"{name_of('apq')}='true' and {name_of('trusted_documents')}='require' contradict each other: "
            "clients cannot register what is not trusted. Remove one of them"
        )


def _with(envelope: Envelope, text: str) -> Envelope:
    """The envelope with another text, and without a hash that is not the text's."""
    extensions = envelope.extensions
    digest = _hash_of(extensions.get("persistedQuery"))
    if digest != sha256(text.encode()).hexdigest():  # a manifest may name its documents as it likes
        extensions = {key: value for key, value in extensions.items() if key != "persistedQuery"}
    return replace(envelope, query=text, extensions=extensions)


def _hash_of(persisted: Any) -> str | None:
    """The hash in extensions.persistedQuery, if it is of the one version that there is."""
    if not isinstance(persisted, dict) or persisted.get("version", 1) != 1:
        return None
    digest = persisted.get("sha256Hash")
    return digest if isinstance(digest, str) and digest else None

"""Persisted queries: documents that a request names instead of carrying them. Trusted documents come from a manifest or
the store; clients register others (APQ).

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
"""The status of PersistedQueryNotFound in Apollo's protocol. With another, its clients stop sending hashes."""
_ONE_VERSION: Final = "persistedQuery must be of version 1 and carry a sha256Hash."
_UNAVAILABLE: Final = Denial(signals.DOCUMENTS_UNAVAILABLE, retry_after_seconds=1.0)

_STATIC_LIMITS: Final = (
    "max_query_depth", "max_aliases", "max_root_fields", "max_duplicate_keys", "max_directives", "max_operations",
    "max_fragments", "max_tokens", "max_query_chars", "max_literal_depth", "introspection_max_list_depth",
)  # fmt: skip
_READABLE: Final = 1_000_000
"""The value of every static limit for trusted documents, which still bounds the work to measure them."""


def without_static_limits(settings: Settings) -> Settings:
    """Settings for trusted documents, without the limits on a document's text, which the operator has chosen. Limits
    that depend on variables stay, since these are the caller's."""
    limits: dict[str, Any] = dict.fromkeys(_STATIC_LIMITS, _READABLE)
    return replace(
        settings, **limits, introspection="allow", unsliced_lists="assume", trusted_documents="off", apq=False
    )


@dataclass(frozen=True, slots=True)
class Resolved:
    """A request with the text of its document.

    ``named``: the request must be rewritten to carry the text. ``registers``: the hash under which the text is
    registered if the request passes; None if it is not registered.
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
        """Bytes of the registered texts, and of the cache of texts that were looked up; without the manifest."""
        parts = (self._registered, self._trusted)
        return sum(part.size_bytes for part in parts if part is not None)

    def forget(self) -> None:
        """Empty the cache of texts that were looked up. Trusted and registered documents stay."""
        if self._trusted is not None:
            self._trusted.forget()

    def resolve(self, envelope: Envelope, caller: Hashable) -> Resolved | Denial:
        """Find the text of a request's document; a Denial if it is not found, or its hash is wrong."""
        persisted = envelope.extensions.get("persistedQuery")
        digest = _hash_of(persisted)
        # A hash in a form that is not known could mean another document to the host.
        if persisted is not None and digest is None:
            return Denial(signals.PERSISTED_QUERY_NOT_SUPPORTED, detail=_ONE_VERSION)
        if envelope.query is not None:
            return self._with_text(envelope, envelope.query, digest)
        return self._by_name(envelope, digest, caller)

    def _by_name(self, envelope: Envelope, digest: str | None, caller: Hashable) -> Resolved | Denial:
        """Find the document of a request without a text, by its hash, else by its id."""
        # A hash wins over an id: it cannot name two texts.
        document_id = envelope.document[1] if envelope.document else ""
        # Trusted documents first: a registration must not stand in for one.
        if self._trusted is not None and (text := self._trusted.text(digest or document_id)) is not None:
            return Resolved(_with(envelope, text), trusted=True, named=True)
        if digest is not None and self._registered is not None:
            return self._registered_by(envelope, digest, caller, self._registered)
        return _UNAVAILABLE if self._may_be_in_store() else Denial(signals.PERSISTED_QUERY_NOT_FOUND)

    @staticmethod
    def _registered_by(
        envelope: Envelope, digest: str, caller: Hashable, registered: Registrations
    ) -> Resolved | Denial:
        """Find a registered document. Apollo's clients send the text as well when the hash was not found."""
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
        if same != text:  # the app gets exactly the trusted text
            return Resolved(_with(envelope, same), trusted=True, named=True)
        return Resolved(envelope, trusted=True, named=renamed)

    def untrusted(self) -> Denial:
        """The refusal of an untrusted document where only trusted ones pass."""
        return _UNAVAILABLE if self._may_be_in_store() else Denial(signals.NOT_TRUSTED)

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

    def _may_be_in_store(self) -> bool:
        """Whether an unknown document may be a trusted one in the store, which has not answered this process yet."""
        # With APQ the client sends the text after the refusal.
        return self._trusted is not None and not self._trusted.known and self._registered is None

    def register(self, digest: str, text: str, caller: Hashable) -> None:
        """Register a document of a request that passed, if the settings allow it."""
        if self._registered is not None:
            self._registered.register(digest, text, caller)


def persisted_queries(
    settings: Settings, *, clock: Callable[[], float] = time.monotonic, on_problem: Callable[[str], None]
) -> PersistedQueries | None:
    """The persisted queries of the settings; None if the settings have none."""
    if settings.apq or settings.trusted_documents != "off":
        return PersistedQueries(settings, clock=clock, on_problem=on_problem)
    return None


def _check_settings(settings: Settings) -> None:
    """Raise SettingsError if trusted documents have no source, or the settings contradict each other."""
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
    """The envelope with this text, and without persistedQuery unless its hash is that of the text."""
    extensions = envelope.extensions
    digest = _hash_of(extensions.get("persistedQuery"))
    if digest != sha256(text.encode()).hexdigest():  # a manifest may name its documents as it likes
        extensions = {key: value for key, value in extensions.items() if key != "persistedQuery"}
    return replace(envelope, query=text, extensions=extensions)


def _hash_of(persisted: Any) -> str | None:
    """The hash in extensions.persistedQuery; None if there is none, or its version is not 1."""
    if not isinstance(persisted, dict) or persisted.get("version", 1) != 1:
        return None
    digest = persisted.get("sha256Hash")
    return digest if isinstance(digest, str) and digest else None

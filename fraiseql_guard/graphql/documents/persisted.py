"""Documents that a request names instead of carrying them: trusted ones from a manifest, and registered ones (APQ).

Sources: Relay's and Apollo's manifests; Apollo's protocol of automatic persisted queries, version 1.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final

from fraiseql_guard.core import signals
from fraiseql_guard.core.context import Denial
from fraiseql_guard.core.settings import Settings, SettingsError, name_of
from fraiseql_guard.graphql.denials import malformed
from fraiseql_guard.graphql.documents.registrations import Registrations
from fraiseql_guard.graphql.documents.trusted import TrustedDocuments
from fraiseql_guard.graphql.http.envelope import GENERAL_NAME, Envelope
from fraiseql_guard.stores.documents import TrustedDocument

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
    """A request with its document's text. ``named``: the app has to be told the text; ``registers``: its hash."""

    envelope: Envelope
    trusted: bool = False
    named: bool = False
    registers: str | None = None


class PersistedQueries:
    """Puts the text into requests that name their document, and says which documents are trusted."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float], on_problem: Callable[[str], None]) -> None:
        path, shared = settings.trusted_documents_file, settings.redis_url is not None
        self.required: Final = settings.trusted_documents == "require"
        trusts = settings.trusted_documents != "off"
        if trusts and path is None and not shared:
            raise SettingsError(
                f"{name_of('trusted_documents')}={settings.trusted_documents!r} needs the documents. Accepted: "
                f"{name_of('trusted_documents_file')}=persisted-queries.json, or {name_of('redis_url')} for those that "
                "fraiseql-guard documents add puts into the store"
            )
        if self.required and settings.apq:
            raise SettingsError(
                f"{name_of('apq')}='true' and {name_of('trusted_documents')}='require' contradict each other: "
                "clients cannot register what is not trusted. Remove one of them"
            )
        self._trusted = (
            TrustedDocuments(path, awaits_store=shared, clock=clock, on_problem=on_problem) if trusts else None
        )
        self._registered = Registrations(clock=clock) if settings.apq else None

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
        if persisted is not None and digest is None:
            return Denial(signals.PERSISTED_QUERY_NOT_SUPPORTED, detail=_ONE_VERSION)
        if envelope.query is not None:
            return self._with_text(envelope, envelope.query, digest)
        name = digest or (envelope.document[1] if envelope.document else "")
        text = self._trusted.text(name) if self._trusted else None
        trusted = text is not None
        if text is None and digest and self._registered is not None:
            text = self._registered.find(digest, caller)
        if text is None and self._unsure():
            return _UNAVAILABLE
        if text is None:
            protocol = _FOUND_BY_PROTOCOL if digest and self._registered is not None else None
            return Denial(signals.PERSISTED_QUERY_NOT_FOUND, answered_status=protocol)
        return Resolved(_with(envelope, text), trusted=trusted, named=True)

    def _with_text(self, envelope: Envelope, text: str, digest: str | None) -> Resolved | Denial:
        if digest is not None and digest != sha256(text.encode()).hexdigest():
            return malformed("The hash is not that of the document.")
        same = self._trusted.same(text) if self._trusted is not None else None
        # Who has a name of their own for the document might mean another by it: the app gets the text alone.
        renamed = envelope.document is not None and envelope.document[0] != GENERAL_NAME
        if same is not None and same != text:  # the app gets what is trusted, to the letter
            return Resolved(_with(envelope, same), trusted=True, named=True)
        registers = digest if self._registered is not None and same is None else None
        return Resolved(envelope, trusted=same is not None, named=renamed, registers=registers)

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

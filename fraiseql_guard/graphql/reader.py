"""Reads a GraphQL request: from its bytes to its numbers, or its refusal."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.rule_candidates import Candidates
from fraiseql_guard.core.rule_table import RuleTable
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.graphql.analyzer import Analyzer, RequestAnalysis
from fraiseql_guard.graphql.batch_analysis import join_batch
from fraiseql_guard.graphql.cost.schema_table import SchemaSource, SchemaTable
from fraiseql_guard.graphql.documents.persisted import (
    PersistedQueries,
    Resolved,
    persisted_queries,
    without_static_limits,
)
from fraiseql_guard.graphql.http.envelope import Envelope, EnvelopeReader, UnreadableEnvelope
from fraiseql_guard.graphql.http.media_types import JSON, is_form
from fraiseql_guard.graphql.http.rewriting import rewrite_body, rewrite_query_string
from fraiseql_guard.graphql.request_cache import LONGEST, RequestCache, SentRequest
from fraiseql_guard.stores.documents import digest_of


class Reader:
    """Reads GraphQL requests. Frozen after construction, except for its bounded caches of documents and requests.

    ``schema`` makes the costs exact: a GraphQLSchema, an object that holds one (a strawberry.Schema), SDL text, the
    path of an SDL file, or a callable that returns a GraphQLSchema (called here, once). SettingsError if it cannot be
    read. ``persisted`` carries persisted queries over a change of the settings; with None they are made of the
    settings. ``rules`` may have limits of their own.
    """

    __slots__ = ("_analyzer", "_envelopes", "_persisted", "_requests", "_rules", "_settings", "_trusted")

    def __init__(
        self,
        settings: Settings,
        schema: SchemaSource | SchemaTable | None = None,
        *,
        remembered_documents: int = 1000,
        remembered_bytes: int = 32 * 1024 * 1024,
        remembered_requests: int = 1000,
        clock: Callable[[], float] = time.monotonic,
        on_problem: Callable[[str], None] = lambda _: None,
        persisted: PersistedQueries | None = None,
        rules: RuleTable | None = None,
    ) -> None:
        self._settings = settings
        self._rules = rules
        table = _table_of(schema)
        bounds: dict[str, Any] = {"remembered_documents": remembered_documents, "remembered_bytes": remembered_bytes}
        self._envelopes = EnvelopeReader(settings)
        self._analyzer = Analyzer(settings, table, **bounds, rules=rules)
        self._persisted = persisted or persisted_queries(settings, clock=clock, on_problem=on_problem)
        self._trusted: Analyzer | None = None
        if settings.trusted_documents != "off":
            # An analyzer of its own, since it measures the same text with other limits; none of them are rules'.
            self._trusted = Analyzer(without_static_limits(settings), table, **bounds)
        # No cache with persisted queries: an analysis depends on those that are known then, and may register one.
        self._requests = RequestCache(max_entries=remembered_requests) if self._persisted is None else None

    @property
    def size_bytes(self) -> int:
        """Estimated bytes of the caches of documents and requests, and of the texts that clients have registered."""
        parts = (self._analyzer, self._trusted, self._persisted, self._requests)
        return sum(part.size_bytes for part in parts if part is not None)

    @property
    def remembered_requests(self) -> int:
        """Number of whole requests that are cached."""
        return 0 if self._requests is None else len(self._requests)

    def texts(self) -> Iterator[tuple[str, str]]:
        """Hex SHA-256 and text of every document that is remembered, trusted or registered."""
        for part in (self._analyzer, self._trusted, self._persisted):
            if part is not None:
                yield from part.texts()
        yield from self._texts_of_requests()

    def _texts_of_requests(self) -> Iterator[tuple[str, str]]:
        """Hash and text of documents that only the cache of requests still holds, and the analyzer does not."""
        told = {digest for digest, _ in self._analyzer.texts()}
        for sent, analysis in self._requests.items() if self._requests is not None else ():
            # The analyzer knows most documents. Only requests with others are read again.
            if told.issuperset(analysis.hashes):
                continue
            told.update(analysis.hashes)
            for envelope in self._envelopes_of(sent):
                if envelope.query:
                    yield digest_of(envelope.query), envelope.query

    def _envelopes_of(self, sent: SentRequest) -> tuple[Envelope, ...]:
        """The envelopes of a cached request."""
        method, content_type, query_string, body, *_ = sent
        envelopes = self._envelopes.read(method, content_type, query_string, body)
        return envelopes if isinstance(envelopes, tuple) else ()

    def forget(self) -> None:
        """Empty the caches. Trusted and registered documents stay."""
        for part in (self._analyzer, self._trusted, self._requests, self._persisted):
            if part is not None:
                part.forget()

    def read(
        self,
        method: str,
        content_type: str,
        query_string: bytes,
        body: bytes,
        *,
        authenticated: bool,
        caller: Hashable = None,
        candidates: Candidates | None = None,
    ) -> RequestAnalysis:
        """Measure a request. Never raises, whatever the bytes. A document is registered in the name of ``caller``.
        ``candidates`` are the rules that may apply by the request's head; None without rules."""
        sent = method, content_type, query_string, body, authenticated, candidates
        # Only bytes are cached: a server may pass a buffer that it changes later.
        requests = self._requests if type(body) is type(query_string) is bytes and len(body) <= LONGEST else None
        # 1. A request that came before, byte for byte.
        if requests is not None and (known := requests.find(sent)):
            return known
        # 2. An upload: only the part with the operations is analyzed, and it is never remembered.
        if self._settings.multipart and method == "POST" and is_form(content_type):
            return self._read_form(
                content_type, query_string, body, caller, authenticated=authenticated, candidates=candidates
            )
        # 3. Anything else.
        analysis = self._read(
            method, content_type, query_string, body, caller, authenticated=authenticated, candidates=candidates
        )
        if requests is not None:
            requests.note(sent, analysis)
        return analysis

    def _read_form(
        self,
        content_type: str,
        query_string: bytes,
        body: bytes,
        caller: Hashable,
        *,
        authenticated: bool,
        candidates: Candidates | None,
    ) -> RequestAnalysis:
        from fraiseql_guard.graphql.http.multipart import read_form  # with the first upload

        # Only the part with the operations is analyzed, and rewritten if need be; other parts stay as they are.
        form = read_form(content_type, body, self._settings.max_body_bytes)
        if isinstance(form, Denial):
            return RequestAnalysis(None, form)
        where = form.operations
        analysis = self._read(
            "POST", JSON, query_string, body[where], caller, authenticated=authenticated, candidates=candidates
        )
        if analysis.rewritten is None:
            return analysis
        return replace(analysis, rewritten=body[: where.start] + analysis.rewritten + body[where.stop :])

    def _read(
        self,
        method: str,
        content_type: str,
        query_string: bytes,
        body: bytes,
        caller: Hashable,
        *,
        authenticated: bool,
        candidates: Candidates | None,
    ) -> RequestAnalysis:
        envelopes = self._envelopes.read(method, content_type, query_string, body)
        if not isinstance(envelopes, tuple):
            return _unread(envelopes)
        # HEAD is measured as GET: a host may run the query to answer it.
        by_get = method != "POST"
        # Without persisted queries each envelope carries its document.
        if self._persisted is None:
            analyses = [
                self._analyzer.analyze(item, by_get=by_get, authenticated=authenticated, candidates=candidates)
                for item in envelopes
            ]
            return self._joined(analyses, envelopes, candidates)
        # Otherwise find the documents of all envelopes, then analyze them in the order of the request.
        found = [self._persisted.resolve(item, caller) for item in envelopes]
        analyses = [
            self._analyze_resolved(
                item, envelope, caller, by_get=by_get, authenticated=authenticated, candidates=candidates
            )
            for envelope, item in zip(envelopes, found, strict=True)
        ]
        read = [_envelope_of(*pair) for pair in zip(found, envelopes, strict=True)]
        analysis = self._joined(analyses, read, candidates)
        named = _envelopes_to_rewrite(found)
        if not named:
            return analysis
        # The app gets the texts in place of their names, under which it might find others.
        return replace(analysis, rewritten=_rewritten(query_string, body, named, by_get=by_get))

    def _analyze_resolved(
        self,
        found: Resolved | Denial,
        envelope: Envelope,
        caller: Hashable,
        *,
        by_get: bool,
        authenticated: bool,
        candidates: Candidates | None,
    ) -> RequestAnalysis:
        """Analyze an envelope for which the persisted queries have found a document, or a denial (``found``). Trusted
        documents are analyzed without the static limits; where they are required, others are refused."""
        if isinstance(found, Denial):
            return RequestAnalysis(None, found, hashes=_hashes_of(envelope.query))
        analyzer = self._trusted if found.trusted and self._trusted else self._analyzer
        analysis = analyzer.analyze(found.envelope, by_get=by_get, authenticated=authenticated, candidates=candidates)
        if self._persisted is None:
            return analysis
        # An untrusted document is measured before it is refused, so that the log tells operators what to add.
        if self._persisted.required and not found.trusted:
            untrusted = self._persisted.untrusted()
            return RequestAnalysis(analysis.measured, untrusted, hashes=analysis.hashes, rule=analysis.rule)
        # Only what passed is registered: a refused text would take room, and be refused by its hash again.
        if found.registers and found.envelope.query and analysis.denial is None:
            self._persisted.register(found.registers, found.envelope.query, caller)
        return analysis

    def _joined(
        self, analyses: list[RequestAnalysis], envelopes: Sequence[Envelope], candidates: Candidates | None
    ) -> RequestAnalysis:
        """Join the analyses of a request's operations into one. Refused ones get their text, if log lines carry it."""
        if self._settings.log_query_text:
            analyses = [_with_text(*pair) for pair in zip(analyses, envelopes, strict=True)]
        return analyses[0] if len(analyses) == 1 else join_batch(analyses, self._settings, self._rules, candidates)


def _unread(found: UnreadableEnvelope | Denial) -> RequestAnalysis:
    if isinstance(found, Denial):
        return RequestAnalysis(None, found)
    return RequestAnalysis(None, found.denial, hashes=_hashes_of(found.query))


def _hashes_of(query: str | None) -> tuple[str, ...]:
    return () if query is None else (digest_of(query),)


def _envelope_of(found: Resolved | Denial, envelope: Envelope) -> Envelope:
    """The envelope with the text of its document if that was found, else the envelope as it was sent."""
    return found.envelope if isinstance(found, Resolved) else envelope


def _envelopes_to_rewrite(found: Sequence[Resolved | Denial]) -> list[Envelope | None]:
    """For each envelope that named its document the envelope with the text, None for each that carried the text.

    Empty if nothing has to be rewritten: all envelopes carried their texts, or one is refused.
    """
    named: list[Envelope | None] = []
    for item in found:
        if isinstance(item, Denial):
            # One refusal refuses the request, so that there is nothing to hand on.
            return []
        named.append(item.envelope if item.named else None)
    return named if any(named) else []


def _table_of(schema: SchemaSource | SchemaTable | None) -> SchemaTable | None:
    if schema is None or isinstance(schema, SchemaTable):
        return schema
    from fraiseql_guard.graphql.cost.schema import load_schema  # with a schema alone: it loads graphql-core

    return load_schema(schema)


def _rewritten(query_string: bytes, body: bytes, named: Sequence[Envelope | None], *, by_get: bool) -> bytes:
    if by_get and named[0]:
        return rewrite_query_string(query_string, named[0])
    return rewrite_body(body, named)


def _with_text(analysis: RequestAnalysis, envelope: Envelope) -> RequestAnalysis:
    """The analysis with the text of its document if it has a denial, enforced or monitored; else as it is."""
    return replace(analysis, text=envelope.query) if analysis.denial or analysis.noted else analysis

"""From the bytes of a request to what it asks for, or why it is refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace

from fraiseql_guard.core import signals
from fraiseql_guard.core.context import Denial, Measured
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.graphql.cost.analyzed_document import gravest
from fraiseql_guard.graphql.cost.list_sizes import MOST
from fraiseql_guard.graphql.cost.measurer import MeasuredDocument, Measurer
from fraiseql_guard.graphql.cost.schema import SchemaSource, SchemaTable, load_schema
from fraiseql_guard.graphql.documents.persisted import (
    PersistedQueries,
    Resolved,
    persisted_queries,
    without_static_limits,
)
from fraiseql_guard.graphql.http.envelope import Envelope, EnvelopeReader, UnreadableEnvelope
from fraiseql_guard.graphql.http.media_types import JSON
from fraiseql_guard.graphql.http.multipart import is_form, read_form
from fraiseql_guard.graphql.http.requests import LONGEST, RequestCache
from fraiseql_guard.graphql.http.rewriting import rewrite_body, rewrite_query_string
from fraiseql_guard.graphql.refusals import malformed, over
from fraiseql_guard.stores.documents import digest_of


class Reader:
    """Reads GraphQL requests. Frozen after construction, except for its bounded memories of documents and requests.

    ``schema`` makes the costs exact: a GraphQLSchema, SDL text, the path of an SDL file, or a callable that returns a
    GraphQLSchema (called here, once). SettingsError if it cannot be read. ``persisted`` outlives a change of the
    settings; without it the settings say what there is.
    """

    __slots__ = ("_envelopes", "_measurer", "_persisted", "_requests", "_settings", "_trusted")

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
    ) -> None:
        self._settings = settings
        table = schema if isinstance(schema, SchemaTable) else load_schema(schema)
        bounds = {"remembered_documents": remembered_documents, "remembered_bytes": remembered_bytes}
        self._envelopes = EnvelopeReader(settings)
        self._measurer = Measurer(settings, table, **bounds)
        self._persisted = persisted or persisted_queries(settings, clock=clock, on_problem=on_problem)
        self._trusted = (
            Measurer(without_static_limits(settings), table, **bounds) if settings.trusted_documents != "off" else None
        )
        # Where documents can be named or registered, a reading depends on which are there, and may register one.
        self._requests = RequestCache(max_entries=remembered_requests) if self._persisted is None else None

    @property
    def size_bytes(self) -> int:
        """What is remembered: what documents and requests cost, and the texts that clients have registered."""
        parts = (self._measurer, self._trusted, self._persisted, self._requests)
        return sum(part.size_bytes for part in parts if part is not None)

    @property
    def remembered_requests(self) -> int:
        """How many whole requests are remembered."""
        return 0 if self._requests is None else len(self._requests)

    def texts(self) -> Iterator[tuple[str, str]]:
        """Hex SHA-256 and text of every document that is remembered, trusted or registered."""
        for part in (self._measurer, self._trusted, self._persisted):
            if part is not None:
                yield from part.texts()
        yield from self._texts_of_requests()

    def _texts_of_requests(self) -> Iterator[tuple[str, str]]:
        """Documents that were forgotten because those who ask for them are answered without looking at them."""
        told = {digest for digest, _ in self._measurer.texts()}
        for (method, content_type, query_string, body, _), reading in self._requests.items() if self._requests else ():
            if told.issuperset(reading.hashes):
                continue
            told.update(reading.hashes)
            envelopes = self._envelopes.read(method, content_type, query_string, body)
            texts = [item.query for item in envelopes if item.query] if isinstance(envelopes, tuple) else []
            yield from ((digest_of(text), text) for text in texts)

    def forget(self) -> None:
        """Forget what was measured. Trusted and registered documents stay: they are no cache."""
        for part in (self._measurer, self._trusted, self._requests, self._persisted):
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
    ) -> MeasuredDocument:
        """Measure a request. Never raises, whatever the bytes. ``caller`` is whose the registered documents are."""
        sent = method, content_type, query_string, body, authenticated
        # A server may hand on buffers of its own, which change.
        requests = self._requests if type(body) is type(query_string) is bytes and len(body) <= LONGEST else None
        if requests is not None and (known := requests.find(sent)):
            return known
        if self._settings.multipart and method == "POST" and is_form(content_type):
            return self._read_form(content_type, query_string, body, caller, authenticated=authenticated)
        reading = self._read(method, content_type, query_string, body, caller, authenticated=authenticated)
        if requests is not None:
            requests.note(sent, reading)
        return reading

    def _read_form(
        self, content_type: str, query_string: bytes, body: bytes, caller: Hashable, *, authenticated: bool
    ) -> MeasuredDocument:
        form = read_form(content_type, body, self._settings.max_body_bytes)
        if isinstance(form, Denial):
            return MeasuredDocument(None, form)
        where = form.operations
        reading = self._read("POST", JSON, query_string, body[where], caller, authenticated=authenticated)
        if reading.rewritten is None:
            return reading
        return replace(reading, rewritten=body[: where.start] + reading.rewritten + body[where.stop :])

    def _read(
        self,
        method: str,
        content_type: str,
        query_string: bytes,
        body: bytes,
        caller: Hashable,
        *,
        authenticated: bool,
    ) -> MeasuredDocument:
        envelopes = self._envelopes.read(method, content_type, query_string, body)
        if not isinstance(envelopes, tuple):
            return _unread(envelopes)
        by_get = method != "POST"
        if self._persisted is None:
            readings = [self._measurer.measure(item, by_get=by_get, authenticated=authenticated) for item in envelopes]
            return self._joined(readings, envelopes)
        found = [self._persisted.resolve(item, caller) for item in envelopes]
        readings = [
            MeasuredDocument(None, item, hashes=() if envelope.query is None else (digest_of(envelope.query),))
            if isinstance(item, Denial)
            else self._read_resolved(item, caller, by_get=by_get, authenticated=authenticated)
            for envelope, item in zip(envelopes, found, strict=True)
        ]
        resolved = [item.envelope if isinstance(item, Resolved) else envelopes[n] for n, item in enumerate(found)]
        reading = self._joined(readings, resolved)
        known = [item for item in found if isinstance(item, Resolved)]
        if len(known) < len(found) or not any(item.named for item in known):
            return reading
        texts = [item.envelope if item.named else None for item in known]
        rewritten = rewrite_query_string(query_string, texts[0]) if by_get and texts[0] else rewrite_body(body, texts)
        return replace(reading, rewritten=rewritten)

    def _read_resolved(
        self, found: Resolved, caller: Hashable, *, by_get: bool, authenticated: bool
    ) -> MeasuredDocument:
        """Trusted documents are read without the static limits; if they are required, no other passes."""
        measurer = self._trusted if found.trusted and self._trusted else self._measurer
        reading = measurer.measure(found.envelope, by_get=by_get, authenticated=authenticated)
        if self._persisted is not None and self._persisted.required and not found.trusted:
            return MeasuredDocument(reading.measured, self._persisted.untrusted(), hashes=reading.hashes)
        if self._persisted is not None and found.registers and found.envelope.query and reading.denial is None:
            self._persisted.register(found.registers, found.envelope.query, caller)
        return reading

    def _joined(self, readings: list[MeasuredDocument], envelopes: Sequence[Envelope]) -> MeasuredDocument:
        """One for the request; with the texts of what is refused, if log lines are to carry them."""
        if self._settings.log_query_text:
            readings = [
                replace(reading, text=envelope.query) if reading.denial or reading.noted else reading
                for reading, envelope in zip(readings, envelopes, strict=True)
            ]
        return readings[0] if len(readings) == 1 else self._together(readings)

    def _together(self, readings: Sequence[MeasuredDocument]) -> MeasuredDocument:
        """A batch: costs add up, everything else is that of the worst element."""
        denial = next((item.denial for item in readings if item.denial), None)
        parts = [item.measured for item in readings if item.measured]
        text = next((item.text for item in readings if item.text), None)
        hashes = tuple([digest for item in readings for digest in item.hashes])
        if not parts:
            return MeasuredDocument(None, denial or malformed("The batch is empty."), hashes=hashes, text=text)
        measured = _sum(parts, unmeasured=len(readings) - len(parts))
        noted = next((item.noted for item in readings if item.noted), None)
        limit = self._settings.max_query_complexity
        if denial is None and measured.complexity > limit:
            if "max_query_complexity" in self._settings.monitor_limits:
                noted = over(signals.QUERY_TOO_COMPLEX, limit, measured.complexity)
            else:
                denial = over(signals.QUERY_TOO_COMPLEX, limit, measured.complexity, offends=True)
        return MeasuredDocument(measured, denial, noted=noted, hashes=hashes, text=text)


def _unread(found: UnreadableEnvelope | Denial) -> MeasuredDocument:
    if isinstance(found, Denial):
        return MeasuredDocument(None, found)
    return MeasuredDocument(None, found.denial, hashes=(digest_of(found.query),))


def _sum(parts: Sequence[Measured], *, unmeasured: int) -> Measured:
    return replace(
        parts[0],
        kind=gravest(part.kind for part in parts),
        name=None,
        root_fields=frozenset().union(*(part.root_fields for part in parts)),
        root_field_count=min(sum(part.root_field_count for part in parts), MOST),
        mutation_root_fields=sum(part.mutation_root_fields for part in parts),
        depth=max(part.depth for part in parts),
        complexity=min(sum(part.complexity for part in parts), MOST),
        list_size=max(part.list_size for part in parts),
        introspection=any(part.introspection for part in parts),
        near=tuple(dict.fromkeys(name for part in parts for name in part.near)),
        names=tuple(dict.fromkeys(name for part in parts for name in part.names)),
        unmeasured=unmeasured,
    )

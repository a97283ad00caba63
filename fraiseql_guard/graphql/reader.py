"""From the bytes of a request to what it asks for, or why it is refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from fraiseql_guard import signals
from fraiseql_guard.context import Denial, Measured
from fraiseql_guard.graphql.cost import CostRules
from fraiseql_guard.graphql.envelope import Envelope, EnvelopeReader
from fraiseql_guard.graphql.limits import Judge, Numbers
from fraiseql_guard.graphql.memory import Memory
from fraiseql_guard.graphql.persisted import PersistedQueries, Resolved, without_static_limits
from fraiseql_guard.graphql.prepared import Prepared, View, gravest, prepare
from fraiseql_guard.graphql.pricing import Prices
from fraiseql_guard.graphql.refusals import malformed, over
from fraiseql_guard.graphql.rewriting import rewrite_body, rewrite_query_string
from fraiseql_guard.graphql.scan import Scanner
from fraiseql_guard.graphql.schema import SchemaSource, SchemaTable, load_schema
from fraiseql_guard.graphql.sizes import MOST
from fraiseql_guard.graphql.values import Bindings
from fraiseql_guard.settings import Settings

_MAX_READINGS: Final = 2048
_BYTES_PER_READING: Final = 2048
_BYTES_PER_CHARACTER: Final = 60
_BYTES_PER_DOCUMENT: Final = 4096
"""What a remembered document takes, estimated on the safe side."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was measured and why it is refused; both if it is over a limit, so that the log can show the numbers.

    ``rewritten`` is what the app gets in place of the body (or a GET's query string) that only named its document.
    """

    measured: Measured | None
    denial: Denial | None
    rewritten: bytes | None = None


class Reader:
    """Reads GraphQL requests. Frozen after construction, except for its bounded memory of documents.

    ``schema`` makes the costs exact: a GraphQLSchema, SDL text, the path of an SDL file, or a callable that returns a
    GraphQLSchema (called here, once). SettingsError if it cannot be read.
    """

    __slots__ = (
        "_documents", "_envelopes", "_judge", "_persisted", "_readings", "_rules", "_scanner", "_settings", "_trusted",
    )  # fmt: skip

    def __init__(
        self,
        settings: Settings,
        schema: SchemaSource | SchemaTable | None = None,
        *,
        remembered_documents: int = 1000,
        remembered_bytes: int = 32 * 1024 * 1024,
        clock: Callable[[], float] = time.monotonic,
        on_problem: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        table = schema if isinstance(schema, SchemaTable) else load_schema(schema)
        self._rules = CostRules(settings, table)
        self._envelopes = EnvelopeReader(settings)
        self._scanner = Scanner(settings)
        self._judge = Judge(settings, self._scanner.max_nesting)
        self._documents: Memory[Prepared] = Memory(max_entries=remembered_documents, max_bytes=remembered_bytes)
        # What became of requests that cost the same: clients page through lists with a handful of sizes.
        self._readings: Memory[Reading] = Memory(
            max_entries=_MAX_READINGS, max_bytes=_MAX_READINGS * _BYTES_PER_READING
        )
        persists = settings.apq or settings.trusted_documents != "off"
        self._persisted = PersistedQueries(settings, clock=clock, on_problem=on_problem) if persists else None
        self._trusted = Reader(without_static_limits(settings), table) if settings.trusted_documents != "off" else None

    def read(
        self,
        method: str,
        content_type: str,
        query_string: bytes,
        body: bytes,
        *,
        authenticated: bool,
        caller: Hashable = None,
    ) -> Reading:
        """Measure a request. Never raises, whatever the bytes. ``caller`` is whose the registered documents are."""
        envelopes = self._envelopes.read(method, content_type, query_string, body)
        if isinstance(envelopes, Denial):
            return Reading(None, envelopes)
        by_get = method != "POST"
        if self._persisted is None:
            readings = [self._read_one(item, by_get=by_get, authenticated=authenticated) for item in envelopes]
            return readings[0] if len(readings) == 1 else self._together(readings)
        found = [self._persisted.resolve(item, caller) for item in envelopes]
        readings = [
            Reading(None, item)
            if isinstance(item, Denial)
            else self._read_resolved(item, caller, by_get=by_get, authenticated=authenticated)
            for item in found
        ]
        reading = readings[0] if len(readings) == 1 else self._together(readings)
        known = [item for item in found if isinstance(item, Resolved)]
        if len(known) < len(found) or not any(item.named for item in known):
            return reading
        texts = [item.envelope if item.named else None for item in known]
        rewritten = rewrite_query_string(query_string, texts[0]) if by_get and texts[0] else rewrite_body(body, texts)
        return replace(reading, rewritten=rewritten)

    def _read_resolved(self, found: Resolved, caller: Hashable, *, by_get: bool, authenticated: bool) -> Reading:
        """Trusted documents are read without the static limits; if they are required, no other passes."""
        reader = self._trusted if found.trusted and self._trusted else self
        reading = reader._read_one(found.envelope, by_get=by_get, authenticated=authenticated)  # noqa: SLF001 - our own
        if self._persisted is not None and self._persisted.required and not found.trusted:
            return Reading(reading.measured, Denial(signals.NOT_TRUSTED))
        if self._persisted is not None and found.registers and found.envelope.query and reading.denial is None:
            self._persisted.register(found.registers, found.envelope.query, caller)
        return reading

    def _read_one(self, envelope: Envelope, *, by_get: bool, authenticated: bool) -> Reading:
        text = envelope.query
        if text is None:
            return Reading(None, Denial(signals.PERSISTED_QUERY_NOT_SUPPORTED))
        if len(text) > self._settings.max_query_chars:
            return Reading(None, self._scanner.check(text))
        digest = sha256(text.encode())
        if (persisted := envelope.extensions.get("persistedQuery")) is not None and not (
            isinstance(persisted, dict) and persisted.get("sha256Hash") == digest.hexdigest()
        ):  # the host may store or look up something else under that hash
            return Reading(None, Denial(signals.PERSISTED_QUERY_NOT_SUPPORTED))
        key = digest.digest()
        remembered = self._documents.get(key)
        try:
            prepared = remembered or self._prepare(text)
            if isinstance(prepared, Denial):
                return Reading(None, prepared)
            reading = self._measure(prepared, envelope, digest.hexdigest(), by_get=by_get, authenticated=authenticated)
        except RecursionError:  # every recursion here is bounded, but the caller may stand deep in its own stack
            return Reading(None, Denial(signals.QUERY_TOO_DEEP))
        if remembered is None and reading.denial is None:  # what was refused pushes nothing out
            self._documents.put(key, prepared, _BYTES_PER_DOCUMENT + _BYTES_PER_CHARACTER * len(text))
        return reading

    def _prepare(self, text: str) -> Prepared | Denial:
        return self._scanner.check(text) or prepare(text, self._settings, self._rules)

    def _measure(
        self, prepared: Prepared, envelope: Envelope, query_hash: str, *, by_get: bool, authenticated: bool
    ) -> Reading:
        view = prepared.view(envelope.variables)
        if isinstance(view, Denial):
            return Reading(None, view)
        outcome = view.plan.outcome(envelope.variables)
        key = query_hash, view.positions, outcome, envelope.operation_name, by_get, authenticated
        if outcome is not None and (known := self._readings.get(key)):
            return known
        reading = self._judged(prepared, view, envelope, query_hash, by_get=by_get, authenticated=authenticated)
        if outcome is not None and reading.denial is None:
            self._readings.put(key, reading, _BYTES_PER_READING)
        return reading

    def _judged(
        self, prepared: Prepared, view: View, envelope: Envelope, query_hash: str, *, by_get: bool, authenticated: bool
    ) -> Reading:
        prices = view.plan.price(Bindings(envelope.variables, prepared.document.defaults))
        measured = _measured(prepared, view, prices, envelope.operation_name, query_hash)
        name = envelope.operation_name
        if by_get and prepared.kind == "mutation":
            return Reading(measured, Denial(signals.MUTATION_BY_GET, headers=((b"allow", b"POST"),)))
        if name not in prepared.names if name is not None else len(prepared.names) > 1:
            return Reading(measured, Denial(signals.OPERATION_NOT_FOUND))
        numbers = Numbers(prepared, view, prices)
        return Reading(measured, self._judge.decide(numbers, authenticated=authenticated))

    def _together(self, readings: Sequence[Reading]) -> Reading:
        """A batch: costs add up, everything else is that of the worst element."""
        denial = next((item.denial for item in readings if item.denial), None)
        parts = [item.measured for item in readings if item.measured]
        if not parts:
            return Reading(None, denial or malformed("The batch is empty."))
        measured = _sum(parts)
        limit = self._settings.max_query_complexity
        if denial is None and measured.complexity > limit:
            denial = over(signals.QUERY_TOO_COMPLEX, limit, measured.complexity, offends=True)
        return Reading(measured, denial)


def _measured(prepared: Prepared, view: View, prices: Prices, name: str | None, query_hash: str) -> Measured:
    if name is None and len(prepared.names) == 1:
        (name,) = prepared.names
    return Measured(
        kind=prepared.kind,
        name=name,
        root_fields=view.root_fields,
        mutation_root_fields=view.mutation_root_fields,
        depth=view.depth,
        complexity=prices.complexity,
        list_size=prices.list_size,
        query_hash=query_hash,
        introspection=prepared.outline.introspection >= 0,
    )


def _sum(parts: Sequence[Measured]) -> Measured:
    return replace(
        parts[0],
        kind=gravest(part.kind for part in parts),
        name=None,
        root_fields=tuple(name for part in parts for name in part.root_fields),
        mutation_root_fields=sum(part.mutation_root_fields for part in parts),
        depth=max(part.depth for part in parts),
        complexity=min(sum(part.complexity for part in parts), MOST),
        list_size=max(part.list_size for part in parts),
        query_hash=sha256("".join(part.query_hash for part in parts).encode()).hexdigest(),
        introspection=any(part.introspection for part in parts),
    )

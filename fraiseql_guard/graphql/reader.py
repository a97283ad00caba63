"""From the bytes of a request to what it asks for, or why it is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final, cast

from fraiseql_guard import signals
from fraiseql_guard.context import Denial, Measured
from fraiseql_guard.graphql.cost import CostRules
from fraiseql_guard.graphql.envelope import Envelope, EnvelopeReader
from fraiseql_guard.graphql.limits import Judge, Numbers
from fraiseql_guard.graphql.memory import Memory
from fraiseql_guard.graphql.prepared import Prepared, View, gravest, prepare
from fraiseql_guard.graphql.pricing import Prices
from fraiseql_guard.graphql.refusals import malformed, over
from fraiseql_guard.graphql.scan import Scanner
from fraiseql_guard.graphql.schema import SchemaSource, load_schema
from fraiseql_guard.graphql.sizes import MOST
from fraiseql_guard.graphql.values import Bindings
from fraiseql_guard.settings import Settings

_MAX_READINGS: Final = 32
_BYTES_PER_CHARACTER: Final = 60
_BYTES_PER_DOCUMENT: Final = 4096
"""What a remembered document takes, estimated on the safe side."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was measured and why it is refused; both if it is over a limit, so that the log can show the numbers."""

    measured: Measured | None
    denial: Denial | None


class Reader:
    """Reads GraphQL requests. Frozen after construction, except for its bounded memory of documents.

    ``schema`` makes the costs exact: a GraphQLSchema, SDL text, the path of an SDL file, or a callable that returns a
    GraphQLSchema (called here, once). SettingsError if it cannot be read.
    """

    __slots__ = ("_documents", "_envelopes", "_judge", "_rules", "_scanner", "_settings")

    def __init__(
        self,
        settings: Settings,
        schema: SchemaSource | None = None,
        *,
        remembered_documents: int = 1000,
        remembered_bytes: int = 32 * 1024 * 1024,
    ) -> None:
        self._settings = settings
        self._rules = CostRules(settings, load_schema(schema))
        self._envelopes = EnvelopeReader(settings)
        self._scanner = Scanner(settings)
        self._judge = Judge(settings, self._scanner.max_nesting)
        self._documents: Memory[Prepared] = Memory(max_entries=remembered_documents, max_bytes=remembered_bytes)

    def read(self, method: str, content_type: str, query_string: bytes, body: bytes, *, authenticated: bool) -> Reading:
        """Measure a request. Never raises, whatever the bytes."""
        envelopes = self._envelopes.read(method, content_type, query_string, body)
        if isinstance(envelopes, Denial):
            return Reading(None, envelopes)
        by_get = method != "POST"
        readings = [self._read_one(item, by_get=by_get, authenticated=authenticated) for item in envelopes]
        return readings[0] if len(readings) == 1 else self._together(readings)

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
        key = outcome, envelope.operation_name, by_get, authenticated
        if outcome is not None and (known := view.readings.get(key)):
            return cast("Reading", known)
        reading = self._judged(prepared, view, envelope, query_hash, by_get=by_get, authenticated=authenticated)
        if outcome is not None and envelope.operation_name in (None, *prepared.names):  # names are free to invent
            if len(view.readings) >= _MAX_READINGS:
                view.readings.clear()
            view.readings[key] = reading
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

"""What one document asks for with one request's variables, and which limit it exceeds."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final

from fraiseql_guard.core import signals
from fraiseql_guard.core.context import Denial, Measured
from fraiseql_guard.core.lru import Lru
from fraiseql_guard.core.settings import Settings, name_of
from fraiseql_guard.graphql.analyzed_document import AnalyzedDocument, DocumentVariant, analyze_document
from fraiseql_guard.graphql.cost.cost_plan import Prices
from fraiseql_guard.graphql.cost.cost_rules import CostRules
from fraiseql_guard.graphql.cost.schema import SchemaTable
from fraiseql_guard.graphql.document_limits import LimitChecker, Measurements
from fraiseql_guard.graphql.http.envelope import Envelope
from fraiseql_guard.graphql.syntax.prescan import Prescanner
from fraiseql_guard.graphql.syntax.values import MAX_COUNT, Bindings

_NO_APQ: Final = Denial(
    signals.PERSISTED_QUERY_NOT_SUPPORTED, detail=f"Send the document alone, or set {name_of('apq')}=true."
)
_NEAR: Final = 0.8
"""Part of a limit from which on a request is near it."""
_MAX_READINGS: Final = 2048
_BYTES_PER_READING: Final = 2048
_BYTES_PER_CHARACTER: Final = 60
_BYTES_PER_DOCUMENT: Final = 4096
"""What a remembered document takes, estimated on the safe side."""


@dataclass(frozen=True, slots=True)
class RequestAnalysis:
    """What was measured and why it is refused; both if it is over a limit, so that the log can show the numbers.

    ``rewritten`` is what the app gets in place of the body (or a GET's query string) that only named its document;
    ``noted`` is what a limit would refuse that is only watched; ``hashes`` are the hex SHA-256 of every text that was
    read, whether it could be measured or not; ``text`` is that of a refused one, if lines are to carry it.
    """

    measured: Measured | None
    denial: Denial | None
    rewritten: bytes | None = None
    noted: Denial | None = None
    hashes: tuple[str, ...] = ()
    text: str | None = None


class Analyzer:
    """Measures documents and compares them with the limits. Frozen, except for its bounded memories."""

    __slots__ = ("_documents", "_judge", "_limits", "_readings", "_rules", "_scanner", "_settings", "_watch")

    def __init__(
        self, settings: Settings, table: SchemaTable | None, *, remembered_documents: int, remembered_bytes: int
    ) -> None:
        watched: dict[str, Any] = dict.fromkeys(settings.monitor_limits, MAX_COUNT)
        self._settings = replace(settings, **watched) if watched else settings
        self._rules = CostRules(settings, table)
        self._scanner = Prescanner(self._settings)
        self._judge = LimitChecker(self._settings, self._scanner.max_nesting)
        self._limits = LimitChecker(settings, self._scanner.max_nesting)
        self._watch = self._limits if watched else None
        # By their text, which is compared in full; with their hash, which costs more than to find them.
        self._documents: Lru[str, tuple[AnalyzedDocument, str]] = Lru(remembered_documents, max_bytes=remembered_bytes)
        # What became of requests that cost the same: clients page through lists with a handful of sizes.
        self._readings: Lru[Hashable, RequestAnalysis] = Lru(_MAX_READINGS)

    @property
    def size_bytes(self) -> int:
        """What is remembered, as estimated when it was."""
        return self._documents.size_bytes + len(self._readings) * _BYTES_PER_READING

    def texts(self) -> Iterator[tuple[str, str]]:
        """Hex SHA-256 and text of every remembered document."""
        return ((query_hash, text) for text, (_, query_hash) in list(self._documents.items()))

    def forget(self) -> None:
        """Empty the memories."""
        self._documents.clear()
        self._readings.clear()

    def analyze(self, envelope: Envelope, *, by_get: bool, authenticated: bool) -> RequestAnalysis:
        """What a request for one operation asks for, or why it is refused. Never raises."""
        text = envelope.query
        if text is None:
            return RequestAnalysis(None, _NO_APQ)
        if len(text) > self._settings.max_query_chars:
            return RequestAnalysis(None, self._scanner.check(text), hashes=(_hash_of(text),))
        remembered = self._documents.get(text)
        query_hash = _hash_of(text) if remembered is None else remembered[1]
        if (persisted := envelope.extensions.get("persistedQuery")) is not None and not (
            isinstance(persisted, dict) and persisted.get("sha256Hash") == query_hash
        ):  # the host may store or look up something else under that hash
            return RequestAnalysis(None, _NO_APQ, hashes=(query_hash,))
        try:
            prepared = self._prepare(text) if remembered is None else remembered[0]
            if isinstance(prepared, Denial):
                return RequestAnalysis(None, prepared, hashes=(query_hash,))
            reading = self._measure(prepared, envelope, query_hash, by_get=by_get, authenticated=authenticated)
        except RecursionError:  # every recursion here is bounded, but the caller may stand deep in its own stack
            return RequestAnalysis(None, Denial(signals.QUERY_TOO_DEEP), hashes=(query_hash,))
        if remembered is None and reading.denial is None:  # what was refused pushes nothing out
            self._documents.put_sized(
                text, (prepared, query_hash), _BYTES_PER_DOCUMENT + _BYTES_PER_CHARACTER * len(text)
            )
        return reading

    def _prepare(self, text: str) -> AnalyzedDocument | Denial:
        tokens = self._scanner.read(text)
        return tokens if isinstance(tokens, Denial) else analyze_document(text, self._settings, self._rules, tokens)

    def _measure(
        self, prepared: AnalyzedDocument, envelope: Envelope, query_hash: str, *, by_get: bool, authenticated: bool
    ) -> RequestAnalysis:
        variant = prepared.variant(envelope.variables)
        if isinstance(variant, Denial):
            return RequestAnalysis(None, variant, hashes=(query_hash,))
        outcome = variant.plan.outcome(envelope.variables)
        key = query_hash, variant.positions, outcome, envelope.operation_name, by_get, authenticated
        if outcome is not None and (known := self._readings.get(key)):
            return known
        reading = self._judged(prepared, variant, envelope, query_hash, by_get=by_get, authenticated=authenticated)
        if outcome is not None and reading.denial is None:
            self._readings.put(key, reading)
        return reading

    def _judged(
        self,
        prepared: AnalyzedDocument,
        variant: DocumentVariant,
        envelope: Envelope,
        query_hash: str,
        *,
        by_get: bool,
        authenticated: bool,
    ) -> RequestAnalysis:
        prices = variant.plan.price(Bindings(envelope.variables, prepared.document.defaults))
        measured, hashes = _measured(prepared, variant, prices, envelope.operation_name), (query_hash,)
        name = envelope.operation_name
        if by_get and prepared.kind == "mutation":
            return RequestAnalysis(
                measured, Denial(signals.MUTATION_BY_GET, headers=((b"allow", b"POST"),)), hashes=hashes
            )
        if name not in prepared.names if name is not None else len(prepared.names) > 1:
            return RequestAnalysis(measured, Denial(signals.OPERATION_NOT_FOUND), hashes=hashes)
        numbers = Measurements(prepared, variant, prices)
        denial = self._judge.decide(numbers, authenticated=authenticated)
        noted = self._watch.decide(numbers, authenticated=authenticated) if self._watch and not denial else None
        near = dict.fromkeys(
            option for option, _, limit, actual in self._limits.compare(numbers) if _NEAR * limit < actual <= limit
        )
        return RequestAnalysis(
            replace(measured, near=tuple(near)) if near else measured,
            denial,
            noted=noted and replace(noted, offence=None),
            hashes=hashes,
        )


def _hash_of(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _measured(prepared: AnalyzedDocument, variant: DocumentVariant, prices: Prices, name: str | None) -> Measured:
    if name is None and len(prepared.names) == 1:
        (name,) = prepared.names
    return Measured(
        kind=prepared.kind,
        name=name,
        root_fields=prepared.root_fields,
        root_field_count=variant.root_field_count,
        mutation_root_fields=variant.mutation_root_fields,
        depth=variant.depth,
        complexity=prices.complexity,
        list_size=prices.list_size,
        introspection=prepared.counts.introspection >= 0,
        names=tuple([each for each in prepared.names if each is not None]),
    )

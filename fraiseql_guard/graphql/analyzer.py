"""Analyzes one operation: what its document asks for with the variables of a request, and which limit that exceeds."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final

from fraiseql_guard.core import signals
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.lru import Lru
from fraiseql_guard.core.measured import Measured
from fraiseql_guard.core.rule_candidates import Candidates, RuleInForce, RuleShare
from fraiseql_guard.core.rule_table import RuleTable
from fraiseql_guard.core.settings import Settings, name_of
from fraiseql_guard.graphql.analyzed_document import AnalyzedDocument, analyze_document
from fraiseql_guard.graphql.cost.cost_rules import CostRules
from fraiseql_guard.graphql.cost.schema_table import SchemaTable
from fraiseql_guard.graphql.document_limits import LimitChecker, Measurements
from fraiseql_guard.graphql.http.envelope import Envelope
from fraiseql_guard.graphql.syntax.prescanner import Prescanner
from fraiseql_guard.graphql.syntax.values import MAX_COUNT, Bindings

_NO_APQ: Final = Denial(
    signals.PERSISTED_QUERY_NOT_SUPPORTED, detail=f"Send the document alone, or set {name_of('apq')}=true."
)
_MUTATION_BY_GET: Final = Denial(signals.MUTATION_BY_GET, headers=((b"allow", b"POST"),))
_NEAR: Final = 0.8
"""Fraction of a limit above which a request counts as near it."""
_MAX_ANALYSES: Final = 2048
_BYTES_PER_ANALYSIS: Final = 2048
_BYTES_PER_CHARACTER: Final = 60
_BYTES_PER_DOCUMENT: Final = 4096
"""Memory of a remembered document besides its text, estimated on the safe side."""


@dataclass(frozen=True, slots=True)
class RequestAnalysis:
    """The numbers of a request and its refusal. A request over a limit has both, so that the log can show the numbers.

    ``rewritten`` replaces the body (or a GET's query string) of a request that only named its document; None leaves it
    as it is. ``noted`` is the refusal of a limit that is only monitored. ``hashes`` holds the hex SHA-256 of every
    document in the request, measured or not; ``text`` is the document of a refused request, if log lines carry it.
    ``rule`` is the rule in force for the request, None without one; ``shares`` divide a batch among its rules.
    """

    measured: Measured | None
    denial: Denial | None
    rewritten: bytes | None = None
    noted: Denial | None = None
    hashes: tuple[str, ...] = ()
    text: str | None = None
    rule: RuleInForce | None = None
    shares: tuple[RuleShare, ...] = ()


@dataclass(frozen=True, slots=True)
class LimitCheckers:
    """Two checkers: ``enforced`` leaves out limits that are only monitored, ``every`` has all limits."""

    enforced: LimitChecker
    every: LimitChecker


class Analyzer:
    """Measures documents and compares them with the limits of the settings, or of the rule among ``rules`` that is in
    force. Frozen, except for its bounded caches."""

    __slots__ = ("_analyses", "_by_rule", "_checkers", "_documents", "_monitored", "_rules", "_scanner", "_settings")

    def __init__(
        self,
        settings: Settings,
        table: SchemaTable | None,
        *,
        remembered_documents: int,
        remembered_bytes: int,
        rules: RuleTable | None = None,
    ) -> None:
        # Among the enforced limits a monitored one is so high that nothing exceeds it.
        monitored: dict[str, Any] = dict.fromkeys(settings.monitor_limits, MAX_COUNT)
        self._monitored = monitored
        self._rules = CostRules(settings, table)
        self._checkers = self._checkers_of(settings, None)
        self._by_rule = {
            rule: self._checkers_of(_with_limits_of(settings, rule), rule)
            for rule in (rules.in_force if rules is not None else ())
            if rule.limits
        }
        # The scan and the parser read the raised limits, and the largest of all rules; the checkers know the real ones.
        self._settings = _with_greatest_depth(replace(settings, **monitored) if monitored else settings, rules)
        self._scanner = Prescanner(self._settings)
        # Keyed by their text. The value has the hash as well, which costs more to compute than to look up the text.
        self._documents: Lru[str, tuple[AnalyzedDocument, str]] = Lru(remembered_documents, max_bytes=remembered_bytes)
        # Analyses of requests that cost the same: clients page through lists with a handful of sizes.
        self._analyses: Lru[Hashable, RequestAnalysis] = Lru(_MAX_ANALYSES)

    @property
    def size_bytes(self) -> int:
        """Estimated bytes of the caches."""
        return self._documents.size_bytes + len(self._analyses) * _BYTES_PER_ANALYSIS

    def texts(self) -> Iterator[tuple[str, str]]:
        """Hex SHA-256 and text of every remembered document."""
        return ((query_hash, text) for text, (_, query_hash) in list(self._documents.items()))

    def forget(self) -> None:
        """Empty the caches."""
        self._documents.clear()
        self._analyses.clear()

    def _checkers_of(self, settings: Settings, rule: RuleInForce | None) -> LimitCheckers:
        enforced = replace(settings, **self._monitored) if self._monitored else settings
        max_nesting = Prescanner(enforced).max_nesting
        return LimitCheckers(LimitChecker(enforced, max_nesting, rule), LimitChecker(settings, max_nesting, rule))

    def analyze(
        self, envelope: Envelope, *, by_get: bool, authenticated: bool, candidates: Candidates | None = None
    ) -> RequestAnalysis:
        """Measure a request for one operation: its numbers, or its refusal, or both. Never raises. ``candidates`` are
        the rules that its head leaves."""
        text = envelope.query
        if text is None:
            return RequestAnalysis(None, _NO_APQ)
        # 1. A text that is too long is refused before the caches hash or compare it.
        if len(text) > self._settings.max_query_chars:
            return RequestAnalysis(None, self._scanner.check(text), hashes=(_hash_of(text),))
        remembered = self._documents.get(text)
        # 2. A known text brings its hash along. A request with the hash of another text is refused.
        query_hash = _hash_of(text) if remembered is None else remembered[1]
        if envelope.extensions and not _hash_agrees(query_hash, envelope.extensions.get("persistedQuery")):
            return RequestAnalysis(None, _NO_APQ, hashes=(query_hash,))
        # 3. Measure a new text, or only price a known one with the variables of this request.
        try:
            if remembered is None:
                return self._analyze_new(
                    text, envelope, query_hash, by_get=by_get, authenticated=authenticated, candidates=candidates
                )
            return self._price(
                remembered[0], envelope, query_hash, by_get=by_get, authenticated=authenticated, candidates=candidates
            )
        except RecursionError:  # every recursion here is bounded, but the caller may stand deep in its own stack
            return RequestAnalysis(None, Denial(signals.QUERY_TOO_DEEP), hashes=(query_hash,))

    def _analyze_new(
        self,
        text: str,
        envelope: Envelope,
        query_hash: str,
        *,
        by_get: bool,
        authenticated: bool,
        candidates: Candidates | None,
    ) -> RequestAnalysis:
        """As :meth:`analyze`, for a text that is not remembered. It is remembered afterwards, unless the request is
        refused: refused texts must not push others out."""
        document = self._read(text)
        if isinstance(document, Denial):
            return RequestAnalysis(None, document, hashes=(query_hash,))
        analysis = self._price(
            document, envelope, query_hash, by_get=by_get, authenticated=authenticated, candidates=candidates
        )
        if analysis.denial is None:
            # The tree of a document takes many times its text: the share of memory is estimated from its length.
            size_bytes = _BYTES_PER_DOCUMENT + _BYTES_PER_CHARACTER * len(text)
            self._documents.put_sized(text, (document, query_hash), size_bytes)
        return analysis

    def _read(self, text: str) -> AnalyzedDocument | Denial:
        tokens = self._scanner.read(text)
        return tokens if isinstance(tokens, Denial) else analyze_document(text, self._settings, self._rules, tokens)

    def _price(
        self,
        document: AnalyzedDocument,
        envelope: Envelope,
        query_hash: str,
        *,
        by_get: bool,
        authenticated: bool,
        candidates: Candidates | None,
    ) -> RequestAnalysis:
        """Measure a document with the variables of a request. Equal outcomes are analyzed once."""
        variant = document.variant(envelope.variables)
        if isinstance(variant, Denial):
            return RequestAnalysis(None, variant, hashes=(query_hash,))
        outcome = variant.plan.outcome(envelope.variables)
        # Everything that the analysis depends on besides settings and schema. The hash stands for the document's text.
        key = query_hash, variant.positions, outcome, envelope.operation_name, by_get, authenticated, candidates
        if outcome is not None and (known := self._analyses.get(key)):
            return known
        # The defaults of the document's operations stand in for variables that were not sent.
        prices = variant.plan.price(Bindings(envelope.variables, document.document.defaults))
        numbers = Measurements(document, variant, prices)
        analysis = self._judge(
            numbers,
            envelope.operation_name,
            query_hash,
            by_get=by_get,
            authenticated=authenticated,
            candidates=candidates,
        )
        # A refusal is not kept: hostile requests would push out those of users.
        if outcome is not None and analysis.denial is None:
            self._analyses.put(key, analysis)
        return analysis

    def _judge(
        self,
        numbers: Measurements,
        name: str | None,
        query_hash: str,
        *,
        by_get: bool,
        authenticated: bool,
        candidates: Candidates | None,
    ) -> RequestAnalysis:
        """Compare what was measured of a request for the operation ``name`` with the limits of its rule."""
        measured, hashes = _measured(numbers, name), (query_hash,)
        rule, checkers = None, self._checkers
        if candidates is not None and (rule := candidates.of(measured)) is not None:
            checkers = self._by_rule.get(rule, checkers)
        # A request that no operation of the document fits is refused first, but keeps its numbers for the log.
        if (denial := _not_runnable(numbers.document, name, by_get=by_get)) is not None:
            return RequestAnalysis(measured, denial, hashes=hashes, rule=rule)
        denial = checkers.enforced.decide(numbers, authenticated=authenticated)
        noted = None
        # Only what the enforced limits let through can be refused by a monitored one alone.
        if self._monitored and denial is None:
            noted = checkers.every.decide(numbers, authenticated=authenticated)
        if near := _near(numbers, checkers):
            measured = replace(measured, near=near)
        # A monitored limit never counts as an offence, so it cannot lead to a block.
        noted = noted and replace(noted, offence=None)
        return RequestAnalysis(measured, denial, noted=noted, hashes=hashes, rule=rule)


def _with_limits_of(settings: Settings, rule: RuleInForce) -> Settings:
    """The settings with the limits of a rule."""
    limits: dict[str, Any] = dict(rule.limits)
    return replace(settings, **limits)


def _with_greatest_depth(settings: Settings, rules: RuleTable | None) -> Settings:
    """The settings with the greatest depth that any rule lets pass."""
    depth = 0 if rules is None else rules.greatest_depth
    return replace(settings, max_query_depth=depth) if depth > settings.max_query_depth else settings


def _near(numbers: Measurements, checkers: LimitCheckers) -> tuple[str, ...]:
    """The settings of the limits that the request is near, but not over."""
    compared = checkers.every.compare(numbers)
    near = [option for option, _, limit, actual in compared if _NEAR * limit < actual <= limit]
    # max_aliases has two rows in the table, and is named once.
    return tuple(dict.fromkeys(near))


def _hash_of(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _hash_agrees(query_hash: str, persisted: object) -> bool:
    """Whether the extension persistedQuery, if it is sent, has the hash of the document beside it.

    With another hash the host could store this document, or run another one, under that hash.
    """
    if persisted is None:
        return True
    return isinstance(persisted, dict) and persisted.get("sha256Hash") == query_hash


def _not_runnable(document: AnalyzedDocument, name: str | None, *, by_get: bool) -> Denial | None:
    """The refusal of a request for which the document has no operation, or which must not be a GET; else None."""
    # GraphQL over HTTP: GET must not run a mutation. One in the document is enough, whichever operation is named.
    if by_get and document.kind == "mutation":
        return _MUTATION_BY_GET
    # GraphQL spec, GetOperation: without a name there must be exactly one operation.
    found = len(document.names) == 1 if name is None else name in document.names
    return None if found else Denial(signals.OPERATION_NOT_FOUND)


def _measured(numbers: Measurements, name: str | None) -> Measured:
    document, variant, prices = numbers.document, numbers.variant, numbers.prices
    if name is None and len(document.names) == 1:
        (name,) = document.names
    return Measured(
        kind=document.kind,
        name=name,
        root_fields=document.root_fields,
        root_field_count=variant.root_field_count,
        mutation_root_fields=variant.mutation_root_fields,
        depth=variant.depth,
        complexity=prices.complexity,
        list_size=prices.list_size,
        # -1 stands for none, 0 for an introspection without lists.
        introspection=document.counts.introspection >= 0,
        names=tuple([each for each in document.names if each is not None]),
        kinds=document.kinds,
        offset=prices.offset,
        aliases=max(document.repetition.aliases, document.repetition.meta_aliases),
        most_root_fields=variant.most_root_fields,
    )

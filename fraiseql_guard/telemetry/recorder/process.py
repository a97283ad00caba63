"""Records what happens to the guard itself: its start and modes, its store, its keys, its process, operators' actions.

Stores, key sources, the process monitor and the heartbeat report through observers (protocols of their own), and
:class:`ProcessRecorder` is the observer of all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fraiseql_guard.core import signals as s
from fraiseql_guard.core.denial import AppDocument
from fraiseql_guard.core.settings import name_of
from fraiseql_guard.core.signals import (
    OTHER,
    AdjustmentReason,
    Event,
    Hook,
    HookOutcome,
    KeyFamily,
    PolicyName,
    Protection,
    WaitOutcome,
)
from fraiseql_guard.core.surroundings import PEER_REPLACED
from fraiseql_guard.stores.refused_documents import CALLERS, WINDOW_SECONDS
from fraiseql_guard.telemetry.metrics.labels import escape_label
from fraiseql_guard.telemetry.process.memory import Memory
from fraiseql_guard.telemetry.recorder.emitter import SignalEmitter
from fraiseql_guard.telemetry.recorder.remedies import remedy

_MOST_DOCUMENTS: Final = 50
"""Most documents of the app's own with a series of the gauge; further documents share one series. A document that is no
longer in force makes room for another."""


class ProcessRecorder:
    """Turns what happens beside the requests into metrics and log lines."""

    def __init__(self, emitter: SignalEmitter) -> None:
        self._emitter = emitter
        self._metrics = emitter.metrics
        self.warn = emitter.warn
        self.fault = emitter.fault
        self._peer_replaced = False
        if emitter.settings.redis_url is not None:
            self._metrics.set(s.STORE_BREAKER_OPEN, 0)
        self._build: tuple[str, ...] = ()
        self._documents: dict[str, tuple[str, ...]] = {}  # labels of every document with a series, by its hash

    def started(self, fields: Mapping[str, Any], warnings: list[str]) -> None:
        """The process serves its first ASGI scope."""
        self._emitter.log.emit(s.STARTED, fields)
        for sentence in warnings:
            self._emitter.log.emit(s.CONFIGURATION, {"detail": sentence}, subject=sentence)

    def mode(self, protection: Protection, monitors: bool) -> None:
        """A protection entered or left monitor mode."""
        if protection is not Protection.METRICS:
            self._metrics.set(s.MODE_MONITOR, int(monitors), protection.value)

    def built(self, version: str, fingerprint: str) -> None:
        """Show the version of this process and the fingerprint of its settings; the series of earlier ones are 0 from
        now on."""
        labels = (version, fingerprint)
        if self._build not in ((), labels):
            self._metrics.set(s.BUILD_INFO, 0, *self._build)
        self._build = labels
        self._metrics.set(s.BUILD_INFO, 1, *labels)

    def keys_aged(self, ages: Mapping[str, float]) -> None:
        """How many seconds ago each JWK set was fetched, by its source."""
        for source, seconds in ages.items():
            self._metrics.set(s.JWKS_AGE, round(seconds, 3), source)

    def in_force(self, sanctions: int) -> None:
        """How many sanctions are in force."""
        self._metrics.set(s.SANCTIONS_IN_FORCE, sanctions)

    def overrides_in_force(self, counts: Mapping[str, int]) -> None:
        """How many overrides are in force, by their kind."""
        for kind, count in counts.items():
            self._metrics.set(s.OVERRIDES_IN_FORCE, count, kind)

    def shared_peer(self, address: str, header: str) -> None:
        """A peer that is no trusted proxy sends a forwarding header: it hides its callers' addresses."""
        self._metrics.set(s.SHARED_PEER, 1)
        if not self._emitter.due(s.SHARED_PEER_SEEN.name, 60.0):
            return
        variable = name_of("trusted_proxies" if self._emitter.settings.proxy_count is None else "proxy_count")
        self._emitter.log.emit(s.SHARED_PEER_SEEN, {"ip_address": address, "header": header, "variable": variable})

    def peer_replaced(self) -> None:
        """The server resolves forwarding headers itself. Logged once."""
        if not self._peer_replaced:
            self._peer_replaced = True
            self.warn(PEER_REPLACED)

    def held(self, body_bytes: int, operations: int) -> None:
        """How many bytes of bodies and how many operations this process holds now."""
        self._metrics.set(s.BUFFERED_BODIES, body_bytes)
        self._metrics.set(s.IN_FLIGHT, operations)

    def waiting(self, requests: int) -> None:
        """How many requests wait now until their bucket has refilled."""
        self._metrics.set(s.WAITING, requests)

    def waited(self, outcome: WaitOutcome) -> None:
        """A request has ended its wait for a bucket, or there was no place for it to wait."""
        self._metrics.inc(s.WAITS, outcome.value)

    def adjusted(self, reason: AdjustmentReason, count: int) -> None:
        """The payments of so many requests were changed after their answers, or could not be changed."""
        self._metrics.inc(s.ADJUSTMENTS, reason.value, amount=count)

    def overridden(self, overrides: Mapping[str, str]) -> None:
        """The overrides in force have changed: log them all, by name."""
        self._emitter.log.emit(s.OVERRIDDEN, {"overrides": overrides})

    def commanded(self, command: str, actor: str) -> None:
        """An operator's command to all workers was carried out."""
        self._emitter.log.emit(s.COMMANDED, {"command": command, "actor": actor or None})

    # --- checks.app_documents.AppDocumentObserver ---------------------------------------------------------------------

    def app_document(self, document: AppDocument) -> None:
        """Several callers are refused for one document: it seems to be the app's own."""
        name = f" (operation {document.operation})" if document.operation else ""
        sentence = (
            f"document {document.query_hash}{name} asks for {document.actual:.15g}, over a limit of "
            f"{document.limit:.15g}: {CALLERS} callers were refused for it ({document.code.name}) within "
            f"{WINDOW_SECONDS // 60} minutes, so it seems to be the app's own, and brings no offence any more. "
            "Trust it (fraiseql-guard documents add), or price its fields "
            f"({name_of('field_costs')}). Else: {remedy(document.code)}"
        )
        self._emitter.log.emit(
            s.CONFIGURATION,
            {"detail": sentence},
            subject=document.query_hash,
            query_hash=document.query_hash,
            operation=document.operation or None,
            code=document.code.name,
            limit=document.limit,
            actual=document.actual,
        )

    def app_documents(self, documents: Mapping[str, AppDocument]) -> None:
        """Show all documents of the app's own that are in force, by their hash: by how much each exceeds its limit."""
        shown = dict.fromkeys(self._documents.values(), 0.0)  # documents that are no longer in force show 0
        for query_hash, document in documents.items():
            labels = self._documents.get(query_hash) or self._labels_for(query_hash, document, documents, shown)
            shown[labels] = max(shown.get(labels, 0.0), document.actual / max(1.0, document.limit))
        for labels, times in shown.items():
            self._metrics.set(s.APP_DOCUMENTS, round(times, 2), *labels)

    def _labels_for(
        self,
        query_hash: str,
        document: AppDocument,
        in_force: Mapping[str, AppDocument],
        shown: dict[tuple[str, ...], float],
    ) -> tuple[str, ...]:
        """The labels of a document that has no series yet: its own, or the shared ones if there is no room."""
        if len(self._documents) >= _MOST_DOCUMENTS and not self._made_room(in_force, shown):
            return OTHER, OTHER, document.code.name
        labels = query_hash, escape_label(document.operation), document.code.name
        self._documents[query_hash] = labels
        return labels

    def _made_room(self, in_force: Mapping[str, AppDocument], shown: dict[tuple[str, ...], float]) -> bool:
        """End the series of a document that is no longer in force. False if there is none."""
        gone = next((each for each in self._documents if each not in in_force), None)
        if gone is None:
            return False
        labels = self._documents.pop(gone)
        shown.pop(labels, None)
        self._metrics.end(s.APP_DOCUMENTS, *labels)
        return True

    # --- telemetry.process.ProcessObserver ----------------------------------------------------------------------------

    def memory_used(self, memory: Memory) -> None:
        """How much memory is used now, and how much there is."""
        self._metrics.set(s.MEMORY_USED, memory.used_bytes)
        self._metrics.set(s.MEMORY_LIMIT, memory.limit_bytes)
        self._metrics.set(s.MEMORY_RATIO, memory.ratio)

    def memory_high(self, memory: Memory, threshold_percent: float) -> None:
        """Memory use has passed its first threshold."""
        self._emitter.log.emit(s.HIGH_MEMORY, {**_of_memory(memory), "threshold_percent": threshold_percent})

    def memory_critical(self, memory: Memory) -> None:
        """Memory use has passed its second threshold."""
        self._emitter.log.emit(s.MEMORY_CRITICAL, {**_of_memory(memory), "swap_used_bytes": memory.swap_used_bytes})

    def caches_hold(self, size_bytes: int) -> None:
        """The bytes that all caches of this process hold together."""
        self._metrics.set(s.CACHE_SIZE, size_bytes)

    # --- operators ----------------------------------------------------------------------------------------------------

    def acted(self, event: Event, fields: Mapping[str, Any]) -> None:
        """Write the audit's line about an operator's action."""
        if event is s.ADMIN_BLOCK:
            self._metrics.inc(s.SANCTIONS, PolicyName.OPERATOR.value)
        self._emitter.log.emit(event, fields, subject=str(fields.get("actor", "")))

    def noticed(self, hook: Hook, outcome: HookOutcome, times: int) -> None:
        """Count notices to one of the app's functions, by their outcome."""
        self._metrics.inc(s.NOTICES, hook.value, outcome.value, amount=times)

    # --- stores.protocol.Observer -------------------------------------------------------------------------------------

    def store_failed(self, reason: str, detail: str, breaker_open: bool) -> None:
        """A call of the store failed. Logged once a second at most for each reason."""
        self._metrics.inc(s.STORE_FAILURES, reason)
        self._metrics.set(s.STORE_BREAKER_OPEN, int(breaker_open))
        if not self._emitter.due(f"{s.STORE_FAILED.name} {reason}", 1.0):
            return
        fields = {"reason": reason, "detail": detail, "policy": self._emitter.settings.on_store_failure}
        self._emitter.log.emit(s.STORE_FAILED, {**fields, "breaker_open": breaker_open}, subject=reason)

    def store_fallback(self, policy: str) -> None:
        """A request was decided without the store."""
        self._metrics.inc(s.STORE_FALLBACKS, policy)

    def store_unreadable(self, family: KeyFamily, detail: str, first: bool) -> None:
        """An entry of the store cannot be read, and is left out. Each entry is counted; the first of a key family has a
        line."""
        self._metrics.inc(s.STORE_UNREADABLE, family.value)
        if first:
            self._emitter.log.emit(s.STORE_UNREADABLE_SEEN, {"family": family.value, "detail": detail})

    def store_recovered(self, outage_seconds: float) -> None:
        """The store answers again."""
        self._metrics.set(s.STORE_BREAKER_OPEN, 0)
        self._emitter.log.emit(s.STORE_RECOVERED, {"outage_seconds": round(outage_seconds, 3)})

    # --- identity.key_sources.KeyObserver -----------------------------------------------------------------------------

    def key_source_failed(self, source: str, detail: str, usable: bool) -> None:
        """The keys of a source could not be read. Logged once a minute at most for each source."""
        self._metrics.inc(s.KEY_SOURCE_ERRORS, source)
        if self._emitter.due(f"{s.KEY_SOURCE_FAILED.name} {source}", 60.0):
            fields = {"source": source, "detail": detail, "older_keys_in_force": usable}
            self._emitter.log.emit(s.KEY_SOURCE_FAILED, fields, subject=source)

    def key_source_recovered(self, source: str, outage_seconds: float) -> None:
        """The keys of a source can be read again."""
        self._emitter.log.emit(s.KEY_SOURCE_RECOVERED, {"source": source, "outage_seconds": round(outage_seconds, 3)})


def _of_memory(memory: Memory) -> dict[str, Any]:
    return {
        "memory_used_bytes": memory.used_bytes,
        "memory_limit_bytes": memory.limit_bytes,
        "memory_usage_percent": round(memory.percent, 1),
    }

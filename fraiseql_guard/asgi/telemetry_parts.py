"""Where requests are recorded, and what the process remembers of refusals: made once for a guard."""

from __future__ import annotations

from dataclasses import dataclass

from fraiseql_guard.asgi.limit_keys import telling_headers
from fraiseql_guard.asgi.mount_options import MountOptions, counts
from fraiseql_guard.asgi.refusal_cache import RefusalResponseCache
from fraiseql_guard.operations.fleet.refusal_journal import RefusalJournal
from fraiseql_guard.operations.fleet.traffic import TrafficStats
from fraiseql_guard.stores.refusals import Refusals
from fraiseql_guard.telemetry import EventLog, Metrics
from fraiseql_guard.telemetry.database import DatabaseSignals
from fraiseql_guard.telemetry.recorder import RequestRecorder


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryParts:
    """Where requests are recorded, and what the process remembers of refusals."""

    recorder: RequestRecorder
    traffic: TrafficStats
    journal: RefusalJournal
    refusals: Refusals
    refusal_cache: RefusalResponseCache


def telemetry_parts(mount_options: MountOptions, database: DatabaseSignals) -> TelemetryParts:
    """Make each part once. ``database`` tells the recorder from then on. SettingsError if the settings ask for what
    cannot be had."""
    settings, elapsed, now = mount_options.settings, mount_options.clocks.elapsed, mount_options.clocks.now
    metrics = Metrics.of(mount_options.registry, workers=settings.worker_count, clock=elapsed)
    # The recorder tells the traffic and the journal of every request and refusal.
    traffic, journal = TrafficStats(clock=elapsed), RefusalJournal(clock=now)
    log = EventLog(settings, metrics, logger=mount_options.logger, clock=now)
    recorder = RequestRecorder(metrics, log, settings, on_request=traffic.note, on_refusal=journal.note, clock=elapsed)
    database.attach(recorder.database)
    refusals = Refusals(clock=elapsed)
    parts = TelemetryParts(
        recorder=recorder,
        traffic=traffic,
        journal=journal,
        refusals=refusals,
        refusal_cache=RefusalResponseCache(
            recorder,
            refusals,
            counted=counts(mount_options),
            telling=telling_headers(mount_options),
            clock=elapsed,
            now=now,
        ),
    )
    _flush_before_reading(parts)
    return parts


def _flush_before_reading(parts: TelemetryParts) -> None:
    """Let every reader of the metrics, or of the traffic, find what was only deferred so far."""
    metrics = parts.recorder.metrics
    flush_others = metrics.before_collecting  # another guard's, with the same metrics

    def flush() -> None:
        parts.refusal_cache.tell()
        parts.recorder.flush()

    def flush_all() -> None:
        flush_others()
        flush()

    metrics.before_collecting, parts.traffic.before_looking = flush_all, flush

"""Where requests are recorded, and what the process remembers of refusals: made once for a guard."""

from __future__ import annotations

from dataclasses import dataclass

from fraiseql_guard.asgi.limit_keys import telling_headers
from fraiseql_guard.asgi.mount_options import MountOptions, counts
from fraiseql_guard.asgi.notices import Notices
from fraiseql_guard.asgi.refusal_cache import RefusalResponseCache
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.signals import Hook
from fraiseql_guard.operations.fleet.refusal_journal import RefusalJournal
from fraiseql_guard.operations.fleet.traffic import TrafficStats
from fraiseql_guard.operations.tuning.watch import UsageWatch
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
    usage: UsageWatch
    refusals: Refusals
    refusal_cache: RefusalResponseCache
    notices: Notices


def telemetry_parts(mount_options: MountOptions, database: DatabaseSignals) -> TelemetryParts:
    """Make each part once. ``database`` tells the recorder from then on. SettingsError if the settings ask for what
    cannot be had."""
    settings, elapsed, now = mount_options.settings, mount_options.clocks.elapsed, mount_options.clocks.now
    metrics = Metrics.of(mount_options.registry, workers=settings.host_worker_count, clock=elapsed)
    # The recorder tells the traffic and the journal of every request and refusal.
    traffic, journal = TrafficStats(clock=elapsed), RefusalJournal(clock=now)
    usage = UsageWatch(clock=elapsed, now=now)

    def on_request(ctx: RequestContext, seconds: float, times: int) -> None:
        traffic.note(ctx, seconds, times)
        usage.note(ctx, seconds, times)

    log = EventLog(settings, metrics, logger=mount_options.logger, clock=now)
    notices = Notices(
        mount_options.app_hooks,
        on_outcome=lambda hook, outcome, count: recorder.process.noticed(hook, outcome, count),
        on_fault={
            Hook.ON_REFUSAL: lambda error: recorder.fault("on_refusal", error),
            Hook.ON_SANCTION: lambda error: recorder.fault("on_sanction", error),
        },
        now=now,
    )
    recorder = RequestRecorder(
        metrics,
        log,
        settings,
        on_request=on_request,
        on_refusal=journal.note,
        observer=notices if notices.wanted else None,
        clock=elapsed,
    )
    database.attach(recorder.database)
    refusals = Refusals(clock=elapsed)
    parts = TelemetryParts(
        recorder=recorder,
        traffic=traffic,
        journal=journal,
        usage=usage,
        refusals=refusals,
        refusal_cache=RefusalResponseCache(
            recorder,
            refusals,
            counted=counts(mount_options),
            telling=telling_headers(mount_options),
            clock=elapsed,
            now=now,
        ),
        notices=notices,
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

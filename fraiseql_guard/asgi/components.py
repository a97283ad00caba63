"""What outlives every change of the settings at run time: one of each for a guard, however often its stack is built."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from fraiseql_guard.asgi.async_authentication import IdentityParts, identity_parts
from fraiseql_guard.asgi.body_budget import BufferBudget
from fraiseql_guard.asgi.mounts import MountPrefixes
from fraiseql_guard.asgi.neighbours import Neighbours
from fraiseql_guard.asgi.refusal_cache import RefusalResponseCache
from fraiseql_guard.checks.app_documents import AppDocuments
from fraiseql_guard.checks.blocked_documents import BlockedDocuments
from fraiseql_guard.checks.blocks import OperatorBlocks
from fraiseql_guard.checks.concurrency import PoolRefusals
from fraiseql_guard.core import signals
from fraiseql_guard.core.context import Books
from fraiseql_guard.core.deadline_timers import DeadlineTimers
from fraiseql_guard.core.loop_task import PerLoop
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import Protection
from fraiseql_guard.graphql.cost.schema import SchemaTable
from fraiseql_guard.graphql.documents.persisted import PersistedQueries, persisted_queries
from fraiseql_guard.identity.allow_list import AllowList
from fraiseql_guard.identity.user_status import AskUserStatus
from fraiseql_guard.operations.fleet.census import SanctionCensus
from fraiseql_guard.operations.fleet.heartbeat import Facts, HeartbeatTask
from fraiseql_guard.operations.fleet.overrides_file import OverridesFile
from fraiseql_guard.operations.fleet.refusal_journal import RefusalJournal
from fraiseql_guard.operations.fleet.traffic import TrafficStats
from fraiseql_guard.stores import open_store
from fraiseql_guard.stores.credit import place_of
from fraiseql_guard.stores.documents_watch import DocumentsWatch
from fraiseql_guard.stores.overrides import Overrides
from fraiseql_guard.stores.overrides_watch import OverridesWatch
from fraiseql_guard.stores.protocol import Store
from fraiseql_guard.stores.refusals import Refusals
from fraiseql_guard.telemetry import EventLog, Metrics
from fraiseql_guard.telemetry.database import DatabaseSignals
from fraiseql_guard.telemetry.metrics import multiprocess
from fraiseql_guard.telemetry.process import Host
from fraiseql_guard.telemetry.recorder import RequestRecorder


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """The parts of a guard that hold something: connections, counters, memories, and what an operator has said.

    Made from the base settings; none of them leans on an option that can be changed at run time (settings.CHANGEABLE).
    """

    store: Store
    control: OverridesWatch
    presence: HeartbeatTask
    census: SanctionCensus
    traffic: TrafficStats
    recorder: RequestRecorder
    host: Host
    refusals: Refusals
    refusal_cache: RefusalResponseCache
    books: Books
    timers: PerLoop[DeadlineTimers]
    neighbours: Neighbours
    mounts: MountPrefixes
    at_work: Counter[tuple[str, str]]
    pool_refusals: PoolRefusals
    attempts: Counter[str]
    budget: BufferBudget
    database: DatabaseSignals
    identity: IdentityParts | None
    allow_list: AllowList
    blocks: OperatorBlocks
    documents: BlockedDocuments
    app_documents: AppDocuments
    schema: SchemaTable | None
    persisted: PersistedQueries | None
    trusted: DocumentsWatch | None


def build_components(
    settings: Settings,
    *,
    authenticates: bool,
    counts: bool,
    measures: bool,
    blocks_for: Protection,
    schema: SchemaTable | None,
    registry: CollectorRegistry | None,
    logger: Any,
    host: Host,
    database: DatabaseSignals,
    user_status: AskUserStatus | None,
    on_control: Callable[[Overrides], None],
    watch_host: Callable[[], object],
    in_force: Callable[[], Settings],
    facts: Facts,
) -> Components:
    """Make each part once. ``blocks_for`` is the protection in whose name operators' blocks refuse. ``on_control``
    takes over what an operator has said; ``in_force`` and ``facts`` tell what became of it. ``watch_host`` keeps the
    gauges of this process fresh, in whichever event loop serves. SettingsError if something asked for cannot be had."""
    metrics = Metrics.of(registry, workers=settings.worker_count)
    traffic, journal = TrafficStats(), RefusalJournal()
    log = EventLog(settings, metrics, logger=logger)
    recorder = RequestRecorder(metrics, log, settings, on_request=traffic.note, on_refusal=journal.note)
    database.attach(recorder.database)
    store = open_store(settings, recorder.process)
    presence = HeartbeatTask(
        store,
        traffic=traffic,
        journal=journal,
        host=host,
        settings=in_force,
        facts=facts,
        observer=recorder.process,
        counts_alone=counts and not multiprocess.is_active(),
    )
    path = settings.overrides_file
    refusals = Refusals()
    refusal_cache = RefusalResponseCache(recorder, refusals, counted=counts)

    told_before = metrics.before_collecting

    def tell() -> None:
        refusal_cache.tell()
        recorder.tell()

    def tell_all() -> None:
        told_before()  # another guard's, with the same metrics
        tell()

    metrics.before_collecting, traffic.before_looking = tell_all, tell
    identity = _identity(settings, user_status, recorder) if authenticates else None
    host.caches.own("refusals", refusals)
    host.caches.own("repeats", refusal_cache)
    host.caches.observe("guard.labels", lambda: metrics.size_bytes)
    if identity is not None:
        host.caches.own("tokens", identity.verifier)
    persisted = persisted_queries(settings, on_problem=recorder.warn) if measures else None
    trusted = (
        DocumentsWatch(store.documents, on_change=persisted.take, on_problem=recorder.warn)
        if persisted is not None and settings.trusted_documents != "off"
        else None
    )

    app_documents, census = (
        AppDocuments(store, observer=recorder.process),
        SanctionCensus(store, observer=recorder.process),
    )

    async def after_poll() -> None:
        watch_host()
        if trusted is not None:
            trusted.ensure_polling()
        await app_documents.tick()
        await presence.tick()
        await census.tick()

    return Components(
        store=store,
        control=OverridesWatch(
            store.overrides,
            on_change=on_control,
            beside=_overrides(path, recorder) if path is not None else None,
            after_poll=after_poll,
        ),
        presence=presence,
        census=census,
        traffic=traffic,
        recorder=recorder,
        host=host,
        refusals=refusals,
        refusal_cache=refusal_cache,
        books=Books(place_of(store, settings), id(metrics), counts),
        timers=PerLoop(DeadlineTimers),
        neighbours=Neighbours(),
        mounts=MountPrefixes(),
        at_work=Counter(),
        pool_refusals=PoolRefusals(),
        attempts=Counter(),
        budget=BufferBudget(settings.max_buffered_bytes),
        database=database,
        identity=identity,
        allow_list=AllowList(settings, on_problem=recorder.warn),
        blocks=OperatorBlocks(blocks_for),
        documents=BlockedDocuments(),
        app_documents=app_documents,
        schema=schema,
        persisted=persisted,
        trusted=trusted,
    )


def _overrides(path: Path, recorder: RequestRecorder) -> OverridesFile:
    changed = partial(recorder.process.acted, signals.ADMIN_OVERRIDES_FILE)
    return OverridesFile(path, on_problem=recorder.warn, on_change=changed)


def _identity(settings: Settings, user_status: AskUserStatus | None, recorder: RequestRecorder) -> IdentityParts:
    return identity_parts(
        settings,
        user_status=user_status,
        observer=recorder.process,
        on_fault=partial(recorder.fault, "user_status"),
        on_problem=recorder.warn,
    )

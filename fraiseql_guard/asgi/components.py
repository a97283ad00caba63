"""The parts of a guard that hold state: connections, counters, caches, and the operators' orders.

They are made once, from the settings that the guard was mounted with, and outlive every change of the settings at run
time: none of them depends on an option that can be changed (settings.CHANGEABLE).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from fraiseql_guard.asgi.body_budget import BufferBudget
from fraiseql_guard.asgi.mount_options import MountOptions, authenticates, counts, measures, mounted, schema_table
from fraiseql_guard.asgi.mounts import MountPrefixes
from fraiseql_guard.asgi.neighbours import Neighbours
from fraiseql_guard.asgi.own_bodies import OwnBodies, own_bodies
from fraiseql_guard.asgi.runtime import Runtime
from fraiseql_guard.asgi.sockets.live_watch import LiveWatch
from fraiseql_guard.asgi.sockets.registry import LiveConnections
from fraiseql_guard.asgi.sockets.repeated_tokens import RepeatedTokens
from fraiseql_guard.asgi.sockets.send_watch import SendWatch
from fraiseql_guard.asgi.telemetry_parts import TelemetryParts, telemetry_parts
from fraiseql_guard.asgi.waiting_room import Waiting
from fraiseql_guard.checks.app_documents import AppDocuments
from fraiseql_guard.checks.blocked_documents import BlockedDocuments
from fraiseql_guard.checks.blocks import OperatorBlocks
from fraiseql_guard.checks.concurrency import PoolRefusals
from fraiseql_guard.checks.sanctions import owner_of
from fraiseql_guard.core import signals
from fraiseql_guard.core.context import Books
from fraiseql_guard.core.deadline_timers import DeadlineTimers
from fraiseql_guard.core.loop_task import PerLoop
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.graphql.cost.schema_table import SchemaTable
from fraiseql_guard.graphql.documents.persisted import PersistedQueries, persisted_queries
from fraiseql_guard.identity.allow_list import AllowList
from fraiseql_guard.operations.fleet.census import SanctionCensus
from fraiseql_guard.operations.fleet.heartbeat import Facts, HeartbeatTask
from fraiseql_guard.operations.fleet.live_report import LiveReport
from fraiseql_guard.stores import open_store
from fraiseql_guard.stores.credit import place_of
from fraiseql_guard.stores.late_adjustments import LateAdjustments
from fraiseql_guard.stores.overrides import Overrides
from fraiseql_guard.stores.overrides_watch import OverridesWatch
from fraiseql_guard.stores.protocol import Store
from fraiseql_guard.telemetry.database import DatabaseSignals
from fraiseql_guard.telemetry.metrics import multiprocess
from fraiseql_guard.telemetry.process import ProcessMonitor
from fraiseql_guard.telemetry.recorder import RequestRecorder

if TYPE_CHECKING:
    from fraiseql_guard.asgi.async_authentication import IdentityParts
    from fraiseql_guard.operations.fleet.overrides_file import OverridesFile
    from fraiseql_guard.stores.documents_watch import DocumentsWatch


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeHooks:
    """How the components reach the runtime in force, which is replaced with every change of the settings."""

    on_control: Callable[[Overrides], None]
    """Applies a new control set."""
    watch_host: Callable[[], object]
    """Keeps the gauges of this process fresh, in the event loop that serves."""
    settings: Callable[[], Settings]
    """The settings in force."""
    facts: Facts
    """The facts about the runtime that the heartbeat carries."""
    runtime: Callable[[], Runtime]
    """The runtime in force."""
    on_look: Callable[[], None]
    """Re-reads changed files that the settings in force come from, twice a second. Never raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentParts:
    """The document caches, the trusted documents, and the schema by which documents are measured."""

    blocked: BlockedDocuments
    of_app: AppDocuments
    schema: SchemaTable | None
    persisted: PersistedQueries | None
    trusted: DocumentsWatch | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetParts:
    """The parts that connect this process with its operators and the other workers."""

    control: OverridesWatch
    heartbeat: HeartbeatTask
    census: SanctionCensus


@dataclass(frozen=True, slots=True, kw_only=True)
class AtWork:
    """What the requests at work hold in this process: slots, memory, live connections and timers."""

    budget: BufferBudget
    pool_refusals: PoolRefusals
    repeated_tokens: RepeatedTokens
    operations: Counter[tuple[str, str]] = field(default_factory=Counter)
    logins: Counter[str] = field(default_factory=Counter)
    sockets: Counter[tuple[str, str]] = field(default_factory=Counter)
    subscriptions: Counter[tuple[str, str]] = field(default_factory=Counter)
    waiting: Waiting = field(default_factory=Waiting)
    live: LiveConnections
    live_watch: LiveWatch
    timers: PerLoop[DeadlineTimers] = field(default_factory=lambda: PerLoop(DeadlineTimers))
    sends: PerLoop[SendWatch] = field(default_factory=lambda: PerLoop(SendWatch))

    def forget(self) -> None:
        """Reset the counts of operations, logins, sockets and subscriptions to zero, and forget remembered tokens."""
        for counter in (self.operations, self.logins, self.sockets, self.subscriptions):
            counter.clear()
        self.repeated_tokens.forget()


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """All components of one guard, made once, however often its runtime is built."""

    store: Store
    late_adjustments: LateAdjustments
    telemetry: TelemetryParts
    identity: IdentityParts | None
    documents: DocumentParts
    fleet: FleetParts
    at_work: AtWork
    host: ProcessMonitor
    database: DatabaseSignals
    allow_list: AllowList
    blocks: OperatorBlocks
    books: Books
    own_bodies: OwnBodies | None = None
    neighbours: Neighbours = field(default_factory=Neighbours)
    mounts: MountPrefixes = field(default_factory=MountPrefixes)


def build_components(
    mount_options: MountOptions, *, host: ProcessMonitor, database: DatabaseSignals, hooks: RuntimeHooks
) -> Components:
    """Make each component. SettingsError for a setting or argument that cannot be used."""
    settings, clocks = mount_options.settings, mount_options.clocks
    blocks = OperatorBlocks(owner_of(PolicyName.OPERATOR, mounted(mount_options)), clock=clocks.elapsed)
    schema = schema_table(mount_options)  # before metrics are registered, in case it cannot be read
    bodies = own_bodies(mount_options, lambda error: recorder.fault("render_refusal", error))
    telemetry = telemetry_parts(mount_options, database)
    recorder = telemetry.recorder
    store = open_store(settings, recorder.process, clock=clocks.elapsed)
    identity = _identity(mount_options, recorder)
    _show_caches(host, telemetry, identity)
    documents = _documents(mount_options, schema, store, recorder)
    live = LiveConnections()
    fleet = _fleet(mount_options, store, telemetry, documents, host, live, hooks)
    live_watch = _live_watch(live, blocks, identity, fleet, hooks, clocks.elapsed)
    return Components(
        store=store,
        late_adjustments=LateAdjustments(
            store,
            on_made=recorder.process.adjusted,
            on_fault=partial(recorder.fault, "limits"),
        ),
        telemetry=telemetry,
        identity=identity,
        documents=documents,
        fleet=fleet,
        at_work=AtWork(
            budget=BufferBudget(settings.max_buffered_bytes),
            pool_refusals=PoolRefusals(clock=clocks.elapsed),
            repeated_tokens=RepeatedTokens(clock=clocks.elapsed),
            live=live,
            live_watch=live_watch,
        ),
        host=host,
        database=database,
        allow_list=AllowList(settings, on_problem=recorder.warn, clock=clocks.now),
        blocks=blocks,
        books=Books(place_of(store, settings), id(recorder.metrics), counts(mount_options)),
        own_bodies=bodies,
    )


def _identity(mount_options: MountOptions, recorder: RequestRecorder) -> IdentityParts | None:
    if not authenticates(mount_options):
        return None
    from fraiseql_guard.asgi.async_authentication import IdentityHooks, identity_parts  # where there are keys

    return identity_parts(
        mount_options.settings,
        hooks=IdentityHooks(
            user_status=mount_options.app_hooks.user_status,
            api_keys=mount_options.app_hooks.api_keys,
            on_user_status_fault=partial(recorder.fault, "user_status"),
            on_api_keys_fault=partial(recorder.fault, "api_keys"),
        ),
        observer=recorder.process,
        on_problem=recorder.warn,
        clocks=mount_options.clocks,
    )


def _show_caches(host: ProcessMonitor, telemetry: TelemetryParts, identity: IdentityParts | None) -> None:
    """Register the guard's caches, whose sizes are exported and which operators can clear."""
    # The names are those of the console and of the command line.
    metrics = telemetry.recorder.metrics
    host.caches.own("refusals", telemetry.refusals)
    host.caches.own("repeats", telemetry.refusal_cache)
    host.caches.observe("guard.labels", lambda: metrics.size_bytes)
    if identity is not None:
        host.caches.own("tokens", identity.verifier)


def _documents(
    mount_options: MountOptions, schema: SchemaTable | None, store: Store, recorder: RequestRecorder
) -> DocumentParts:
    settings, elapsed = mount_options.settings, mount_options.clocks.elapsed
    persisted = None
    if measures(mount_options):
        persisted = persisted_queries(settings, clock=elapsed, on_problem=recorder.warn)
    # Documents of the fleet count only where a setting says so.
    trusted = None
    if persisted is not None and settings.trusted_documents != "off":
        from fraiseql_guard.stores.documents_watch import DocumentsWatch

        trusted = DocumentsWatch(store.documents, on_change=persisted.take, on_problem=recorder.warn)
    return DocumentParts(
        blocked=BlockedDocuments(clock=elapsed),
        of_app=AppDocuments(store, observer=recorder.process, clock=elapsed),
        schema=schema,
        persisted=persisted,
        trusted=trusted,
    )


def _fleet(
    mount_options: MountOptions,
    store: Store,
    telemetry: TelemetryParts,
    documents: DocumentParts,
    host: ProcessMonitor,
    live: LiveConnections,
    hooks: RuntimeHooks,
) -> FleetParts:
    process, clocks = telemetry.recorder.process, mount_options.clocks
    heartbeat = HeartbeatTask(
        store,
        traffic=telemetry.traffic,
        journal=telemetry.journal,
        host=host,
        settings=hooks.settings,
        facts=hooks.facts,
        observer=process,
        usage=telemetry.usage,
        live=LiveReport(live, telemetry.recorder.sockets, clock=clocks.elapsed),
        counts_alone=counts(mount_options) and not multiprocess.is_active(),
        clock=clocks.now,
    )
    census = SanctionCensus(store, observer=process, clock=clocks.elapsed)
    control = OverridesWatch(
        store.overrides,
        on_change=hooks.on_control,
        beside=_overrides_file(mount_options, telemetry.recorder),
        after_poll=_after_poll(hooks, documents, heartbeat, census),
        clock=clocks.elapsed,
    )
    return FleetParts(control=control, heartbeat=heartbeat, census=census)


def _live_watch(
    live: LiveConnections,
    blocks: OperatorBlocks,
    identity: IdentityParts | None,
    fleet: FleetParts,
    hooks: RuntimeHooks,
    clock: Callable[[], float],
) -> LiveWatch:
    watch = LiveWatch(live, blocks, identity, runtime=hooks.runtime, clock=clock)
    live.watcher = fleet.control.heed = watch
    return watch


def _overrides_file(mount_options: MountOptions, recorder: RequestRecorder) -> OverridesFile | None:
    path = mount_options.settings.overrides_file
    if path is None:
        return None
    from fraiseql_guard.operations.fleet.overrides_file import OverridesFile

    changed = partial(recorder.process.acted, signals.ADMIN_OVERRIDES_FILE)
    return OverridesFile(path, on_problem=recorder.warn, on_change=changed, clock=mount_options.clocks.now)


def _after_poll(
    hooks: RuntimeHooks, documents: DocumentParts, heartbeat: HeartbeatTask, census: SanctionCensus
) -> Callable[[], Awaitable[None]]:
    """What a worker does after each look at the store, twice a second."""

    async def after_poll() -> None:
        # Each step asks the store at most once, and none of them raises.
        hooks.watch_host()
        hooks.on_look()
        if documents.trusted is not None:
            documents.trusted.ensure_polling()
        await documents.of_app.tick()
        await heartbeat.tick()
        await census.tick()

    return after_poll

"""What outlives every change of the settings at run time: one of each for a guard, however often its stack is built."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from fraiseql_guard import signals
from fraiseql_guard.context import Books
from fraiseql_guard.core.deadline_timers import DeadlineTimers
from fraiseql_guard.core.loop_task import PerLoop
from fraiseql_guard.database import DatabaseSignals
from fraiseql_guard.edge.body_budget import BufferBudget
from fraiseql_guard.edge.mounts import MountPrefixes
from fraiseql_guard.edge.neighbours import Neighbours
from fraiseql_guard.edge.repeats import Repeats
from fraiseql_guard.fleet.census import Census
from fraiseql_guard.fleet.journal import Journal
from fraiseql_guard.fleet.overrides_file import OverridesFile
from fraiseql_guard.fleet.presence import Facts, Presence
from fraiseql_guard.fleet.pulse import Pulse
from fraiseql_guard.gates.app_documents import AppDocuments
from fraiseql_guard.gates.blocked_documents import BlockedDocuments
from fraiseql_guard.gates.blocks import OperatorBlocks
from fraiseql_guard.gates.in_flight import PoolRefusals
from fraiseql_guard.graphql.persisted import PersistedQueries, persisted_queries
from fraiseql_guard.graphql.schema import SchemaTable
from fraiseql_guard.host import Host
from fraiseql_guard.identification import IdentityParts, identity_parts
from fraiseql_guard.identity.allow_list import AllowList
from fraiseql_guard.identity.user_status import AskUserStatus
from fraiseql_guard.settings import Settings
from fraiseql_guard.settle import Settle
from fraiseql_guard.signals import Protection
from fraiseql_guard.stores import open_store
from fraiseql_guard.stores.control import ControlSet
from fraiseql_guard.stores.control_watch import ControlWatch
from fraiseql_guard.stores.credit import place_of
from fraiseql_guard.stores.documents_watch import DocumentsWatch
from fraiseql_guard.stores.protocol import Store
from fraiseql_guard.stores.refusals import Refusals
from fraiseql_guard.telemetry import EventLog, Metrics, multiprocess


@dataclass(frozen=True, slots=True, kw_only=True)
class Lasting:
    """The parts of a guard that hold something: connections, counters, memories, and what an operator has said.

    Made from the base settings; none of them leans on an option that can be changed at run time (settings.CHANGEABLE).
    """

    store: Store
    control: ControlWatch
    presence: Presence
    census: Census
    pulse: Pulse
    settle: Settle
    host: Host
    refusals: Refusals
    repeats: Repeats
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


def make_lasting(
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
    on_control: Callable[[ControlSet], None],
    watch_host: Callable[[], object],
    in_force: Callable[[], Settings],
    facts: Facts,
) -> Lasting:
    """Make each part once. ``blocks_for`` is the protection in whose name operators' blocks refuse. ``on_control``
    takes over what an operator has said; ``in_force`` and ``facts`` tell what became of it. ``watch_host`` keeps the
    gauges of this process fresh, in whichever event loop serves. SettingsError if something asked for cannot be had."""
    metrics = Metrics.of(registry, workers=settings.worker_count)
    pulse, journal = Pulse(), Journal()
    log = EventLog(settings, metrics, logger=logger)
    settle = Settle(metrics, log, settings, pulse=pulse, journal=journal)
    database.attach(settle.database)
    store = open_store(settings, settle.process)
    presence = Presence(
        store,
        pulse=pulse,
        journal=journal,
        host=host,
        settings=in_force,
        facts=facts,
        observer=settle.process,
        counts_alone=counts and not multiprocess.is_active(),
    )
    path = settings.overrides_file
    refusals = Refusals()
    repeats = Repeats(settle, refusals, counted=counts)

    told_before = metrics.before_collecting

    def tell() -> None:
        repeats.tell()
        settle.tell()

    def tell_all() -> None:
        told_before()  # another guard's, with the same metrics
        tell()

    metrics.before_collecting, pulse.before_looking = tell_all, tell
    identity = _identity(settings, user_status, settle) if authenticates else None
    host.caches.own("refusals", refusals)
    host.caches.own("repeats", repeats)
    host.caches.observe("guard.labels", lambda: metrics.size_bytes)
    if identity is not None:
        host.caches.own("tokens", identity.verifier)
    persisted = persisted_queries(settings, on_problem=settle.warn) if measures else None
    trusted = (
        DocumentsWatch(store, on_change=persisted.take, on_problem=settle.warn)
        if persisted is not None and settings.trusted_documents != "off"
        else None
    )

    app_documents, census = AppDocuments(store, observer=settle.process), Census(store, observer=settle.process)

    async def after_poll() -> None:
        watch_host()
        if trusted is not None:
            trusted.ensure_polling()
        await app_documents.tick()
        await presence.tick()
        await census.tick()

    return Lasting(
        store=store,
        control=ControlWatch(
            store,
            on_change=on_control,
            beside=_overrides(path, settle) if path is not None else None,
            after_poll=after_poll,
        ),
        presence=presence,
        census=census,
        pulse=pulse,
        settle=settle,
        host=host,
        refusals=refusals,
        repeats=repeats,
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
        allow_list=AllowList(settings, on_problem=settle.warn),
        blocks=OperatorBlocks(blocks_for),
        documents=BlockedDocuments(),
        app_documents=app_documents,
        schema=schema,
        persisted=persisted,
        trusted=trusted,
    )


def _overrides(path: Path, settle: Settle) -> OverridesFile:
    changed = partial(settle.process.acted, signals.ADMIN_OVERRIDES_FILE)
    return OverridesFile(path, on_problem=settle.warn, on_change=changed)


def _identity(settings: Settings, user_status: AskUserStatus | None, settle: Settle) -> IdentityParts:
    return identity_parts(
        settings,
        user_status=user_status,
        observer=settle.process,
        on_fault=partial(settle.fault, "user_status"),
        on_problem=settle.warn,
    )

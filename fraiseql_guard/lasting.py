"""What outlives every change of the settings at run time: one of each for a guard, however often its stack is built."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry

from fraiseql_guard.edge.pump import BufferBudget
from fraiseql_guard.fleet.journal import Journal
from fraiseql_guard.fleet.overrides_file import OverridesFile
from fraiseql_guard.fleet.presence import Facts, Presence
from fraiseql_guard.fleet.pulse import Pulse
from fraiseql_guard.gates.blocked_documents import BlockedDocuments
from fraiseql_guard.gates.blocks import OperatorBlocks
from fraiseql_guard.graphql.persisted import PersistedQueries, persisted_queries
from fraiseql_guard.graphql.schema import SchemaTable
from fraiseql_guard.host import Host
from fraiseql_guard.identity.allow_list import AllowList
from fraiseql_guard.identity.tokens import TokenVerifier
from fraiseql_guard.settings import Settings
from fraiseql_guard.settle import Settle
from fraiseql_guard.stores import open_store
from fraiseql_guard.stores.control import ControlSet
from fraiseql_guard.stores.control_watch import ControlWatch
from fraiseql_guard.stores.protocol import Store
from fraiseql_guard.stores.refusals import Refusals
from fraiseql_guard.telemetry import EventLog, Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Lasting:
    """The parts of a guard that hold something: connections, counters, memories, and what an operator has said.

    Made from the base settings; none of them leans on an option that can be changed at run time (settings.CHANGEABLE).
    """

    host: Host
    store: Store
    control: ControlWatch
    presence: Presence
    pulse: Pulse
    settle: Settle
    refusals: Refusals
    at_work: Counter[tuple[str, str]]
    budget: BufferBudget
    verifier: TokenVerifier | None
    allow_list: AllowList
    blocks: OperatorBlocks
    documents: BlockedDocuments
    schema: SchemaTable | None
    persisted: PersistedQueries | None


def make_lasting(
    settings: Settings,
    host: Host,
    *,
    authenticates: bool,
    measures: bool,
    schema: SchemaTable | None,
    registry: CollectorRegistry | None,
    logger: Any,
    on_control: Callable[[ControlSet], None],
    in_force: Callable[[], Settings],
    facts: Facts,
) -> Lasting:
    """Make each part once. ``on_control`` takes over what an operator has said; ``in_force`` and ``facts`` tell what
    became of it. SettingsError if something asked for cannot be had."""
    metrics = Metrics(registry, workers=settings.worker_count)
    pulse, journal = Pulse(), Journal()
    log = EventLog(settings, metrics, logger=logger)
    settle = Settle(metrics, log, settings, pulse=pulse, journal=journal)
    store = open_store(settings, settle)
    presence = Presence(store, pulse=pulse, journal=journal, settings=in_force, facts=facts, on_fault=settle.fault)
    verifier = TokenVerifier(settings) if authenticates else None
    refusals = Refusals()
    host.caches.own("refusals", refusals)
    host.caches.observe("guard.labels", lambda: metrics.size_bytes)
    if verifier is not None:
        host.caches.own("tokens", verifier)
    path = settings.overrides_file
    return Lasting(
        host=host,
        store=store,
        control=ControlWatch(
            store,
            on_change=on_control,
            beside=OverridesFile(path, on_problem=settle.warn) if path is not None else None,
            after_poll=presence.tick,
        ),
        presence=presence,
        pulse=pulse,
        settle=settle,
        refusals=refusals,
        at_work=Counter(),
        budget=BufferBudget(settings.max_buffered_bytes),
        verifier=verifier,
        allow_list=AllowList(settings, on_problem=settle.warn),
        blocks=OperatorBlocks(),
        documents=BlockedDocuments(),
        schema=schema,
        persisted=persisted_queries(settings, on_problem=settle.warn) if measures else None,
    )

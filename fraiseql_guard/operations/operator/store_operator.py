"""The operator's interface on a store: what Python, the HTTP API and the command line use."""

from __future__ import annotations

import time
from collections.abc import Callable

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.identity.allow_list import AllowList
from fraiseql_guard.operations.operator.alone import OwnKnowledge
from fraiseql_guard.operations.operator.blocks import Blocks
from fraiseql_guard.operations.operator.deps import Audit, OperatorDeps
from fraiseql_guard.operations.operator.documents import Documents, Remembered
from fraiseql_guard.operations.operator.interface import Operator
from fraiseql_guard.operations.operator.lift_all import RETRY_SECONDS, LiftAll
from fraiseql_guard.operations.operator.limits import AllowListing, LimitActions
from fraiseql_guard.operations.operator.limits_advising import LimitsAdvising
from fraiseql_guard.operations.operator.own_connections import OwnConnections
from fraiseql_guard.operations.operator.reports import Reports
from fraiseql_guard.operations.operator.sockets import SocketActions
from fraiseql_guard.operations.operator.switches import SwitchActions
from fraiseql_guard.stores.protocol import Store


class StoreOperator:
    """An Operator (interface.py) on a store, composed of one part for each group of methods.

    ``settings`` say which proxies and addresses a block must not meet. ``audit`` writes the line of every action.
    ``remembered`` are the documents of this process, ``own`` is what it knows while the store does not answer, and
    ``connections`` live in it.
    ``clock`` is Unix time. ``retry_seconds`` lie between two attempts of "lift all" at a store that does not answer.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        audit: Audit,
        allow_list: AllowList | None = None,
        remembered: Remembered | None = None,
        own: OwnKnowledge | None = None,
        connections: OwnConnections | None = None,
        clock: Callable[[], float] = time.time,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        entries = allow_list or AllowList(settings)
        deps = OperatorDeps(
            store=store, settings=settings, allow_list=entries, audit=audit, connections=connections, clock=clock
        )
        sanctions, limits, listing, fleet = Blocks(deps), LimitActions(deps), AllowListing(deps), SwitchActions(deps)
        reports, documents, live = Reports(deps, own), Documents(deps, remembered), SocketActions(deps)
        lifting = LiftAll(deps, retry_seconds=retry_seconds)
        self.block, self.blocks, self.blocks_page = sanctions.block, sanctions.blocks, sanctions.blocks_page
        self.lift, self.unlock = sanctions.lift, sanctions.unlock
        self.lift_all, self.lifting = lifting.lift_all, lifting.lifting
        self.set_limit, self.clear_limit = limits.set_limit, limits.clear_limit
        self.limits, self.limits_page = limits.limits, limits.limits_page
        self.allow, self.disallow, self.allowed = listing.allow, listing.disallow, listing.allowed
        self.switch, self.unswitch, self.switches = fleet.switch, fleet.unswitch, fleet.switches
        self.collect_garbage, self.clear_caches = fleet.collect_garbage, fleet.clear_caches
        self.sockets, self.close_sockets, self.drain_sockets = live.sockets, live.close_sockets, live.drain_sockets
        self.documents, self.document = documents.documents, documents.document
        self.trust, self.distrust = documents.trust, documents.distrust
        self.status, self.offenders, self.config = reports.status, reports.offenders, reports.config
        self.limits_advice = LimitsAdvising(deps).limits_advice
        self.refusals, self.why, self.actions = reports.refusals, reports.why, reports.actions


def store_operator(store: Store, settings: Settings, *, audit: Audit, allow_list: AllowList | None = None) -> Operator:
    """An operator on a store. SettingsError if the allow-list's file cannot be used."""
    return StoreOperator(store, settings, allow_list=allow_list, audit=audit)

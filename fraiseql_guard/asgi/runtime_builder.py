"""Builds the runtime: the checks, and all that they lean on, for the settings in force."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING

from fraiseql_guard.asgi.accounts import Accounts
from fraiseql_guard.asgi.actual_cost import CostHeader
from fraiseql_guard.asgi.check_lists import active_in, answer_edits, body_checks, head_checks, head_reads, socket_checks
from fraiseql_guard.asgi.components import Components
from fraiseql_guard.asgi.head_cache import RequestHeadCache
from fraiseql_guard.asgi.limit_keys import limit_keys, pays_beside
from fraiseql_guard.asgi.mount_options import MountOptions, measures, refuse_hidden_costs, refuse_without_schema
from fraiseql_guard.asgi.paths import PathTable
from fraiseql_guard.asgi.runtime import Check, HeadCheck, OperatorAuthentication, Runtime
from fraiseql_guard.asgi.waiting_room import WaitingRoom
from fraiseql_guard.asgi.what_counts import WhatCounts
from fraiseql_guard.checks.admission import Admission
from fraiseql_guard.checks.concurrency import Concurrency
from fraiseql_guard.checks.cost_budgets import CostBudgets
from fraiseql_guard.checks.lockouts import Lockouts
from fraiseql_guard.checks.metrics_access import HealthAccess, MetricsAccess
from fraiseql_guard.checks.socket_room import SocketRoom, SubscriptionRoom
from fraiseql_guard.core.rule_table import RuleTable
from fraiseql_guard.core.settings import Mode, Settings
from fraiseql_guard.core.signals import Protection
from fraiseql_guard.graphql.reader import Reader
from fraiseql_guard.identity.addresses import AddressResolver
from fraiseql_guard.stores.blocked import BlockedAddresses
from fraiseql_guard.telemetry.process import Memory
from fraiseql_guard.telemetry.process.health import Health

if TYPE_CHECKING:
    from fraiseql_guard.asgi.async_authentication import IdentityChecks
    from fraiseql_guard.operations.operator.alone import OwnKnowledge
    from fraiseql_guard.operations.operator.store_operator import StoreOperator


def build_runtime(mount_options: MountOptions, components: Components, settings: Settings) -> Runtime:
    """Build the runtime of these settings. SettingsError if they cannot be used together or lack something."""
    refuse_without_schema(mount_options, settings)
    refuse_hidden_costs(settings)
    return _RuntimeBuilder(mount_options, components, settings).build()


def modes_of(mount_options: MountOptions, components: Components, settings: Settings) -> Mapping[Protection, Mode]:
    """The mode of every protection; one that is not mounted, or that cannot act, is OFF."""
    protections = mount_options.protections
    modes = {each: settings.mode_of(each) if each in protections else Mode.OFF for each in Protection}
    # Pages are served or not: they have no monitor mode.
    modes[Protection.METRICS] = Mode.ENFORCE if Protection.METRICS in protections else Mode.OFF
    modes[Protection.ADMIN] = (
        Mode.ENFORCE if Protection.ADMIN in protections and settings.serves_operators else Mode.OFF
    )
    if components.identity is None:
        modes[Protection.AUTH] = Mode.OFF  # there is no key to verify tokens with
    return modes


class _RuntimeBuilder:
    """Builds one runtime. Each method makes one of its parts."""

    def __init__(self, mount_options: MountOptions, components: Components, settings: Settings) -> None:
        self._mount_options = mount_options
        self._components = components
        self._settings = settings
        self._clocks = mount_options.clocks
        self._modes = modes_of(mount_options, components, settings)
        self._active = active_in(self._modes)
        # What several parts share.
        serves_pages = Protection.METRICS in self._active
        self._metrics_access = MetricsAccess(settings) if serves_pages else None
        self._health_access = HealthAccess(settings) if serves_pages else None
        self._rules = RuleTable.of(settings)
        self._resolver = AddressResolver(settings)
        self._blocked = BlockedAddresses(clock=self._clocks.elapsed)
        self._identity = self._identity_checks()
        self._token_check = self._identity.check if self._identity else None
        self._head_checks = self._checks_by_head()
        self._concurrency = self._concurrency_check()
        self._subscription_room = SubscriptionRoom(settings, components.at_work.subscriptions)
        self._reader = self._document_reader()
        self._operator = cache(self._store_operator)

    def build(self) -> Runtime:
        """Put the parts together."""
        components, settings = self._components, self._settings
        telemetry, at_work = components.telemetry, components.at_work
        admission = self._admission()
        return Runtime(
            settings=settings,
            modes=self._modes,
            shows_anonymous=Protection.AUTH in self._mount_options.asked_for,
            paths=PathTable(settings, admin=Protection.ADMIN in self._active, rules=self._rules),
            resolver=self._resolver,
            metrics_access=self._metrics_access,
            health_access=self._health_access,
            concurrency=self._concurrency,
            socket_room=SocketRoom(settings, at_work.sockets),
            subscription_room=self._subscription_room,
            live=at_work.live,
            repeated_tokens=at_work.repeated_tokens,
            live_watch=at_work.live_watch,
            rules=self._rules,
            verifier=components.identity.verifier if components.identity else None,
            async_authentication=self._identity.asynchronous if self._identity else None,
            limit_keys=limit_keys(self._mount_options, settings, telemetry.recorder),
            head_checks=self._head_checks,
            token_check=self._token_check,
            socket_checks=socket_checks(settings, self._modes, self._token_check),
            body_checks=self._checks_by_body(),
            edits=answer_edits(settings, self._modes),
            store=components.store,
            control=components.fleet.control,
            allow_list=components.allow_list,
            admission=admission,
            accounts=self._accounts(admission),
            lockouts=Lockouts(components.store, telemetry.recorder, settings, at_work.logins),
            recorder=telemetry.recorder,
            budget=at_work.budget,
            refusal_cache=telemetry.refusal_cache,
            head_cache=RequestHeadCache(
                head_reads(self._resolver, self._head_checks, self._token_check, components.own_bodies),
                components.allow_list,
            ),
            books=components.books,
            timers=at_work.timers,
            sends=at_work.sends,
            neighbours=components.neighbours,
            mounts=components.mounts,
            host=components.host,
            health=self._health(),
            database=components.database,
            reader=self._reader,
            what_counts=self._what_counts(),
            waiting_room=self._waiting_room(),
            cost_header=self._cost_header(),
            own_bodies=components.own_bodies,
            operator_when_asked=self._operator,
            operator_authentication=self._operator_api() if Protection.ADMIN in self._active else None,
            now=self._clocks.now,
        )

    # --- checks -------------------------------------------------------------------------------------------------------

    def _identity_checks(self) -> IdentityChecks | None:
        parts = self._components.identity
        if parts is None:
            return None
        from fraiseql_guard.asgi.async_authentication import identity_checks  # where there are keys

        return identity_checks(parts, self._settings, blocked=self._blocked, modes=self._modes)

    def _checks_by_head(self) -> tuple[HeadCheck, ...]:
        pages = [page for page in (self._metrics_access, self._health_access) if page is not None]
        return head_checks(self._settings, self._modes, self._components, pages)

    def _concurrency_check(self) -> Concurrency | None:
        if Protection.RATE_LIMIT not in self._active:
            return None
        limits_rates = self._modes[Protection.RATE_LIMIT] is Mode.ENFORCE
        stops_work = self._modes[Protection.TIMEOUT] is Mode.ENFORCE
        at_work = self._components.at_work
        return Concurrency(
            self._settings,
            at_work.operations,
            refusals=at_work.pool_refusals if limits_rates else None,
            pool_size=self._components.database.size,
            express=limits_rates and stops_work,
        )

    def _document_reader(self) -> Reader | None:
        if not measures(self._mount_options):
            return None
        settings, documents = self._settings, self._components.documents
        if Protection.QUERY_LIMITS not in self._active:
            settings = replace(settings, monitor_limits=())  # no limit refuses, so none is watched
        return Reader(
            settings,
            documents.schema,
            persisted=documents.persisted,
            clock=self._clocks.elapsed,
            rules=self._rules,
        )

    def _checks_by_body(self) -> tuple[Check, ...]:
        return body_checks(
            self._settings,
            self._mount_options.settings,
            self._active,
            self._components,
            self._reader,
            self._concurrency,
            self._subscription_room,
        )

    def _admission(self) -> Admission:
        return Admission(
            self._components.store,
            self._components.telemetry.refusals,
            self._settings,
            self._modes,
            self._blocked,
            app_documents=self._components.documents.of_app,
            configured=self._mount_options.settings,
            rules=self._rules,
            beside=pays_beside(self._mount_options, self._settings),
        )

    def _accounts(self, admission: Admission) -> Accounts:
        settings, components = self._settings, self._components
        return Accounts(
            components.store,
            admission,
            CostBudgets(settings, self._mount_options.settings) if settings.cost_budgets else None,
            place=components.books.store,
            enforced=self._modes[Protection.RATE_LIMIT] is Mode.ENFORCE,
            on_fault=partial(components.telemetry.recorder.fault, "limits"),
        )

    def _what_counts(self) -> WhatCounts | None:
        settings, components = self._settings, self._components
        if Protection.RATE_LIMIT not in self._active or not WhatCounts.decides(settings, self._rules):
            return None
        return WhatCounts(settings, components.late_adjustments)

    def _waiting_room(self) -> WaitingRoom | None:
        settings, recorder = self._settings, self._components.telemetry.recorder
        # What is only watched refuses none, so that none waits.
        if not settings.rate_limit_wait_ms or self._modes[Protection.RATE_LIMIT] is not Mode.ENFORCE:
            return None
        return WaitingRoom(
            settings.rate_limit_wait_ms / 1000,
            settings.rate_limit_waiting,
            self._components.at_work.waiting,
            on_change=recorder.process.waiting,
            on_end=recorder.process.waited,
        )

    def _cost_header(self) -> CostHeader | None:
        name = self._settings.cost_header
        if name is None or Protection.RATE_LIMIT not in self._active:
            return None
        return CostHeader(name, hidden=self._settings.hide_cost_header)

    # --- what operators see and do ------------------------------------------------------------------------------------

    def _store_operator(self) -> StoreOperator:
        from fraiseql_guard.operations.operator.store_operator import StoreOperator  # when an operator comes

        components = self._components
        return StoreOperator(
            components.store,
            self._settings,
            allow_list=components.allow_list,
            audit=components.telemetry.notices.audited(components.telemetry.recorder.process.acted),
            remembered=self._reader.texts if self._reader is not None else None,
            own=self._own_knowledge(),
            connections=components.at_work.live_watch,
            clock=self._clocks.now,
        )

    def _own_knowledge(self) -> OwnKnowledge | None:
        """What this worker knows while the store does not answer. None of a store in memory, which always answers."""
        store, fleet = self._components.store, self._components.fleet
        if self._mount_options.settings.redis_url is None:
            return None
        from fraiseql_guard.operations.operator.alone import OwnKnowledge
        from fraiseql_guard.stores.failover import FailoverStore

        assert isinstance(store, FailoverStore)  # noqa: S101 - what open_store puts in front of Redis

        return OwnKnowledge(
            heartbeat=fleet.heartbeat.heartbeat,
            control=fleet.control.at_present,
            sanctions=store.known_sanctions,
            refusals=fleet.heartbeat.unwritten,
        )

    def _operator_api(self) -> OperatorAuthentication:
        from fraiseql_guard.operations.http import Standing, build_authentication  # where operators have a way in

        components, recorder = self._components, self._components.telemetry.recorder
        tokens = components.identity.tokens if components.identity else None
        user_status = components.identity.user_status if components.identity else None
        return build_authentication(
            self._settings,
            self._operator(),
            tokens,
            standing=Standing(components.store, user_status),
            audit=recorder.process.acted,
            fault=recorder.fault,
            clock=self._clocks.now,
        )

    def _health(self) -> Health:
        components, host = self._components, self._components.host
        recorder = components.telemetry.recorder

        def memory_now() -> Memory | None:
            with suppress(Exception):  # signals are no reason to fail a request
                host.memory.look(recorder.process)
            return host.memory.memory

        return Health(
            self._settings,
            components.store,
            host.fact_sources,
            memory=memory_now,
            refused_for_pool=components.at_work.pool_refusals.last_minute,
            on_problem=recorder.warn,
            clock=self._clocks.elapsed,
        )

"""How middlewares become one stack: what each wishes for, how wishes are joined, and what a stack is built of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from graphql import GraphQLSchema
from prometheus_client import CollectorRegistry

from fraiseql_guard.asgi import head_cache, replies
from fraiseql_guard.asgi.answer_editor import Edit
from fraiseql_guard.asgi.async_authentication import IdentityChecks, identity_checks
from fraiseql_guard.asgi.components import Components
from fraiseql_guard.asgi.cost_note import with_cost
from fraiseql_guard.asgi.head_cache import RequestHeadCache
from fraiseql_guard.asgi.paths import PathTable
from fraiseql_guard.asgi.runtime import Check, HeadCheck, OperatorAuthentication, Runtime, first_in_force
from fraiseql_guard.asgi.suggestions import without_suggestions
from fraiseql_guard.checks.admin_access import AdminAccess
from fraiseql_guard.checks.admission import Admission
from fraiseql_guard.checks.authentication import PublicOperations
from fraiseql_guard.checks.concurrency import Concurrency
from fraiseql_guard.checks.cost_budgets import CostBudgets
from fraiseql_guard.checks.http_request import HttpRequestForm
from fraiseql_guard.checks.lockouts import Lockouts
from fraiseql_guard.checks.memory_pressure import MemoryPressure
from fraiseql_guard.checks.metrics_access import HealthAccess, MetricsAccess
from fraiseql_guard.checks.query_limits import QueryLimits
from fraiseql_guard.checks.request_paths import RequestPaths
from fraiseql_guard.checks.sanctions import SANCTIONING
from fraiseql_guard.core.clocks import Clock
from fraiseql_guard.core.reads import HeadReads
from fraiseql_guard.core.settings import Mode, Settings, SettingsError, name_of
from fraiseql_guard.core.signals import Protection
from fraiseql_guard.core.surroundings import blinding, warnings_of
from fraiseql_guard.graphql.cost.schema import SchemaSource, load_schema
from fraiseql_guard.graphql.cost.slicing_arguments import unsliced_fields
from fraiseql_guard.graphql.reader import Reader
from fraiseql_guard.identity.addresses import AddressResolver
from fraiseql_guard.identity.user_status import AskUserStatus
from fraiseql_guard.operations.http import Standing, administered, open_door
from fraiseql_guard.operations.operator.alone import OwnKnowledge
from fraiseql_guard.operations.operator.interface import Operator
from fraiseql_guard.operations.operator.store_operator import StoreOperator
from fraiseql_guard.stores.blocked import BlockedAddresses
from fraiseql_guard.stores.failover import FailoverStore
from fraiseql_guard.telemetry.database import DatabaseSignals
from fraiseql_guard.telemetry.process import Memory
from fraiseql_guard.telemetry.process.health import Health

_NAMED: Final = 10
"""Most fields that a sentence names."""
_CLOSED_TO_SOCKETS: Final = (Protection.QUERY_LIMITS, Protection.AUTH, Protection.RATE_LIMIT)
"""Protections that operations over a WebSocket on a GraphQL path would pass by."""
_CHECKING: Final = (*_CLOSED_TO_SOCKETS, Protection.TIMEOUT)
"""Protections that lean on the path of a request."""
_MEASURED: Final = frozenset({Protection.QUERY_LIMITS, Protection.RATE_LIMIT, Protection.TIMEOUT})
"""Protections that need to know which operation is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MountOptions:
    """What the middlewares that became one were given. ``explicit`` are the settings that were really chosen."""

    names: tuple[str, ...]
    protections: frozenset[Protection]
    settings: Settings
    explicit: Mapping[str, Any]
    schema: SchemaSource | None
    registry: CollectorRegistry | None
    logger: Any
    user_status: AskUserStatus | None = None
    database: DatabaseSignals | None = None
    clock: Clock | None = None
    awaits_schema: bool = False
    """Whether the host may still bring its schema, with the first scope."""

    def joined(self, inner: MountOptions) -> MountOptions:
        """Ours and those of the middleware directly inside; SettingsError where they contradict each other."""
        both = f"{' + '.join(self.names)} and {' + '.join(inner.names)}"
        for option, value in inner.explicit.items():
            if option in self.explicit and self.explicit[option] != value:
                raise SettingsError(f"{both} are mounted on each other and give {option} two values. Give it once")
        return MountOptions(
            names=(*self.names, *inner.names),
            protections=self.protections | inner.protections,
            settings=self.settings.override(**inner.explicit),
            explicit={**inner.explicit, **self.explicit},
            schema=_either("schema", self.schema, inner.schema, both),
            registry=_either("registry", self.registry, inner.registry, both),
            logger=_either("logger", self.logger, inner.logger, both),
            user_status=_either("user_status", self.user_status, inner.user_status, both),
            database=_either("database", self.database, inner.database, both),
            clock=_either("clock", self.clock, inner.clock, both),
            awaits_schema=self.awaits_schema,
        )


def _either(name: str, outer: Any, inner: Any, both: str) -> Any:
    if outer is not None and inner is not None and outer is not inner:
        raise SettingsError(f"{both} are mounted on each other and give two different {name} objects. Give it once")
    return outer if outer is not None else inner


def authenticates(mount_options: MountOptions) -> bool:
    """Whether tokens are verified: asked for, and a key is there. SettingsError if nothing else was asked for."""
    possible = mount_options.settings.authenticates
    if mount_options.protections == {Protection.AUTH} and not possible:
        raise SettingsError(
            f"AuthMiddleware needs a key. Set {name_of('jwt_secret')} to 32 bytes or more, or one of "
            f"{name_of('jwt_public_key')}, {name_of('jwks_file')} and {name_of('jwks_url')}"
        )
    if Protection.AUTH in mount_options.protections and mount_options.settings.auth_paths and not possible:
        raise SettingsError(
            f"{name_of('auth_paths')}={','.join(mount_options.settings.auth_paths)!r} needs a key to verify tokens "
            f"with: without one these paths are open to everyone. Set {name_of('jwt_secret')} or another key, "
            "or remove it"
        )
    return Protection.AUTH in mount_options.protections and possible


def mounted(mount_options: MountOptions) -> frozenset[Protection]:
    """The protections that really act: without a key no caller can be authenticated."""
    return mount_options.protections if authenticates(mount_options) else mount_options.protections - {Protection.AUTH}


def measures(mount_options: MountOptions) -> bool:
    """Whether GraphQL requests are read and measured."""
    excuses = authenticates(mount_options) and bool(mount_options.settings.public_operations)
    return excuses or bool(mount_options.protections & _MEASURED)


def build_runtime(mount_options: MountOptions, components: Components, settings: Settings) -> Runtime:
    """The gates and all that they lean on, for the settings in force. SettingsError if these cannot be had."""
    protections = mount_options.protections
    blind = mount_options.schema is None and not mount_options.awaits_schema
    if settings.unsliced_lists == "refuse" and blind and Protection.QUERY_LIMITS in protections:
        raise SettingsError(
            f"{name_of('unsliced_lists')}='refuse' needs a schema to know which fields are lists. Accepted: "
            f"Guard(app, schema=...), or {name_of('unsliced_lists')}=assume"
        )
    modes = {each: settings.mode_of(each) if each in protections else Mode.OFF for each in Protection}
    modes[Protection.METRICS] = Mode.ENFORCE if Protection.METRICS in protections else Mode.OFF
    modes[Protection.ADMIN] = Mode.ENFORCE if Protection.ADMIN in protections and administered(settings) else Mode.OFF
    modes[Protection.AUTH] = modes[Protection.AUTH] if components.identity is not None else Mode.OFF
    active = frozenset(each for each, mode in modes.items() if mode is not Mode.OFF)
    express = modes[Protection.TIMEOUT] is modes[Protection.RATE_LIMIT] is Mode.ENFORCE
    in_flight = (
        Concurrency(
            settings,
            components.at_work,
            refusals=components.pool_refusals if modes[Protection.RATE_LIMIT] is Mode.ENFORCE else None,
            pool_size=components.database.size,
            express=express,
        )
        if Protection.RATE_LIMIT in active
        else None
    )
    access = MetricsAccess(settings) if Protection.METRICS in active else None
    health_access = HealthAccess(settings) if Protection.METRICS in active else None
    reader = _reader(settings, active, components) if measures(mount_options) else None
    host, recorder = components.host, components.recorder
    blocked = BlockedAddresses(clock=components.clocks.elapsed)
    identity = _identity(settings, components, blocked, modes)
    resolver = AddressResolver(settings)
    head_gates = _head_gates(settings, modes, components, (access, health_access))
    token_gate = identity.check if identity else None

    def memory_now() -> Memory | None:
        with suppress(Exception):  # signals are no reason to fail a request
            host.memory.look(recorder.process)
        return host.memory.memory

    operator = StoreOperator(
        components.store,
        settings,
        allow_list=components.allow_list,
        audit=components.recorder.process.acted,
        remembered=reader.texts if reader is not None else None,
        own=_own_knowledge(components),
        clock=components.clocks.now,
    )
    return Runtime(
        settings=settings,
        modes=modes,
        paths=PathTable(settings, admin=Protection.ADMIN in active),
        resolver=resolver,
        metrics_access=access,
        health_access=health_access,
        in_flight=in_flight,
        verifier=components.identity.verifier if components.identity else None,
        identification=identity.identification if identity else None,
        head_gates=head_gates,
        token_gate=token_gate,
        body_gates=_body_gates(settings, mount_options.settings, active, components, reader, in_flight),
        edits=_edits(settings, modes),
        store=components.store,
        control=components.control,
        allow_list=components.allow_list,
        admission=Admission(
            components.store,
            components.refusals,
            settings,
            modes,
            blocked,
            app_documents=components.app_documents,
            configured=mount_options.settings,
        ),
        lockouts=Lockouts(components.store, recorder, settings, components.attempts),
        recorder=recorder,
        budget=components.budget,
        refusal_cache=components.refusal_cache,
        head_cache=RequestHeadCache(_head_reads(resolver, head_gates, token_gate)),
        books=components.books,
        timers=components.timers,
        neighbours=components.neighbours,
        mounts=components.mounts,
        host=host,
        health=Health(
            settings,
            components.store,
            host.providers,
            memory=memory_now,
            refused_for_pool=components.pool_refusals.last_minute,
            on_problem=recorder.warn,
            clock=components.clocks.elapsed,
        ),
        database=components.database,
        reader=reader,
        operator=operator,
        door=_door(settings, operator, components) if Protection.ADMIN in active else None,
        now=components.clocks.now,
    )


def _own_knowledge(components: Components) -> OwnKnowledge | None:
    """None of a store in memory, which always answers."""
    store, presence = components.store, components.presence
    if not isinstance(store, FailoverStore):
        return None
    return OwnKnowledge(
        heartbeat=presence.heartbeat,
        control=components.control.at_present,
        sanctions=store.known_sanctions,
        refusals=presence.unwritten,
    )


def _identity(
    settings: Settings, components: Components, blocked: BlockedAddresses, modes: Mapping[Protection, Mode]
) -> IdentityChecks | None:
    parts = components.identity
    return None if parts is None else identity_checks(parts, settings, blocked=blocked, modes=modes)


def _head_reads(resolver: AddressResolver, head_gates: Iterable[HeadCheck], token_gate: HeadCheck | None) -> HeadReads:
    """What tells heads apart: all that anything which looks at a head declares to read."""
    checks = (*head_gates, *((token_gate,) if token_gate is not None else ()))
    return HeadReads.union((head_cache.READS, replies.READS, resolver.reads, *(check.reads for check in checks)))


def _door(settings: Settings, operator: Operator, components: Components) -> OperatorAuthentication:
    recorder = components.recorder
    verifier = components.identity.verifier if components.identity else None
    standing = Standing(components.store, components.identity.user_status if components.identity else None)
    return open_door(
        settings,
        operator,
        verifier,
        standing=standing,
        audit=recorder.process.acted,
        fault=recorder.fault,
        clock=components.clocks.now,
    )


def _reader(settings: Settings, mounted: frozenset[Protection], components: Components) -> Reader:
    watched = settings if Protection.QUERY_LIMITS in mounted else replace(settings, monitor_limits=())
    return Reader(watched, components.schema, persisted=components.persisted, clock=components.clocks.elapsed)


def _head_gates(
    settings: Settings, modes: Mapping[Protection, Mode], components: Components, pages: Iterable[HeadCheck | None]
) -> tuple[HeadCheck, ...]:
    mounted = frozenset(each for each, mode in modes.items() if mode is not Mode.OFF)
    checks: list[HeadCheck] = []
    if not mounted.isdisjoint(SANCTIONING):
        checks.append(components.blocks)
    checks.append(RequestPaths(first_in_force(modes, _CHECKING) or _CHECKING[0]))
    if mounted - {Protection.METRICS}:
        checks.append(
            HttpRequestForm(settings, sockets=first_in_force(modes, _CLOSED_TO_SOCKETS) or _CLOSED_TO_SOCKETS[0])
        )
    checks.extend(page for page in pages if page is not None)
    if Protection.ADMIN in mounted:
        checks.append(AdminAccess())
    return tuple(checks)


def _body_gates(
    settings: Settings,
    configured: Settings,
    mounted: frozenset[Protection],
    components: Components,
    reader: Reader | None,
    in_flight: Concurrency | None,
) -> tuple[Check, ...]:
    checks: list[Check] = []
    if reader is not None:
        checks.append(QueryLimits(reader))
    if Protection.QUERY_LIMITS in mounted:
        checks.append(components.documents)
    if Protection.AUTH in mounted and settings.public_operations:
        checks.append(PublicOperations(settings))
    if settings.shed_above_memory_percent is not None and Protection.RATE_LIMIT in mounted:
        checks.append(MemoryPressure(components.host.memory, settings.shed_above_memory_percent))
    if settings.cost_budgets and Protection.RATE_LIMIT in mounted:
        checks.append(CostBudgets(settings, configured))
    if in_flight is not None:
        checks.append(in_flight)
    return tuple(checks)


def _edits(settings: Settings, modes: Mapping[Protection, Mode]) -> tuple[Edit, ...]:
    """What is changed in the app's answers to GraphQL requests."""
    edits: list[Edit] = []
    if settings.suggestions_hidden and modes[Protection.QUERY_LIMITS] is Mode.ENFORCE:
        edits.append(without_suggestions)
    if settings.cost_in_response:
        edits.append(with_cost)
    return tuple(edits)


def chain(app: Any) -> Iterator[Any]:
    """An app and the apps that it wraps, as far as it shows them in the customary attribute ``app``."""
    for _ in range(50):
        if app is None:
            return
        yield app
        app = getattr(app, "app", None)


def schema_of(app: Any) -> GraphQLSchema | None:
    """The schema that a FraiseQL app shows in its state, if this is one."""
    schema = getattr(getattr(app, "state", None), "graphql_schema", None)
    return schema if isinstance(schema, GraphQLSchema) else None


def declared(app: Any) -> Iterator[type]:
    """Middleware classes that a Starlette app will build its own stack from."""
    for each in getattr(app, "user_middleware", ()):
        if isinstance(each.cls, type):
            yield each.cls


def startup_warnings(mount_options: MountOptions, app: Any) -> list[str]:
    """What deserves a look although it is no error."""
    settings, sentences = mount_options.settings, []
    if settings.redis_url is None and mount_options.protections & {Protection.RATE_LIMIT, Protection.AUTH}:
        sentences.append(
            f"{name_of('redis_url')} is not set: limits and sanctions live in this process alone, so that each worker "
            "admits the full limit and forgets everything when it ends"
        )
    if Protection.AUTH in mount_options.protections and not settings.authenticates:
        sentences.append(
            f"{name_of('jwt_secret')} is not set, nor any other key: authentication is inactive and every caller is "
            "anonymous"
        )
        if mount_options.user_status is not None:
            sentences.append("user_status is given and will never be asked: without a key there is no verified user")
    table = load_schema(mount_options.schema) if Protection.QUERY_LIMITS in mount_options.protections else None
    if table is not None and (unsliced := unsliced_fields(table, settings)):
        more = f" and {len(unsliced) - _NAMED} more" if len(unsliced) > _NAMED else ""
        sentences.append(
            f"lists without a slicing argument are counted as {settings.list_multiplier} items whatever they return "
            f"({name_of('list_multiplier')}): {', '.join(unsliced[:_NAMED])}{more}"
        )
    sentences += warnings_of(settings, mount_options.protections)
    inside = {type(each).__name__ for each in chain(app)}
    inside |= {cls.__name__ for each in chain(app) for cls in declared(each)}
    sentences += blinding(inside)
    if any(each.__module__.startswith("fraiseql.") and each.__name__ == "MetricsMiddleware" for each in declared(app)):
        sentences.append(
            "FraiseQL's own metrics are set up as well (setup_metrics): the guard's are served in their place, and "
            "their middleware costs a database connection for each query that is stopped. Remove setup_metrics"
        )
    if "CORSMiddleware" in inside:
        sentences.append(
            "CORSMiddleware is mounted inside the guard, so that refusals reach browsers without CORS headers: "
            f"mount it outside, or set {name_of('cors_origins')}"
        )
    return sentences

"""How middlewares become one stack: what each wishes for, how wishes are joined, and what a stack is built of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from graphql import GraphQLSchema
from prometheus_client import CollectorRegistry

from fraiseql_guard.admin import Standing, administered, open_door
from fraiseql_guard.admission import Admission
from fraiseql_guard.database import DatabaseSignals
from fraiseql_guard.edge import heads, replies
from fraiseql_guard.edge.answer_editor import Edit
from fraiseql_guard.edge.cost_note import with_cost
from fraiseql_guard.edge.heads import Heads
from fraiseql_guard.edge.paths import PathTable
from fraiseql_guard.edge.stack import Gate, HeadGate, OperatorsDoor, Stack, first_in_force
from fraiseql_guard.edge.suggestions import without_suggestions
from fraiseql_guard.gates.admin_access import AdminAccess
from fraiseql_guard.gates.authentication import PublicOperations
from fraiseql_guard.gates.cost_budgets import CostBudgets
from fraiseql_guard.gates.in_flight import InFlight
from fraiseql_guard.gates.memory_pressure import MemoryPressure
from fraiseql_guard.gates.metrics_access import HealthAccess, MetricsAccess
from fraiseql_guard.gates.query_limits import QueryLimits
from fraiseql_guard.gates.request_forms import RequestForms
from fraiseql_guard.gates.request_paths import RequestPaths
from fraiseql_guard.gates.sanctions import SANCTIONING
from fraiseql_guard.graphql.reader import Reader
from fraiseql_guard.graphql.schema import SchemaSource, load_schema
from fraiseql_guard.graphql.slicing import unsliced_fields
from fraiseql_guard.host import Memory
from fraiseql_guard.host.health import Health
from fraiseql_guard.identification import IdentityGates, identity_gates
from fraiseql_guard.identity.addresses import AddressResolver
from fraiseql_guard.identity.user_status import AskUserStatus
from fraiseql_guard.lasting import Lasting
from fraiseql_guard.lockouts import Lockouts
from fraiseql_guard.operator.alone import OwnKnowledge
from fraiseql_guard.operator.interface import Operator
from fraiseql_guard.operator.store_operator import StoreOperator
from fraiseql_guard.reads import HeadReads
from fraiseql_guard.settings import Mode, Settings, SettingsError, name_of
from fraiseql_guard.signals import Protection
from fraiseql_guard.stores.blocked import BlockedAddresses
from fraiseql_guard.stores.failover import FailoverStore
from fraiseql_guard.surroundings import blinding, warnings_of

_NAMED: Final = 10
"""Most fields that a sentence names."""
_CLOSED_TO_SOCKETS: Final = (Protection.QUERY_LIMITS, Protection.AUTH, Protection.RATE_LIMIT)
"""Protections that operations over a WebSocket on a GraphQL path would pass by."""
_CHECKING: Final = (*_CLOSED_TO_SOCKETS, Protection.TIMEOUT)
"""Protections that lean on the path of a request."""
_MEASURED: Final = frozenset({Protection.QUERY_LIMITS, Protection.RATE_LIMIT, Protection.TIMEOUT})
"""Protections that need to know which operation is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
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
    awaits_schema: bool = False
    """Whether the host may still bring its schema, with the first scope."""

    def joined(self, inner: Wishes) -> Wishes:
        """Ours and those of the middleware directly inside; SettingsError where they contradict each other."""
        both = f"{' + '.join(self.names)} and {' + '.join(inner.names)}"
        for option, value in inner.explicit.items():
            if option in self.explicit and self.explicit[option] != value:
                raise SettingsError(f"{both} are mounted on each other and give {option} two values. Give it once")
        return Wishes(
            names=(*self.names, *inner.names),
            protections=self.protections | inner.protections,
            settings=self.settings.override(**inner.explicit),
            explicit={**inner.explicit, **self.explicit},
            schema=_either("schema", self.schema, inner.schema, both),
            registry=_either("registry", self.registry, inner.registry, both),
            logger=_either("logger", self.logger, inner.logger, both),
            user_status=_either("user_status", self.user_status, inner.user_status, both),
            database=_either("database", self.database, inner.database, both),
            awaits_schema=self.awaits_schema,
        )


def _either(name: str, outer: Any, inner: Any, both: str) -> Any:
    if outer is not None and inner is not None and outer is not inner:
        raise SettingsError(f"{both} are mounted on each other and give two different {name} objects. Give it once")
    return outer if outer is not None else inner


def authenticates(wishes: Wishes) -> bool:
    """Whether tokens are verified: asked for, and a key is there. SettingsError if nothing else was asked for."""
    possible = wishes.settings.authenticates
    if wishes.protections == {Protection.AUTH} and not possible:
        raise SettingsError(
            f"AuthMiddleware needs a key. Set {name_of('jwt_secret')} to 32 bytes or more, or one of "
            f"{name_of('jwt_public_key')}, {name_of('jwks_file')} and {name_of('jwks_url')}"
        )
    if Protection.AUTH in wishes.protections and wishes.settings.auth_paths and not possible:
        raise SettingsError(
            f"{name_of('auth_paths')}={','.join(wishes.settings.auth_paths)!r} needs a key to verify tokens with: "
            f"without one these paths are open to everyone. Set {name_of('jwt_secret')} or another key, or remove it"
        )
    return Protection.AUTH in wishes.protections and possible


def mounted(wishes: Wishes) -> frozenset[Protection]:
    """The protections that really act: without a key no caller can be authenticated."""
    return wishes.protections if authenticates(wishes) else wishes.protections - {Protection.AUTH}


def measures(wishes: Wishes) -> bool:
    """Whether GraphQL requests are read and measured."""
    excuses = authenticates(wishes) and bool(wishes.settings.public_operations)
    return excuses or bool(wishes.protections & _MEASURED)


def build_stack(wishes: Wishes, lasting: Lasting, settings: Settings) -> Stack:
    """The gates and all that they lean on, for the settings in force. SettingsError if these cannot be had."""
    protections = wishes.protections
    blind = wishes.schema is None and not wishes.awaits_schema
    if settings.unsliced_lists == "refuse" and blind and Protection.QUERY_LIMITS in protections:
        raise SettingsError(
            f"{name_of('unsliced_lists')}='refuse' needs a schema to know which fields are lists. Accepted: "
            f"Guard(app, schema=...), or {name_of('unsliced_lists')}=assume"
        )
    modes = {each: settings.mode_of(each) if each in protections else Mode.OFF for each in Protection}
    modes[Protection.METRICS] = Mode.ENFORCE if Protection.METRICS in protections else Mode.OFF
    modes[Protection.ADMIN] = Mode.ENFORCE if Protection.ADMIN in protections and administered(settings) else Mode.OFF
    modes[Protection.AUTH] = modes[Protection.AUTH] if lasting.identity is not None else Mode.OFF
    active = frozenset(each for each, mode in modes.items() if mode is not Mode.OFF)
    express = modes[Protection.TIMEOUT] is modes[Protection.RATE_LIMIT] is Mode.ENFORCE
    in_flight = (
        InFlight(
            settings,
            lasting.at_work,
            refusals=lasting.pool_refusals if modes[Protection.RATE_LIMIT] is Mode.ENFORCE else None,
            pool_size=lasting.database.size,
            express=express,
        )
        if Protection.RATE_LIMIT in active
        else None
    )
    access = MetricsAccess(settings) if Protection.METRICS in active else None
    health_access = HealthAccess(settings) if Protection.METRICS in active else None
    reader = _reader(settings, active, lasting) if measures(wishes) else None
    host, settle = lasting.host, lasting.settle
    blocked = BlockedAddresses()
    identity = _identity(settings, lasting, blocked, modes)
    resolver = AddressResolver(settings)
    head_gates = _head_gates(settings, modes, lasting, (access, health_access))
    token_gate = identity.gate if identity else None

    def memory_now() -> Memory | None:
        with suppress(Exception):  # signals are no reason to fail a request
            host.memory.look(settle.process)
        return host.memory.memory

    operator = StoreOperator(
        lasting.store,
        settings,
        allow_list=lasting.allow_list,
        audit=lasting.settle.process.acted,
        remembered=reader.texts if reader is not None else None,
        own=_own_knowledge(lasting),
    )
    return Stack(
        settings=settings,
        modes=modes,
        paths=PathTable(settings, admin=Protection.ADMIN in active),
        resolver=resolver,
        metrics_access=access,
        health_access=health_access,
        in_flight=in_flight,
        verifier=lasting.identity.verifier if lasting.identity else None,
        identification=identity.identification if identity else None,
        head_gates=head_gates,
        token_gate=token_gate,
        body_gates=_body_gates(settings, wishes.settings, active, lasting, reader, in_flight),
        edits=_edits(settings, modes),
        store=lasting.store,
        control=lasting.control,
        allow_list=lasting.allow_list,
        admission=Admission(
            lasting.store,
            lasting.refusals,
            settings,
            modes,
            blocked,
            app_documents=lasting.app_documents,
            configured=wishes.settings,
        ),
        lockouts=Lockouts(lasting.store, settle, settings, lasting.attempts),
        settle=settle,
        budget=lasting.budget,
        repeats=lasting.repeats,
        heads=Heads(_head_reads(resolver, head_gates, token_gate)),
        books=lasting.books,
        timers=lasting.timers,
        neighbours=lasting.neighbours,
        mounts=lasting.mounts,
        host=host,
        health=Health(
            settings,
            lasting.store,
            host.providers,
            memory=memory_now,
            refused_for_pool=lasting.pool_refusals.last_minute,
            on_problem=settle.warn,
        ),
        database=lasting.database,
        reader=reader,
        operator=operator,
        door=_door(settings, operator, lasting) if Protection.ADMIN in active else None,
    )


def _own_knowledge(lasting: Lasting) -> OwnKnowledge | None:
    """None of a store in memory, which always answers."""
    store, presence = lasting.store, lasting.presence
    if not isinstance(store, FailoverStore):
        return None
    return OwnKnowledge(
        heartbeat=presence.heartbeat,
        control=lasting.control.at_present,
        sanctions=store.known_sanctions,
        refusals=presence.unwritten,
    )


def _identity(
    settings: Settings, lasting: Lasting, blocked: BlockedAddresses, modes: Mapping[Protection, Mode]
) -> IdentityGates | None:
    parts = lasting.identity
    return None if parts is None else identity_gates(parts, settings, blocked=blocked, modes=modes)


def _head_reads(resolver: AddressResolver, head_gates: Iterable[HeadGate], token_gate: HeadGate | None) -> HeadReads:
    """What tells heads apart: all that anything which looks at a head declares to read."""
    gates = (*head_gates, *((token_gate,) if token_gate is not None else ()))
    return HeadReads.union((heads.READS, replies.READS, resolver.reads, *(gate.reads for gate in gates)))


def _door(settings: Settings, operator: Operator, lasting: Lasting) -> OperatorsDoor:
    settle = lasting.settle
    verifier = lasting.identity.verifier if lasting.identity else None
    standing = Standing(lasting.store, lasting.identity.user_status if lasting.identity else None)
    return open_door(settings, operator, verifier, standing=standing, audit=settle.process.acted, fault=settle.fault)


def _reader(settings: Settings, mounted: frozenset[Protection], lasting: Lasting) -> Reader:
    watched = settings if Protection.QUERY_LIMITS in mounted else replace(settings, monitor_limits=())
    return Reader(watched, lasting.schema, persisted=lasting.persisted)


def _head_gates(
    settings: Settings, modes: Mapping[Protection, Mode], lasting: Lasting, pages: Iterable[HeadGate | None]
) -> tuple[HeadGate, ...]:
    mounted = frozenset(each for each, mode in modes.items() if mode is not Mode.OFF)
    gates: list[HeadGate] = []
    if not mounted.isdisjoint(SANCTIONING):
        gates.append(lasting.blocks)
    gates.append(RequestPaths(first_in_force(modes, _CHECKING) or _CHECKING[0]))
    if mounted - {Protection.METRICS}:
        gates.append(RequestForms(settings, sockets=first_in_force(modes, _CLOSED_TO_SOCKETS) or _CLOSED_TO_SOCKETS[0]))
    gates.extend(page for page in pages if page is not None)
    if Protection.ADMIN in mounted:
        gates.append(AdminAccess())
    return tuple(gates)


def _body_gates(
    settings: Settings,
    configured: Settings,
    mounted: frozenset[Protection],
    lasting: Lasting,
    reader: Reader | None,
    in_flight: InFlight | None,
) -> tuple[Gate, ...]:
    gates: list[Gate] = []
    if reader is not None:
        gates.append(QueryLimits(reader))
    if Protection.QUERY_LIMITS in mounted:
        gates.append(lasting.documents)
    if Protection.AUTH in mounted and settings.public_operations:
        gates.append(PublicOperations(settings))
    if settings.shed_above_memory_percent is not None and Protection.RATE_LIMIT in mounted:
        gates.append(MemoryPressure(lasting.host.memory, settings.shed_above_memory_percent))
    if settings.cost_budgets and Protection.RATE_LIMIT in mounted:
        gates.append(CostBudgets(settings, configured))
    if in_flight is not None:
        gates.append(in_flight)
    return tuple(gates)


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


def startup_warnings(wishes: Wishes, app: Any) -> list[str]:
    """What deserves a look although it is no error."""
    settings, sentences = wishes.settings, []
    if settings.redis_url is None and wishes.protections & {Protection.RATE_LIMIT, Protection.AUTH}:
        sentences.append(
            f"{name_of('redis_url')} is not set: limits and sanctions live in this process alone, so that each worker "
            "admits the full limit and forgets everything when it ends"
        )
    if Protection.AUTH in wishes.protections and not settings.authenticates:
        sentences.append(
            f"{name_of('jwt_secret')} is not set, nor any other key: authentication is inactive and every caller is "
            "anonymous"
        )
        if wishes.user_status is not None:
            sentences.append("user_status is given and will never be asked: without a key there is no verified user")
    table = load_schema(wishes.schema) if Protection.QUERY_LIMITS in wishes.protections else None
    if table is not None and (unsliced := unsliced_fields(table, settings)):
        more = f" and {len(unsliced) - _NAMED} more" if len(unsliced) > _NAMED else ""
        sentences.append(
            f"lists without a slicing argument are counted as {settings.list_multiplier} items whatever they return "
            f"({name_of('list_multiplier')}): {', '.join(unsliced[:_NAMED])}{more}"
        )
    sentences += warnings_of(settings, wishes.protections)
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

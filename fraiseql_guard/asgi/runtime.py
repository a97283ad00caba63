"""Everything that requests are decided with under one set of settings, shared by all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from starlette.types import ASGIApp, Scope

from fraiseql_guard.asgi.accounts import Accounts
from fraiseql_guard.asgi.actual_cost import CostHeader
from fraiseql_guard.asgi.answer_editor import Edit
from fraiseql_guard.asgi.body_budget import BufferBudget, share_bytes
from fraiseql_guard.asgi.head_cache import RequestHeadCache
from fraiseql_guard.asgi.limit_headers import Disclosure
from fraiseql_guard.asgi.mounts import MountPrefixes
from fraiseql_guard.asgi.neighbours import Neighbours
from fraiseql_guard.asgi.own_bodies import OwnBodies
from fraiseql_guard.asgi.paths import PathTable
from fraiseql_guard.asgi.refusal_cache import RefusalResponseCache
from fraiseql_guard.asgi.sockets.registry import ConnectionEnder, LiveConnections
from fraiseql_guard.asgi.sockets.repeated_tokens import RepeatedTokens
from fraiseql_guard.asgi.sockets.send_watch import SendWatch
from fraiseql_guard.asgi.timeout_policy import TimeoutPolicies, timeout_policies
from fraiseql_guard.asgi.waiting_room import WaitingRoom
from fraiseql_guard.asgi.what_counts import WhatCounts
from fraiseql_guard.checks.admission import Admission
from fraiseql_guard.checks.concurrency import Concurrency
from fraiseql_guard.checks.lockouts import Lockouts
from fraiseql_guard.checks.metrics_access import HealthAccess, MetricsAccess
from fraiseql_guard.checks.socket_room import SocketRoom, SubscriptionRoom
from fraiseql_guard.core.context import Books, RequestContext
from fraiseql_guard.core.deadline_timers import DeadlineTimers
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.loop_task import PerLoop
from fraiseql_guard.core.reads import HeadReads
from fraiseql_guard.core.rule_table import RuleTable
from fraiseql_guard.core.settings import Mode, Settings
from fraiseql_guard.core.signals import Protection
from fraiseql_guard.graphql.reader import Reader
from fraiseql_guard.identity.addresses import AddressResolver
from fraiseql_guard.identity.limit_keys import LimitKeys
from fraiseql_guard.stores.overrides_watch import OverridesWatch
from fraiseql_guard.stores.protocol import Store
from fraiseql_guard.telemetry.database import DatabaseSignals
from fraiseql_guard.telemetry.process import ProcessMonitor
from fraiseql_guard.telemetry.process.health import Health
from fraiseql_guard.telemetry.recorder import RequestRecorder

if TYPE_CHECKING:
    from fraiseql_guard.asgi.async_authentication import AsyncAuthentication
    from fraiseql_guard.identity.verifier import Verifier
    from fraiseql_guard.operations.operator.interface import Operator

T = TypeVar("T")

_READ_BODIES: Final = (Protection.QUERY_LIMITS, Protection.AUTH, Protection.RATE_LIMIT, Protection.TIMEOUT)
"""Protections that decide by the operation in a request's body."""
_CHECKING: Final = (Protection.RATE_LIMIT, Protection.AUTH, Protection.QUERY_LIMITS, Protection.TIMEOUT)
"""Protections that look at every request, and can be told to monitor."""
_ON_GRAPHQL_PATHS_ALONE: Final = (Protection.AUTH, Protection.QUERY_LIMITS)
"""Protections without which a path that no setting names is open: they look at GraphQL paths alone."""


def first_in_force(modes: Mapping[Protection, Mode], candidates: Sequence[Protection]) -> Protection | None:
    """The protection in whose name and mode a refusal stands that concerns several: the first that enforces, else the
    first that is mounted, else None."""
    for wanted in (Mode.ENFORCE, Mode.MONITOR):
        for each in candidates:
            if modes[each] is wanted:
                return each
    return None


class Check(Protocol):
    """One decision. CPU only; adds what it finds out to the context."""

    @property
    def protection(self) -> Protection:
        """The protection in whose name and mode the check refuses."""
        ...

    def decide(self, ctx: RequestContext) -> Denial | None:
        """The refusal; None lets the next check look at the request."""
        ...


class HeadCheck(Check, Protocol):
    """A check whose decision is cached for the requests that come with the same head."""

    @property
    def reads(self) -> HeadReads:
        """The parts of a head that the check reads."""
        ...


class OperatorAuthentication(Protocol):
    """Identifies operators, and finds the app that answers requests for their API."""

    async def receive(self, scope: Scope, ctx: RequestContext) -> ASGIApp:
        """The ASGI app that answers a request; sets the context's actor."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """The checks of one set of settings, and all parts that they use.

    ``modes`` has every protection; what is not mounted is OFF.
    """

    settings: Settings
    modes: Mapping[Protection, Mode]
    paths: PathTable
    resolver: AddressResolver
    allow_list: Container[str]
    metrics_access: MetricsAccess | None
    health_access: HealthAccess | None
    concurrency: Concurrency | None
    socket_room: SocketRoom
    subscription_room: SubscriptionRoom
    live: LiveConnections
    repeated_tokens: RepeatedTokens
    live_watch: ConnectionEnder
    rules: RuleTable | None
    verifier: Verifier | None
    async_authentication: AsyncAuthentication | None
    limit_keys: LimitKeys | None
    """Finds whose buckets a request takes from; None where it is the subject's."""
    head_checks: Sequence[HeadCheck]
    """Decide by what requests with the same head have in common; cached with it."""
    token_check: HeadCheck | None
    socket_checks: Sequence[Check]
    """Decide by the head of an upgrade to a WebSocket, after those of every head. The last is the token's."""
    body_checks: Sequence[Check]
    edits: Sequence[Edit]
    store: Store
    control: OverridesWatch
    admission: Admission
    accounts: Accounts
    lockouts: Lockouts
    recorder: RequestRecorder
    budget: BufferBudget
    host: ProcessMonitor
    health: Health
    database: DatabaseSignals
    operator_when_asked: Callable[[], Operator]
    """Returns the operator interface, made at the first call."""
    operator_authentication: OperatorAuthentication | None
    refusal_cache: RefusalResponseCache
    head_cache: RequestHeadCache
    books: Books
    timers: PerLoop[DeadlineTimers]
    sends: PerLoop[SendWatch]
    neighbours: Neighbours
    mounts: MountPrefixes
    reader: Reader | None = None
    what_counts: WhatCounts | None = None
    waiting_room: WaitingRoom | None = None
    cost_header: CostHeader | None = None
    own_bodies: OwnBodies | None = None
    shows_anonymous: bool = False
    """Whether apps find an anonymous user where no token is looked at: authentication is mounted, and has no key or is
    off."""
    now: Callable[[], float] = time.time

    # Answers that every request needs from the modes, computed once.
    counts: bool = field(init=False)
    """Whether plain metrics are mounted."""
    authenticates: bool = field(init=False)
    """Whether tokens are looked at."""
    refuses: bool = field(init=False)
    """Whether anything is enforced that has a mode."""
    limits_rates: bool = field(init=False)
    """Whether rate limits are enforced."""
    bounds_bodies: bool = field(init=False)
    """Whether bodies are bounded while the app reads them."""
    body_judge: Protection | None = field(init=False)
    """In whose name a request is refused whose body cannot be read: the first that enforces, else one that monitors."""
    times_all: bool = field(init=False)
    """Whether requests that are no GraphQL operations are timed out."""
    reads_sockets: bool = field(init=False)
    """Whether any check reads the messages of a WebSocket on a GraphQL path."""
    body_share_bytes: int = field(init=False)
    """Bytes of request bodies that one caller may hold."""
    timeout_policies: TimeoutPolicies = field(init=False)
    """How long apps may work."""
    disclosure: Disclosure = field(init=False)
    """What clients are told of limits."""

    def __post_init__(self) -> None:
        rules_time = self.rules is not None and self.rules.times
        looked_up: dict[str, Any] = {
            "counts": self.mounted(Protection.METRICS),
            "authenticates": self.mounted(Protection.AUTH),
            "refuses": any(map(self.enforces, _CHECKING)),
            "limits_rates": self.enforces(Protection.RATE_LIMIT),
            "bounds_bodies": self.enforces(Protection.QUERY_LIMITS),
            "body_judge": first_in_force(self.modes, _READ_BODIES),
            "times_all": self.mounted(Protection.TIMEOUT) and (self.settings.request_timeout is not None or rules_time),
            "reads_sockets": first_in_force(self.modes, _CHECKING) is not None,
            "body_share_bytes": share_bytes(self.settings),
            "disclosure": Disclosure.of(self.settings),
            "timeout_policies": timeout_policies(self.settings, self.modes[Protection.TIMEOUT], self.rules),
        }
        for name, answer in looked_up.items():
            object.__setattr__(self, name, answer)

    @property
    def operator(self) -> Operator:
        """The operator interface: reports and actions."""
        return self.operator_when_asked()

    def register_caches(self) -> None:
        """Register this runtime's caches with the process, in place of a former runtime's."""
        caches = self.host.caches
        caches.own("heads", self.head_cache)
        caches.own("trips", self.admission)
        if self.reader is not None:
            caches.own("documents", self.reader)

    def forget(self) -> None:
        """Empty the caches: another runtime is in force. A stream that began with this one may hold it for hours."""
        for cache in (self.head_cache, self.admission, self.reader):
            if cache is not None:
                cache.forget()

    def mounted(self, protection: Protection) -> bool:
        """Whether a protection is mounted."""
        return self.modes[protection] is not Mode.OFF

    def enforces(self, protection: Protection) -> bool:
        """Whether refusals of a protection are answered."""
        return self.modes[protection] is Mode.ENFORCE

    @property
    def on_graphql_paths_alone(self) -> frozenset[Protection]:
        """The mounted protections of _ON_GRAPHQL_PATHS_ALONE."""
        return frozenset(filter(self.mounted, _ON_GRAPHQL_PATHS_ALONE))

    def in_whose_name(self, protection: Protection) -> Protection:
        """The protection in whose name a request is refused that a part of ``protection`` could not check: itself if it
        enforces, else the first that does; where none does, one that monitors."""
        return first_in_force(self.modes, (protection, *_CHECKING)) or protection

    def watch_host(self) -> None:
        """Keep the gauges of this worker and the last look at its memory fresh, whichever worker is scraped."""
        sheds = self.settings.shed_above_memory_percent is not None and self.mounted(Protection.RATE_LIMIT)
        if sheds or self.mounted(Protection.METRICS):
            self.host.periodic_task.ensure_running(self.publish)

    def publish(self) -> None:
        """Export the gauges of this process. Never raises."""
        self.tell(self.recorder.process.held, self.budget.used, self.concurrency.at_work if self.concurrency else 0)
        self.tell(self.recorder.publish)
        self.tell(self.host.look, self.recorder.process)
        self.tell(self.database.refresh)
        if self.verifier is not None:
            self.tell(self.recorder.process.keys_aged, self.verifier.set_ages())

    def tell(self, signal: Callable[..., T], *facts: Any) -> T | None:
        """Call ``signal`` with ``facts``; None if it raises, which is recorded and changes nothing for the request."""
        try:
            return signal(*facts)
        except Exception as error:  # noqa: BLE001 - signals are no reason to fail a request
            with suppress(Exception):  # nothing is left that could tell it
                self.recorder.fault("settle", error)
        return None

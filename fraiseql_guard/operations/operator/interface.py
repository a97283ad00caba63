"""The operator's interface: what can be seen and done, in values that every way in shows alike.

Python (``guard.operator``), HTTP (``admin``) and the command line (on the store directly, or through HTTP) speak of
these types and of nothing else. Durations are seconds; moments are Unix time in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from fraiseql_guard.core.live_facts import LiveFacts
from fraiseql_guard.operations.operator.shared_values import (
    BLOCK_SECONDS,
    Action,
    Refusal,
    SocketHolder,
    Target,
    Worker,
)
from fraiseql_guard.operations.tuning.result import TuningResult


class Origin(StrEnum):
    """The origin of a sanction: an escalation policy, or an operator."""

    AUTOMATIC = "automatic"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A sanction in force: a block of a user, an address or a network, or the lockout of a login."""

    target: Target
    origin: Origin
    policy: str
    """rate_limit_abuse, brute_force, account_lockout, dos or operator."""
    expires_in_seconds: float
    reason: str = ""
    actor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockPage:
    """Some of the sanctions in force: operators' blocks of networks first, then those that end last."""

    items: Sequence[Block]
    next_cursor: str | None = None
    """What gives the next page; null behind the last."""
    total: int = 0
    """Of all pages together, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifting:
    """The progress of lifting all sanctions of one origin."""

    origin: str
    """automatic, operator or any."""
    state: str
    """running, done, or stopped: it ended before all were lifted, and the same again goes on."""
    lifted: int
    seen: int
    """How many of ``total`` were looked at: not all of them have this origin."""
    total: int
    started_at: float
    message: str
    """One sentence for a person."""
    actor: str = ""
    worker: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitOverride:
    """The limit of one user, address or key, set by an operator for a while."""

    target: Target
    limit: str
    """As ``100/minute``."""
    burst: int
    expires_in_seconds: float
    actor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitPage:
    """Some of the limits that operators have set, those that end last first."""

    items: Sequence[LimitOverride]
    next_cursor: str | None = None
    """What gives the next page; null behind the last."""
    total: int = 0
    """Of all pages together, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """An address or network that is not counted and never sanctioned automatically."""

    ip_address: str
    reason: str = ""
    expires_in_seconds: float | None = None
    source: str = "operator"
    """operator, settings or file; only the operator's can be taken back here."""
    actor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A fleet-wide override in force: kind ``mode`` (name: a protection or ``all``), ``setting`` (name: the variable),
    ``document`` (name: its SHA-256) or ``operation`` (name: the operation's name)."""

    kind: str
    name: str
    value: str = ""
    expires_in_seconds: float | None = None
    reason: str = ""
    actor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A GraphQL document that is trusted, or that a worker remembers."""

    id: str
    """The name that clients may send for it."""
    name: str = ""
    type: str = ""
    """query, mutation or subscription."""
    query_hash: str = ""
    """SHA-256 of its text, as log lines carry it."""
    size_bytes: int = 0
    source: str = "store"
    """store: of the whole fleet; file: of this host's manifest; process: what this worker remembers."""
    text: str = ""
    """Left out of lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The result of an action. ``message`` is one sentence for a person."""

    message: str
    changed: bool = True
    """False if everything was as wanted already."""
    affected: int = 0
    """Number of sanctions lifted, documents added, workers reached, ..."""
    would_have_met: int | None = None
    """Number of the last requests that a block would have refused; None if it was not measured."""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sockets:
    """The live connections of the fleet: WebSockets, and answers that are streamed."""

    items: Sequence[LiveFacts]
    """The 20 largest of each worker, by their operations and what waits: as they were a few seconds ago."""
    open: Mapping[str, int]
    """Number of open connections on all workers, by their protocol."""
    opened_last_minute: int = 0
    """WebSockets opened in the last minute."""
    closed: Mapping[str, int] = field(default_factory=dict)
    """WebSockets that were closed in the last five minutes, by reason."""
    holders: Sequence[SocketHolder] = ()
    """The callers who have the most open: the first five of each worker, added up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The fleet at a glance."""

    at: float
    store: str
    """redis or memory."""
    store_answers: bool
    workers: Sequence[Worker]
    switches: Sequence[Switch]
    sanctions: int | None
    """None where it is not known: the store does not answer."""
    notes: Sequence[str] = ()
    """Sentences that deserve a look: workers that differ in their configuration, an open breaker, monitor mode."""
    alone: Alone | None = None
    """While the store does not answer: what one worker knows by itself. All the rest is of that worker alone, too."""
    time: str = ""
    """``at`` as ISO 8601 in UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """The knowledge of one worker while the store does not answer, at most 100 of each."""

    worker: str
    """Its id."""
    sanctions: int
    """Number of sanctions in force that the worker knows."""
    blocks: Sequence[Block] = ()
    offenders: Sequence[Offender] = ()
    refusals: Sequence[Refusal] = ()
    """Refusals that the worker could not write to the store yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offender:
    """A caller that was refused lately, in the last five minutes over all workers."""

    target: Target
    requests: int
    refusals: int
    by_code: Mapping[str, int]


class OperatorError(Exception):
    """An action that was not done. ``status`` is the HTTP status that says so; the text names value and remedy."""

    status = 400
    code = "INVALID"
    """The kind of error under a name that does not change, for programs."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class DangerousError(OperatorError):
    """The action would meet a proxy, loopback, a wide network, the caller or the allow-listed: it needs ``force``."""

    status = 409
    code = "DANGEROUS"

    def __init__(self, message: str, *, field: str | None = None, would_have_met: int | None = None) -> None:
        super().__init__(message, field=field)
        self.would_have_met = would_have_met


class NotFoundError(OperatorError):
    """There is no such thing."""

    status = 404
    code = "NOT_FOUND"


class ConflictError(OperatorError):
    """It contradicts what is there already, or there is no room for it."""

    status = 409
    code = "CONFLICT"


class NotAppliedError(OperatorError):
    """The store did not answer: nothing was changed."""

    status = 503
    code = "NOT_APPLIED"


class Operator(Protocol):
    """What an operator can see and do.

    ``actor`` names who acts, for the audit. Every method may raise :class:`OperatorError`; what was not applied
    everywhere was not applied at all (NotAppliedError). Doing a thing twice is no error (``Done.changed`` tells).
    """

    # blocks and lockouts
    async def block(
        self,
        target: Target,
        *,
        duration_seconds: float = BLOCK_SECONDS,
        reason: str = "",
        force: bool = False,
        actor: str = "",
        caller: str | None = None,
    ) -> Done:
        """Refuse everything from a user, an address or a network for a while. ``caller`` is the actor's own address."""
        ...

    async def lift(self, target: Target, *, actor: str = "") -> Done:
        """End every sanction of a target (automatic and operator's), everywhere, and forget its offences."""
        ...

    async def lift_all(
        self, *, origin: Origin | None = Origin.AUTOMATIC, actor: str = "", wait_seconds: float | None = None
    ) -> Done:
        """End all sanctions of an origin; of every origin with None. Asked for twice at once it is done once.

        It goes on in the background after ``wait_seconds``; then ``details`` say ``running``, and :meth:`lifting` how
        far it is. Without, this waits for its end."""
        ...

    async def lifting(self, *, origin: Origin | None = Origin.AUTOMATIC) -> Lifting:
        """How far the last :meth:`lift_all` of an origin is; NotFoundError an hour after its end."""
        ...

    async def blocks(self) -> Sequence[Block]:
        """All sanctions in force, the longest first, however many."""
        ...

    async def blocks_page(self, count: int = 100, cursor: str = "", *, logins: bool = False) -> BlockPage:
        """Some of them; of lockouts alone with ``logins``, where a page may be short, even empty, before the last."""
        ...

    async def unlock(self, identifier: str, *, ip_address: str | None = None, actor: str = "") -> Done:
        """End the lockouts of a login identifier: at one address, or everywhere."""
        ...

    # limits
    async def set_limit(
        self, target: Target, limit: str, *, duration_seconds: float = BLOCK_SECONDS, actor: str = ""
    ) -> Done:
        """Raise or lower one user's (or address's, or key's) limit for a while."""
        ...

    async def clear_limit(self, target: Target, *, actor: str = "") -> Done:
        """End an override of a limit."""
        ...

    async def limits(self) -> Sequence[LimitOverride]:
        """All overrides in force, however many."""
        ...

    async def limits_page(
        self,
        count: int = 100,
        cursor: str = "",
        *,
        user_id: str | None = None,
        ip_address: str | None = None,
        key: str | None = None,
    ) -> LimitPage:
        """Some of them; of one user, address or key alone if given, where a page may be short before the last."""
        ...

    # the allow-list
    async def allow(
        self, ip_address: str, *, reason: str = "", duration_seconds: float | None = None, actor: str = ""
    ) -> Done:
        """Do not count an address or a network, and never sanction it automatically."""
        ...

    async def disallow(self, ip_address: str, *, actor: str = "") -> Done:
        """Take an operator's entry off the allow-list."""
        ...

    async def allowed(self) -> Sequence[Allowed]:
        """The whole allow-list: settings, file and operator's."""
        ...

    # fleet-wide switches
    async def switch(
        self, kind: str, name: str, value: str = "", *, duration_seconds: float, reason: str = "", actor: str = ""
    ) -> Done:
        """Bring a fleet-wide override into force on all workers: see :class:`Switch`."""
        ...

    async def unswitch(self, kind: str, name: str, *, actor: str = "") -> Done:
        """Take a fleet-wide override back."""
        ...

    async def switches(self) -> Sequence[Switch]:
        """All fleet-wide overrides in force."""
        ...

    async def collect_garbage(self, *, actor: str = "") -> Done:
        """Make every worker collect its garbage now."""
        ...

    async def clear_caches(self, *, actor: str = "") -> Done:
        """Make every worker forget its remembered documents, tokens and refusals, and the app's registered caches."""
        ...

    # live connections
    async def sockets(self, count: int = 100, *, user_id: str | None = None, ip_address: str | None = None) -> Sockets:
        """What is open: WebSockets and streams; of one user, address or network if given."""
        ...

    async def close_sockets(
        self,
        *,
        connection_id: str | None = None,
        user_id: str | None = None,
        ip_address: str | None = None,
        everything: bool = False,
        code: int = 4503,
        actor: str = "",
    ) -> Done:
        """End the live connections of an id, a user, an address or network, or all, on all workers. Clients may come
        back: to keep them out, block them. ``code`` is what a WebSocket is closed with."""
        ...

    async def drain_sockets(self, *, worker: str | None = None, actor: str = "") -> Done:
        """End all live connections of a worker (of all without one), spread over half a minute."""
        ...

    # documents
    async def documents(self) -> Sequence[Document]:
        """The trusted documents of the fleet and of this host's manifest, without their texts."""
        ...

    async def trust(self, documents: Sequence[Document], *, actor: str = "") -> Done:
        """Trust documents on all workers: all of them or none. ``id`` is the text's SHA-256 unless given; an id never
        stands for another text than before (ConflictError). From a distance they are sent one by one."""
        ...

    async def distrust(self, id_: str, *, actor: str = "") -> Done:
        """Trust a document of the fleet no longer; NotFoundError if there is none. Manifests stay as they are."""
        ...

    async def document(self, query_hash: str) -> Document:
        """The document with this query_hash (or its beginning, at least 12 digits) and its text; NotFoundError says
        where it was looked for."""
        ...

    # what is going on
    async def status(self) -> Status:
        """Workers, switches, sanctions, and what deserves a look."""
        ...

    async def limits_advice(self) -> TuningResult:
        """For each limit what the requests of all living workers ask for, since half a day to a day or the workers'
        start; what it refuses, and which value would fit."""
        ...

    async def offenders(self, count: int = 20) -> Sequence[Offender]:
        """Who was refused most in the last five minutes."""
        ...

    async def refusals(self, count: int = 50) -> Sequence[Refusal]:
        """The last refusals, the newest first."""
        ...

    async def why(self, request_id: str) -> Refusal:
        """The refusal of one request; NotFoundError if it is not in the ring (any more)."""
        ...

    async def actions(self, count: int = 50) -> Sequence[Action]:
        """What operators have done lately, the newest first."""
        ...

    async def config(self) -> Sequence[Mapping[str, Any]]:
        """Every effective setting: variable, value (secrets as stars), source, default, accepts, documentation."""
        ...

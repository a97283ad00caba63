"""What a store can do. Two implementations (memory, Redis) pass one conformance suite."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from fraiseql_guard.core.context import Bucket, Charge, Escalation, Limit, Sanction, Subject
from fraiseql_guard.core.signals import KeyFamily, PolicyName
from fraiseql_guard.stores.documents import DocumentStore
from fraiseql_guard.stores.fleet import FleetStore
from fraiseql_guard.stores.lift_job import LiftStore
from fraiseql_guard.stores.overrides import OverrideStore
from fraiseql_guard.stores.redis.unreadable import UnreadableEntries
from fraiseql_guard.stores.refused import RefusedStore
from fraiseql_guard.stores.sanction_pages import Page

SANCTIONED_NETWORKS: Final = 8
"""So many automatically sanctioned networks of one group bring the group itself a sanction."""
REPEAT_SECONDS: Final = 86_400
"""A sanction that is imposed again within this time of the last one lasts twice as long."""
LONGEST_REPEAT_SECONDS: Final = 3_600
"""Doubling ends here; a policy whose own sanction is longer keeps its length."""
ABUSE_INTERVAL_SECONDS: Final = 1.0
"""A caller that repeats inside its Retry-After adds one offence in this time."""


@dataclass(slots=True)  # made with every request, as a Bucket is
class AdmitRequest:
    """Everything that one request asks of the store: one exchange, about one subject, settled all or none.

    In this order, in one atomic step: a sanction in force that binds the request ends it (nothing is taken or counted).
    A sanction binds if it is the subject's own or its group's; the operator's comes first, then the longest.

    An override of the subject's limit replaces all charges but the ``fixed`` ones, which come last, by one of its own
    that costs what the first did. Then all charges are checked and, if all fit, taken. Otherwise nothing is taken and
    one ``abuse`` offence is counted, at most one a second (and with it the ``refused_before`` requests that the process
    refused from memory since its last trip for this subject). A charge above its bucket's capacity never fits: its
    retry_after_seconds is infinite. If they fit and the request carries an ``offence`` of its own (a gate has refused
    it), that is counted.

    Offences that meet their policy impose its sanction and start counting anew; while a sanction of the policy is in
    force, none are counted. Once enough networks of a group are sanctioned automatically, the next sanction falls on
    the group instead (``Imposed.sanction.subject`` tells).
    """

    subject: Subject
    charges: tuple[Charge, ...] = ()
    abuse: Escalation | None = None
    offence: Escalation | None = None
    offences: int = 1
    """How many offences the request's own ``offence`` counts as."""
    exempt: frozenset[PolicyName] = frozenset()
    """Policies whose sanctions do not bind this request; the operator's bind always."""
    refused_before: int = 0
    enforced: bool = True
    """False in monitor mode: sanctions are looked up under the keys of monitoring processes."""
    call: Any = field(default=None, repr=False, compare=False)
    """What the store makes of it, kept for a trip that is made again."""


@dataclass(frozen=True, slots=True)
class Imposed:
    """A sanction that this very exchange brought into force.

    ``offences`` is the number seen in the policy's window: for rate_limit_abuse every refused request, those from
    memory included, otherwise the offences that met the policy.
    """

    sanction: Sanction
    escalation: Escalation
    offences: int


@dataclass(slots=True)  # made with every request, as a Bucket is
class AdmitResult:
    """The store's answer to a trip.

    ``admitted`` is false if a sanction binds the request (``sanction``), a bucket is short (``buckets`` tell which by
    their retry_after_seconds) or the failure policy says so (``unavailable``).
    """

    admitted: bool
    buckets: tuple[Bucket, ...] = ()
    sanction: Sanction | None = None
    imposed: Imposed | None = None
    unavailable: bool = False
    override_seconds: float | None = None
    """How long an override of the subject's limits, which decided here, is still in force."""


@dataclass(frozen=True, slots=True)
class HeldLimit:
    """An override of one subject's limits that is in force. ``actor`` is who has set it."""

    subject: Subject
    limit: Limit
    burst: int
    expires_in_seconds: float
    actor: str = ""


Sanctioned = tuple[Subject, PolicyName]
"""Who is sanctioned, and by which policy."""


class Store(OverrideStore, DocumentStore, FleetStore, LiftStore, RefusedStore, Protocol):
    """Where rate limits, offences and sanctions live.

    Every method may raise StoreError, except ``admit`` and ``pardon`` of a failover store. ``unreadable`` is what was
    left out because none of ours wrote it.
    """

    @property
    def unreadable(self) -> UnreadableEntries:
        """What of the store's entries this process could not read."""
        ...

    async def admit(self, trip: AdmitRequest) -> AdmitResult:
        """Settle a request's whole bill in one exchange."""
        ...

    def known_sanction(self, subject: Subject, exempt: frozenset[PolicyName]) -> Sanction | None:
        """A sanction that bound enforcing trips of this subject when this process last saw it, and may still do so:
        :meth:`admit` knows. Asks no store, and never raises."""
        ...

    async def impose(self, sanction: Sanction) -> None:
        """Bring a sanction into force for ``expires_in_seconds``, replacing one of the same policy. Its ``actor`` is
        kept and shown by :meth:`sanctions`.

        Monitoring processes see it as well. To sanction a group, give a subject whose name is the group's.
        """
        ...

    async def lift(self, subject: Subject, policy: PolicyName | None = None) -> int:
        """End a subject's own sanctions (of one policy, or all), forget its offences; return how many ended.

        Those of its group hold until the group's are lifted. Sanctions that bind no one (monitor mode) end uncounted.
        """
        ...

    async def pardon(self, subject: Subject, policy: PolicyName) -> None:
        """Forget a subject's offences of one policy because it has proved itself, and end what they brought.

        As :meth:`lift`, but a request's doing and no operator's: a failover store never raises StoreError.
        """
        ...

    async def lift_many(self, sanctioned: Sequence[Sanctioned]) -> int:
        """Lift each of these, as :meth:`lift` does; return how many ended. A batch is at most a few hundred."""
        ...

    async def sanctions(self) -> Sequence[Sanction]:
        """All sanctions in force, in no order, however many: for the few. Their subjects carry kind, name and group,
        not the networks."""
        ...

    async def sanctions_page(self, limit: int, cursor: str = "") -> Page[Sanction]:
        """At most so many sanctions in force, those that end last first. ValueError if no page gave the cursor."""
        ...

    async def sanctions_of(self, subject: Subject) -> Sequence[Sanction]:
        """A subject's own sanctions in force."""
        ...

    async def count_sanctions(self) -> int:
        """How many sanctions are in force, without listing them."""
        ...

    def sanctioned(self) -> AsyncIterator[Sequence[Sanctioned]]:
        """Who is sanctioned, in batches and in no order, some of them twice; the event loop turns between two batches.
        Who is so all the time is not missed; who is so no longer may be among them."""
        ...

    async def count_limits(self) -> int:
        """How many overrides of limits are in force, in the same way."""
        ...

    async def set_limit(self, subject: Subject, limit: Limit, burst: int, seconds: float, *, actor: str = "") -> None:
        """Override a subject's limits for a while: one bucket of this rate, full, in place of all others but fixed."""
        ...

    async def limits(self) -> Sequence[HeldLimit]:
        """All overrides of limits in force, in no order. Their subjects carry kind, name and group."""
        ...

    async def limits_page(self, limit: int, cursor: str = "") -> Page[HeldLimit]:
        """At most so many overrides of limits, those that end last first. ValueError if no page gave the cursor."""
        ...

    async def limit_of(self, subject: Subject) -> HeldLimit | None:
        """The override of a subject's limits that is in force."""
        ...

    async def clear_limit(self, subject: Subject) -> bool:
        """End an override; False if there was none."""
        ...

    async def ping(self) -> None:
        """Return if the store answers; raise StoreError otherwise."""
        ...

    async def check(self) -> list[str]:
        """Sentences about what deserves an operator's look (a store that evicts, is too old, does not answer).

        Takes seconds if the store does; never raises StoreError.
        """
        ...

    async def aclose(self) -> None:
        """Give back connections. The store may be used again afterwards: it reconnects."""
        ...


class StoreError(Exception):
    """An exchange with the store failed. ``reason`` is a value of the store_failures metric.

    ``opens_breaker`` is false if the store is there all the same: for mistakes of our own making (wrong type, script
    errors), and for one node or one slot of a cluster while the others answer.
    """

    def __init__(self, reason: str, detail: str, *, opens_breaker: bool = True) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.opens_breaker = opens_breaker


OVERRIDE: Final = "override"
"""Policy and bucket of a limit that an operator has set for one subject."""


def effective_charges(charges: Sequence[Charge], limit: Limit, burst: int) -> tuple[Charge, ...]:
    """What an override makes of a trip's charges."""
    replaced = [charge for charge in charges if not charge.fixed]
    fixed = tuple(charge for charge in charges if charge.fixed)
    return (Charge(OVERRIDE, limit, burst, replaced[0].tokens), *fixed) if replaced else fixed


class Observer(Protocol):
    """Told by stores what happens to them, so that they need not know metrics or logs."""

    def store_failed(self, reason: str, detail: str, breaker_open: bool) -> None:
        """An exchange failed."""
        ...

    def store_fallback(self, policy: str) -> None:
        """A request was decided by the failure policy: local, open or closed."""
        ...

    def store_unreadable(self, family: KeyFamily, detail: str, first: bool) -> None:
        """An entry that none of ours wrote was left out, the first of its family or a further one."""
        ...

    def store_recovered(self, outage_seconds: float) -> None:
        """The store answers again."""
        ...

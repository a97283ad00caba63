"""The interface of stores, and the values that it takes and returns. Two implementations (memory, Redis) pass one
conformance suite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Escalation, Sanction
from fraiseql_guard.core.signals import KeyFamily, PolicyName
from fraiseql_guard.core.token_buckets import Bucket, Charge
from fraiseql_guard.stores.documents import DocumentStore
from fraiseql_guard.stores.fleet import FleetStore
from fraiseql_guard.stores.lift_jobs import LiftJobStore
from fraiseql_guard.stores.limits import LimitStore
from fraiseql_guard.stores.overrides import OverrideStore
from fraiseql_guard.stores.refused_documents import RefusedDocumentStore
from fraiseql_guard.stores.sanctions import SanctionStore
from fraiseql_guard.stores.unreadable import UnreadableEntries

SANCTIONED_NETWORKS: Final = 8
"""Networks of one group with automatic sanctions that bring the group itself a sanction, in place of the last
network."""
REPEAT_SECONDS: Final = 86_400
"""A sanction that is imposed again within this time of the last one lasts twice as long."""
LONGEST_REPEAT_SECONDS: Final = 3_600
"""Doubling ends here; a policy whose own sanction is longer keeps its length."""
ABUSE_INTERVAL_SECONDS: Final = 1.0
"""A caller that repeats inside its Retry-After adds one offence in this time."""


@dataclass(slots=True)  # made with every request, as a Bucket is
class AdmitRequest:
    """The whole bill of one HTTP request or operation: one exchange with the store about one subject, in which all
    charges are taken or none.

    Where the deployment counts by another key than the caller, ``limit_subject`` is that key: it has the buckets of all
    charges but the subject's own (Charge.own), and the override of limits; sanctions and offences are the subject's. On
    a Redis cluster the two are on two nodes, and there are two exchanges (stores/redis/two_slots.py).

    The store settles the bill in one atomic step, in this order:

    1. A sanction that binds the request ends it: nothing is taken or counted. The subject's own sanctions bind, and its
       group's; an operator's comes first, then the longest.
    2. An override of the limits replaces all charges but the ``fixed`` ones, which come last, by a charge for each of
       its windows, at the cost of the first charge.
    3. All charges are checked and, if all fit, taken. A charge above its bucket's capacity never fits: its
       retry_after_seconds is infinite.
    4. If they do not fit, nothing is taken and one ``abuse`` offence is counted, at most one a second, unless the
       request waits (``patience_seconds``). It includes the ``refused_before`` requests that the process refused from
       memory since it last asked about this subject.
    5. If they fit and the request carries an ``offence`` of its own (a check has refused it), that is counted.

    Offences that meet their policy impose its sanction and start counting anew; while a sanction of the policy is in
    force, none are counted. Once enough networks of a group are sanctioned automatically, the next sanction falls on
    the group instead (see ``Imposed.sanction.subject``).
    """

    subject: Subject
    charges: tuple[Charge, ...] = ()
    abuse: Escalation | None = None
    offence: Escalation | None = None
    offences: int = 1
    """Number of offences that the request's own ``offence`` counts as."""
    exempt: frozenset[PolicyName] = frozenset()
    """Policies whose sanctions do not bind this request; an operator's sanction always binds."""
    refused_before: int = 0
    enforced: bool = True
    """False in monitor mode: sanctions are looked up under the keys of monitoring processes."""
    patience_seconds: float = 0.0
    """A refusal that ends within this time is no abuse: the request waits and asks again. 0: it does not wait."""
    call: Any = field(default=None, repr=False, compare=False)
    """The store's packed form of this request, kept for when the same request is made again."""
    limit_subject: Subject | None = None
    """The subject whose buckets pay; None: ``subject``."""

    @property
    def pays(self) -> Subject:
        """The subject whose buckets pay for all charges but those marked ``own``."""
        return self.limit_subject or self.subject

    def awaits(self, buckets: Sequence[Bucket]) -> bool:
        """Whether the request would wait, instead of being refused, until none of these buckets is short."""
        return max(bucket.retry_after_seconds for bucket in buckets) <= self.patience_seconds


@dataclass(slots=True)  # made with many requests
class Adjustment:
    """A change of buckets after their request was admitted, once its real cost is known.

    A charge with negative tokens gives back, at most until the bucket is full; with positive tokens it takes, at most
    until the bucket is empty; with 0 tokens the bucket is only looked at. No override replaces the charges, no sanction
    stops them, and no offence is counted.
    """

    subject: Subject
    charges: tuple[Charge, ...]
    alone: bool = False
    """Whether the request was decided by this process alone (AdmitResult.alone), in whose buckets it has paid."""


@dataclass(frozen=True, slots=True)
class Imposed:
    """A sanction that an exchange with the store brought into force.

    ``offences`` is a number in the policy's window: for rate_limit_abuse the refused requests, those refused from
    memory included; for other policies the offences that met the policy.
    """

    sanction: Sanction
    escalation: Escalation
    offences: int


@dataclass(slots=True)  # made with every request, as a Bucket is
class AdmitResult:
    """The store's answer to an admit request.

    ``admitted`` is false if a sanction binds the request (``sanction``), a bucket is short (``buckets`` tell which by
    their retry_after_seconds) or the failure policy says so (``unavailable``).
    """

    admitted: bool
    buckets: tuple[Bucket, ...] = ()
    sanction: Sanction | None = None
    imposed: Imposed | None = None
    unavailable: bool = False
    override_seconds: float | None = None
    """Seconds for which the override of the subject's limits that decided here is still in force; None without one."""
    alone: bool = False
    """Whether this process has decided by itself, from buckets of its own: the store did not answer."""


class Store(Protocol):
    """Keeps rate limits, offences and sanctions: :meth:`admit` decides each request, and each other kind of entry has a
    sub-store.

    Every method may raise StoreError, unless FailoverStore says otherwise of its own (failover.py).
    """

    @property
    def sanctions(self) -> SanctionStore:
        """The sanctions in force."""
        ...

    @property
    def limits(self) -> LimitStore:
        """Limits that an operator has set for single subjects."""
        ...

    @property
    def overrides(self) -> OverrideStore:
        """The overrides (control set): the operators' changes for all processes."""
        ...

    @property
    def documents(self) -> DocumentStore:
        """Trusted documents."""
        ...

    @property
    def fleet(self) -> FleetStore:
        """The living workers, the last refusals, the last actions of operators."""
        ...

    @property
    def refused_documents(self) -> RefusedDocumentStore:
        """The callers that were refused for each document."""
        ...

    @property
    def lift_jobs(self) -> LiftJobStore:
        """The jobs that lift all sanctions of an origin."""
        ...

    @property
    def breaker_open(self) -> bool:
        """Whether the breaker is open, so that the failure policy decides. Only a failover store has a breaker."""
        ...

    @property
    def unreadable(self) -> UnreadableEntries:
        """The store's entries that this process ignores, because the guard did not write them."""
        ...

    async def admit(self, request: AdmitRequest) -> AdmitResult:
        """Settle a request's whole bill in one exchange."""
        ...

    async def adjust(self, adjustment: Adjustment) -> tuple[Bucket, ...]:
        """Change buckets in one exchange; returns them as they are afterwards. A bucket that is only looked at is not
        written."""
        ...

    async def ping(self) -> None:
        """Return if the store answers; raise StoreError otherwise."""
        ...

    async def check(self) -> list[str]:
        """Warnings for operators about the store (it evicts, is too old, does not answer); empty if all is well.

        Takes seconds if the store does; never raises StoreError.
        """
        ...

    async def reset(self) -> None:
        """Forget buckets, offences, automatic sanctions and their repeats. Operators' sanctions and overrides stay. For
        tests: on Redis it walks all keys."""
        ...

    async def aclose(self) -> None:
        """Give back connections. The store may be used again afterwards: it reconnects."""
        ...


class StoreError(Exception):
    """An exchange with the store failed. ``reason`` is a value of the store_failures metric.

    ``opens_breaker`` is false if the store answers all the same: for errors of a key or a script (wrong type), and for
    one node or one slot of a cluster while the others answer.
    """

    def __init__(self, reason: str, detail: str, *, opens_breaker: bool = True) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.opens_breaker = opens_breaker


class Observer(Protocol):
    """Receives a store's failures, so that stores need not know metrics or logs."""

    def store_failed(self, reason: str, detail: str, breaker_open: bool) -> None:
        """An exchange failed."""
        ...

    def store_fallback(self, policy: str) -> None:
        """A request was decided by the failure policy: local, open or closed."""
        ...

    def store_unreadable(self, family: KeyFamily, detail: str, first: bool) -> None:
        """An entry that the guard did not write was ignored; ``first``: the first one of its family."""
        ...

    def store_recovered(self, outage_seconds: float) -> None:
        """The store answers again."""
        ...

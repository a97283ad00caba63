"""The store of one process: what Redis does in admit.lua, in plain Python with an injected clock.

Every operation is O(1) (an offence: O(offences of its policy)), and every table is bounded, because addresses are free:
what was not touched for longest goes first. Sanctions have a table of their own, so that no flood of one-shot addresses
pushes them out.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass

from fraiseql_guard.core.context import Bucket, Charge, Escalation, Limit, Sanction, Subject
from fraiseql_guard.core.lru import Lru
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.stores.documents import Adding, DocumentIndex, DocumentMemory, TrustedDocument
from fraiseql_guard.stores.fleet import Beat, FleetMemory
from fraiseql_guard.stores.lift_job import LiftJob, LiftMemory, Told
from fraiseql_guard.stores.memory_offences import MemoryOffences
from fraiseql_guard.stores.overrides import MemoryOverrides, Override, OverrideKind, Overrides
from fraiseql_guard.stores.protocol import (
    OVERRIDE,
    AdmitRequest,
    AdmitResult,
    HeldLimit,
    Imposed,
    Sanctioned,
    effective_charges,
)
from fraiseql_guard.stores.redis.unreadable import UnreadableEntries
from fraiseql_guard.stores.refused import RefusedFor, RefusedMemory
from fraiseql_guard.stores.sanction_pages import Cursor, Longest, Page

_EPSILON = 1e-6  # a millionth of a token, as in admit.lua: floats near a whole number are that number


@dataclass(frozen=True, slots=True)
class _Override:
    """A limit that an operator has set for one subject."""

    subject: Subject
    limit: Limit
    burst: int
    until: float
    actor: str


class MemoryStore:
    """Rate limits, offences and sanctions of one process.

    ``clock`` counts seconds; if it is set back, nothing refills until it has moved on. ``max_buckets``,
    ``max_subjects`` (offences) and ``max_sanctions`` bound the memory: a bucket takes about 300 bytes. Never raises
    StoreError.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        max_buckets: int = 30_000,
        max_subjects: int = 20_000,
        max_sanctions: int = 20_000,
    ) -> None:
        self._clock = clock
        self._control = MemoryOverrides(clock)
        self._documents = DocumentMemory()
        self._fleet = FleetMemory(clock)
        self._refused = RefusedMemory(clock)
        self._lift_jobs = LiftMemory(clock)
        self.unreadable = UnreadableEntries()
        self._limits: Lru[tuple[str, str], _Override] = Lru(max_subjects)
        self._levels: Lru[tuple[str, str, str], tuple[float, float]] = Lru(max_buckets)
        """Of every bucket the tokens in use, and when. A full one is no entry, and a raised limit acts at once."""
        self._ledgers = {
            enforced: MemoryOffences(max_subjects=max_subjects, max_sanctions=max_sanctions)
            for enforced in (True, False)
        }

    async def admit(self, trip: AdmitRequest) -> AdmitResult:
        """Settle a request's whole bill (Store.admit)."""
        now = self._clock()
        ledger = self._ledgers[trip.enforced]
        sanction = ledger.binding(trip.subject, trip.exempt, now) if ledger.held_subjects() else None
        if sanction is not None:
            return AdmitResult(admitted=False, sanction=sanction)
        charges, override_seconds = self._charges(trip, now) if self._limits.count() else (trip.charges, None)
        fits, buckets = self._take(trip.subject, charges, now)
        imposed = None
        if fits and trip.offence is not None:
            imposed = self._offend(trip.subject, trip.offence, now, weight=trip.offences, seen=trip.offences)
        elif not fits and trip.abuse is not None:
            imposed = self._offend(trip.subject, trip.abuse, now, seen=1 + trip.refused_before, once_a_second=True)
        return AdmitResult(fits, buckets, None, imposed, False, override_seconds)

    def known_sanction(self, subject: Subject, exempt: frozenset[PolicyName]) -> Sanction | None:
        """The sanction that binds enforcing trips (Store.known_sanction)."""
        ledger = self._ledgers[True]
        return ledger.binding(subject, exempt, self._clock()) if ledger.held_subjects() else None

    async def impose(self, sanction: Sanction) -> None:
        """Bring a sanction into force, for enforcing and monitoring trips alike (Store.impose)."""
        for enforced in self._ledgers:
            self.learn(sanction, enforced=enforced)

    async def lift(self, subject: Subject, policy: PolicyName | None = None) -> int:
        """End a subject's own sanctions and forget its offences (Store.lift)."""
        now = self._clock()
        policies = tuple(PolicyName) if policy is None else (policy,)
        ended = {enforced: ledger.lift(subject, policies, now) for enforced, ledger in self._ledgers.items()}
        return ended[True]

    async def lift_many(self, sanctioned: Sequence[Sanctioned]) -> int:
        """End many sanctions (Store.lift_many)."""
        return sum([await self.lift(subject, policy) for subject, policy in sanctioned])

    async def pardon(self, subject: Subject, policy: PolicyName) -> None:
        """Forget a subject's offences of one policy (Store.pardon)."""
        await self.lift(subject, policy)

    async def sanctions(self) -> Sequence[Sanction]:
        """All sanctions in force (Store.sanctions)."""
        return self._ledgers[True].in_force(self._clock())

    async def sanctions_page(self, limit: int, cursor: str = "") -> Page[Sanction]:
        """Some sanctions, those that end last first (Store.sanctions_page)."""
        found, now = Longest[Sanction](Cursor.read(cursor), limit), self._clock()
        async for batch in self._ledgers[True].batches(now):
            found.add((_moment(now + each.expires_in_seconds), each) for each in batch)
        return found.page()

    async def sanctions_of(self, subject: Subject) -> Sequence[Sanction]:
        """A subject's own sanctions (Store.sanctions_of)."""
        return self._ledgers[True].sanctions_of(subject, self._clock())

    async def count_sanctions(self) -> int:
        """How many sanctions are in force (Store.count_sanctions)."""
        return self._ledgers[True].count(self._clock())

    async def count_limits(self) -> int:
        """How many overrides of limits are in force (Store.count_limits)."""
        now = self._clock()
        return sum(held.until > now for _, held in self._limits.items())

    async def sanctioned(self) -> AsyncIterator[Sequence[Sanctioned]]:
        """Who is sanctioned, in batches (Store.sanctioned)."""
        async for batch in self._ledgers[True].batches(self._clock()):
            yield [(each.subject, each.policy) for each in batch]

    async def begin_lifting(self, origin: str, job_id: str, *, actor: str, worker: str, total: int) -> Told:
        """Begin or join the lifting of an origin (LiftStore.begin_lifting)."""
        return self._lift_jobs.begin(origin, job_id, actor=actor, worker=worker, total=total)

    async def advance_lifting(self, origin: str, job_id: str, *, seen: int, lifted: int) -> Told:
        """Say how far it is (LiftStore.advance_lifting)."""
        return self._lift_jobs.advance(origin, job_id, seen=seen, lifted=lifted)

    async def finish_lifting(self, origin: str, job_id: str, *, state: str, why: str = "") -> Told:
        """It is over (LiftStore.finish_lifting)."""
        return self._lift_jobs.finish(origin, job_id, state=state, why=why)

    async def lifting(self, origin: str) -> LiftJob | None:
        """The last lifting of an origin (LiftStore.lifting)."""
        return self._lift_jobs.read(origin)

    async def control(self, known_version: int) -> Overrides | None:
        """The control set if it has changed (OverrideStore.control)."""
        return self._control.control(known_version)

    async def tell(self, entry: Override) -> None:
        """Bring an entry of the control set into force (OverrideStore.tell)."""
        self._control.tell(entry)

    async def delete_override(self, kind: OverrideKind, key: str) -> bool:
        """Take an entry of the control set back (OverrideStore.untell)."""
        return self._control.delete_override(kind, key)

    async def documents(self, known_version: int) -> DocumentIndex | None:
        """The trusted documents if they have changed (DocumentStore.documents)."""
        return self._documents.documents(known_version)

    async def document_texts(self, ids: Sequence[str]) -> Sequence[str | None]:
        """The texts of trusted documents (DocumentStore.document_texts)."""
        return self._documents.document_texts(ids)

    async def add_documents(self, documents: Sequence[TrustedDocument]) -> Adding:
        """Trust documents, all or none (DocumentStore.add_documents)."""
        return self._documents.add_documents(documents)

    async def remove_documents(self, ids: Sequence[str]) -> int:
        """Trust documents no longer (DocumentStore.remove_documents)."""
        return self._documents.remove_documents(ids)

    async def beat(self, worker_id: str, payload: bytes, ttl_seconds: float) -> int:
        """Say that this process is alive (FleetStore.beat)."""
        return self._fleet.beat(worker_id, payload, ttl_seconds)

    async def beats(self) -> Sequence[Beat]:
        """This process, if it is alive (FleetStore.beats)."""
        return self._fleet.beats()

    async def remember(self, records: Sequence[bytes]) -> None:
        """Put refusals into the ring of recent ones (FleetStore.remember)."""
        self._fleet.remember(records)

    async def recent(self, count: int) -> Sequence[bytes]:
        """The last refusals (FleetStore.recent)."""
        return self._fleet.recent(count)

    async def record_action(self, record: bytes) -> None:
        """Put an operator's action into the ring of actions (FleetStore.record_action)."""
        self._fleet.record_action(record)

    async def actions(self, count: int) -> Sequence[bytes]:
        """The last actions (FleetStore.actions)."""
        return self._fleet.actions(count)

    async def note_refused(self, refusals: Sequence[RefusedFor]) -> Sequence[str]:
        """Note who was refused for which document (RefusedStore.note_refused)."""
        return self._refused.note_refused(refusals)

    async def set_limit(self, subject: Subject, limit: Limit, burst: int, seconds: float, *, actor: str = "") -> None:
        """Override a subject's limits for a while (Store.set_limit)."""
        self._limits.put(subject.key, _Override(subject, limit, burst, self._clock() + seconds, actor))
        self._levels.pop((subject.kind, subject.name, OVERRIDE))

    async def clear_limit(self, subject: Subject) -> bool:
        """End an override (Store.clear_limit)."""
        held = self._limits.pop(subject.key)
        return held is not None and held.until > self._clock()

    async def limits(self) -> Sequence[HeldLimit]:
        """All overrides in force (Store.limits)."""
        now = self._clock()
        return [_held_limit(held, now) for _, held in self._limits.items() if held.until > now]

    async def limits_page(self, limit: int, cursor: str = "") -> Page[HeldLimit]:
        """Some overrides, those that end last first (Store.limits_page)."""
        found, now = Longest[HeldLimit](Cursor.read(cursor), limit), self._clock()
        found.add((_moment(held.until), _held_limit(held, now)) for held in self._limits.values() if held.until > now)
        return found.page()

    async def limit_of(self, subject: Subject) -> HeldLimit | None:
        """A subject's override (Store.limit_of)."""
        now, held = self._clock(), self._limits.look(subject.key)
        return None if held is None or held.until <= now else _held_limit(held, now)

    def _charges(self, trip: AdmitRequest, now: float) -> tuple[Sequence[Charge], float | None]:
        """What is really charged, and how long the override that says so is still in force."""
        held = self._limits.get(trip.subject.key) if trip.charges else None
        if held is None or held.until <= now or all(charge.fixed for charge in trip.charges):
            return trip.charges, None
        return effective_charges(trip.charges, held.limit, held.burst), held.until - now

    async def ping(self) -> None:
        """A process always has its memory."""

    async def check(self) -> list[str]:
        """Nothing to look at (Store.check)."""
        return []

    async def aclose(self) -> None:
        """Nothing to give back."""

    def learn(self, sanction: Sanction, *, enforced: bool) -> None:
        """Bring a sanction into force for enforcing or for monitoring trips alone."""
        self._ledgers[enforced].impose(sanction, self._clock())

    def learn_limit(self, subject: Subject, limit: Limit, burst: int, seconds: float) -> None:
        """Take over another worker's override; what was used of one that was known stays used."""
        self._limits.put(subject.key, _Override(subject, limit, burst, self._clock() + seconds, ""))

    def forget_limit(self, subject: Subject) -> None:
        """Drop an override."""
        self._limits.pop(subject.key)

    def forget(self, subject: Subject, *, enforced: bool, keep: Iterable[PolicyName] = ()) -> None:
        """Drop the sanctions that bind a subject, its group's included, but for some policies; offences stay."""
        self._ledgers[enforced].forget(subject, frozenset(keep))

    def _take(self, subject: Subject, charges: Sequence[Charge], now: float) -> tuple[bool, tuple[Bucket, ...]]:
        """Check all charges, then take them all or none. Two charges may name one bucket."""
        before: dict[tuple[str, str, str], float] = {}
        after: dict[tuple[str, str, str], float] = {}
        bills: list[tuple[tuple[str, str, str], Charge, int, float]] = []
        levels, fits = self._levels, True
        for charge in charges:
            name = (subject.group or subject.name) if charge.shared else subject.name
            key, capacity, wait = (subject.kind, name, charge.key), charge.capacity, 0.0
            if key not in before:
                level, used = levels.look(key), 0.0
                if level is not None:
                    used = max(0.0, level[0] - max(0.0, now - level[1]) * charge.rate)
                    if not used:
                        levels.pop(key)  # full at this rate, and so at any other that comes later
                before[key] = after[key] = used
            # A bucket that has become smaller is at most empty.
            before[key], used = min(before[key], capacity), min(after[key], capacity)
            over = used + charge.tokens - capacity
            if over > _EPSILON:
                fits = False
                wait = math.inf if charge.tokens > capacity else over / charge.rate
            else:
                after[key] = max(0.0, used + charge.tokens)  # a refund fills a bucket, and no more than that
            bills.append((key, charge, capacity, wait))
        used_of = after if fits else before
        for bucket, used in used_of.items():
            # Written even if nothing is taken, so that the wait that is told is the wait that there is; and a bucket
            # that refuses is not forgotten for it.
            if used > 0:
                levels.put(bucket, (used, now))
            elif before[bucket] > 0:
                levels.pop(bucket)
        return fits, tuple(
            [Bucket(charge, max(0.0, capacity - used_of[key]), wait) for key, charge, capacity, wait in bills]
        )

    def _offend(
        self,
        subject: Subject,
        escalation: Escalation,
        now: float,
        *,
        seen: int,
        weight: int = 1,
        once_a_second: bool = False,
    ) -> Imposed | None:
        ledger = self._ledgers[escalation.enforced]
        return ledger.offend(subject, escalation, now, weight=weight, seen=seen, once_a_second=once_a_second)


def _held_limit(held: _Override, now: float) -> HeldLimit:
    return HeldLimit(held.subject, held.limit, held.burst, held.until - now, held.actor)


def _moment(seconds: float) -> int:
    """In millionths of a second, as a page's cursor has it; to the thousandth, which sums of floats leave alone."""
    return round(seconds * 1_000) * 1_000

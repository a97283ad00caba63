"""The store of one process: the algorithm of admit.lua in plain Python, with an injected clock.

Every operation is O(1) (an offence: O(offences of its policy)). Every table is bounded, because an attacker has any
number of addresses: the entry that was not touched for longest goes first. Sanctions have a table of their own, so that
no flood of addresses with one request each pushes them out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.lru import Lru
from fraiseql_guard.core.sanction import Escalation
from fraiseql_guard.core.token_buckets import Bucket, Charge, Rate
from fraiseql_guard.stores.documents import MemoryDocuments
from fraiseql_guard.stores.fleet import MemoryFleet
from fraiseql_guard.stores.lift_jobs import MemoryLiftJobs
from fraiseql_guard.stores.limits import MemoryLimits, override_charges
from fraiseql_guard.stores.memory_sanctions import MemorySanctions
from fraiseql_guard.stores.overrides import MemoryOverrides
from fraiseql_guard.stores.protocol import Adjustment, AdmitRequest, AdmitResult, Imposed
from fraiseql_guard.stores.refused_documents import MemoryRefusedDocuments
from fraiseql_guard.stores.unreadable import UnreadableEntries

_Key = tuple[str, str, str]
"""Kind and name of a subject, and the name of one of its buckets."""
_EPSILON = 1e-6  # a millionth of a token, as in admit.lua: floats near a whole number are that number


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
        max_subjects: int = 10_000,
        max_sanctions: int = 20_000,
    ) -> None:
        self._clock = clock
        self._levels: Lru[_Key, tuple[float, float]] = Lru(max_buckets)
        """By bucket: the tokens in use, and the moment of that number. A full bucket has no entry, and a raised limit
        acts at once."""
        self.sanctions = MemorySanctions(clock, max_subjects=max_subjects, max_sanctions=max_sanctions)
        self.limits = MemoryLimits(clock, max_subjects=max_subjects, refill=self._refill_override)
        self.overrides = MemoryOverrides(clock, self.sanctions.recent)
        self.documents = MemoryDocuments()
        self.fleet = MemoryFleet(clock)
        self.refused_documents = MemoryRefusedDocuments(clock)
        self.lift_jobs = MemoryLiftJobs(clock)
        self.unreadable = UnreadableEntries()
        self.breaker_open: Final = False

    @property
    def entries(self) -> Mapping[str, int]:
        """How many entries the bounded tables hold, by table: buckets, offences and sanctions of enforcing requests."""
        offences = self.sanctions.offences[True]
        return {
            "buckets": self._levels.count(),
            "offences": offences.offence_records(),
            "sanctions": offences.held_subjects(),
        }

    async def admit(self, request: AdmitRequest) -> AdmitResult:
        """Settle a request's whole bill (Store.admit)."""
        now, subject = self._clock(), request.subject
        offences = self.sanctions.offences[request.enforced]
        # A sanction that binds ends the request: nothing is taken, nothing counted.
        sanction = offences.binding(subject, request.exempt, now) if offences.held_subjects() else None
        if sanction is not None:
            return AdmitResult(admitted=False, sanction=sanction)
        # All charges are taken, or none; an operator's override of the limit replaces all charges that are not fixed.
        charges: Sequence[Charge] = request.charges
        override_seconds = None
        # Nearly always there are no overrides, and no request pays for a look.
        if self.limits.held():
            charges, override_seconds = self.limits.charges(request.pays, charges, now)
        fits, buckets = self._take(request, charges, now)
        # The request's own offence counts if the request fits; otherwise its abuse of the rate counts.
        imposed = None
        if fits and request.offence is not None:
            imposed = self._offend(subject, request.offence, now, weight=request.offences, seen=request.offences)
        elif not fits and request.abuse is not None and not request.awaits(buckets):
            imposed = self._offend(subject, request.abuse, now, seen=1 + request.refused_before, once_a_second=True)
        return AdmitResult(fits, buckets, None, imposed, False, override_seconds)

    async def adjust(self, adjustment: Adjustment) -> tuple[Bucket, ...]:
        """Change buckets after their request was admitted (Store.adjust)."""
        now, subject = self._clock(), adjustment.subject
        return tuple([self._adjust(_key_of(subject, charge), charge, now) for charge in adjustment.charges])

    def _adjust(self, key: _Key, charge: Charge, now: float) -> Bucket:
        tokens, capacity = charge.tokens, charge.capacity
        used = self._used(key, charge, now, writes=bool(tokens))
        # A limit that was raised meanwhile may have let more be used than this capacity: that stays in use.
        after = max(used, min(used + tokens, capacity)) if tokens > 0 else max(0.0, used + tokens)
        if tokens:
            self._write({key: after}, {key: used}, now)
        return Bucket(charge, max(0.0, capacity - after))

    async def ping(self) -> None:
        """Return at once: a process always has its memory (Store.ping)."""

    async def check(self) -> list[str]:
        """No warnings: a memory needs no check (Store.check)."""
        return []

    async def reset(self) -> None:
        """Forget buckets, offences and automatic sanctions (Store.reset)."""
        self._levels.clear()
        self.sanctions.reset()

    async def aclose(self) -> None:
        """Nothing to give back."""

    def _refill_override(self, subject: Subject, rate: Rate) -> None:
        for charge in override_charges(rate, 0):
            self._levels.pop((subject.kind, subject.name, charge.key))

    def _take(self, request: AdmitRequest, charges: Sequence[Charge], now: float) -> tuple[bool, tuple[Bucket, ...]]:
        """Check all charges, then take them all or none. Two charges may name one bucket."""
        # The tokens in use of each bucket, without and with these charges.
        before: dict[_Key, float] = {}
        after: dict[_Key, float] = {}
        bills: list[tuple[_Key, Charge, int, float]] = []
        fits = True
        pays = request.pays
        for charge in charges:
            owner = request.subject if charge.own else pays
            key, capacity, wait = _key_of(owner, charge), charge.capacity, 0.0
            if key not in before:
                before[key] = after[key] = self._used(key, charge, now)
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
        self._write(used_of, before, now)
        return fits, tuple(
            [Bucket(charge, max(0.0, capacity - used_of[key]), wait) for key, charge, capacity, wait in bills]
        )

    def _used(self, key: _Key, charge: Charge, now: float, *, writes: bool = True) -> float:
        """The tokens of a bucket that are still in use, after it has refilled at the charge's rate."""
        level = self._levels.look(key)
        if level is None:
            return 0.0
        used = max(0.0, level[0] - max(0.0, now - level[1]) * charge.rate)
        if not used and writes:
            self._levels.pop(key)  # full at this rate, and so at any other that comes later
        return used

    def _write(self, used_of: Mapping[_Key, float], before: Mapping[_Key, float], now: float) -> None:
        """Keep the tokens that are in use now, even if nothing is taken: then the wait that a caller is told is true,
        and a bucket that refuses is not the next to be forgotten."""
        for bucket, used in used_of.items():
            if used > 0:
                self._levels.put(bucket, (used, now))
            elif before[bucket] > 0:
                self._levels.pop(bucket)

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
        offences = self.sanctions.offences[escalation.enforced]
        imposed = offences.offend(subject, escalation, now, weight=weight, seen=seen, once_a_second=once_a_second)
        if imposed is not None and escalation.enforced:
            self.sanctions.recent.note(imposed.sanction)
        return imposed


def _key_of(subject: Subject, charge: Charge) -> _Key:
    name = (subject.group or subject.name) if charge.shared else subject.name
    return (subject.kind, name, charge.key)

"""Decides requests in one worker while the store does not answer."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Sanction
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.core.token_buckets import Bucket, Charge, Limit, Rate
from fraiseql_guard.stores.limits import override_charges
from fraiseql_guard.stores.memory import MemoryStore
from fraiseql_guard.stores.protocol import Adjustment, AdmitRequest, AdmitResult
from fraiseql_guard.stores.sanctions import Sanctioned

_BEATS: Final = 5
"""Number of last beats whose largest count of workers holds: a Redis that came back empty hears the workers one after
the other."""


class LocalShare:
    """A worker's share of each limit, and the sanctions and overrides of limits that it has met or imposed.

    The limits are divided by ``workers``, where given; else by the number of living workers in the last answered beats;
    else by the settings' number, else WEB_CONCURRENCY, else 1. ``clock`` counts seconds. The methods whose first
    argument is the store's answer repeat here what the store has applied (failover.py).
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float], workers: int | None) -> None:
        self._memory = MemoryStore(clock=clock)
        self._given_workers = workers
        self._workers = workers or count_workers(settings)
        self._seen_workers: deque[int] = deque(maxlen=_BEATS)
        self._learned = False  # nearly always: no caller is sanctioned, and none was

    async def admit(self, request: AdmitRequest) -> AdmitResult:
        """Decide alone. Sanctions that are imposed here end with the outage."""
        # There may be sanctions here from now on, which learn() has to look for.
        self._learned = True
        result = await self._memory.admit(self._share_of(request))
        result.alone = True
        return result

    async def adjust(self, adjustment: Adjustment) -> tuple[Bucket, ...]:
        """Change this worker's own buckets, or look at them. The charges of a request that was decided alone are this
        worker's shares already."""
        if not adjustment.alone and self._workers > 1:
            charges = tuple([share_of(charge, self._workers) for charge in adjustment.charges])
            adjustment = replace(adjustment, charges=charges)
        return await self._memory.adjust(adjustment)

    def learn(self, request: AdmitRequest, result: AdmitResult) -> None:
        """Remember the sanctions and overrides that the store's answer shows in force; forget those it shows no
        more."""
        told = result.sanction is not None or result.imposed is not None or result.override_seconds is not None
        # The way of nearly all requests: nothing is in force, and nothing is remembered.
        if not told and not self._learned:
            return
        self._learned = True
        self._learn_sanctions(request, result)
        limits = self._memory.limits
        if result.override_seconds is not None:
            overriding = [bucket.charge for bucket in result.buckets if not bucket.charge.fixed]
            rate, burst = share_of_rate(overriding, self._workers)
            limits.learn(request.pays, rate, burst, result.override_seconds)
        elif result.buckets:
            limits.forget(request.pays)

    def _learn_sanctions(self, request: AdmitRequest, result: AdmitResult) -> None:
        sanctions = self._memory.sanctions
        if result.sanction is not None:
            sanctions.learn(result.sanction, enforced=request.enforced)
        else:
            sanctions.forget(request.subject, enforced=request.enforced, keep=request.exempt)
        if result.imposed is not None:
            sanctions.learn(result.imposed.sanction, enforced=result.imposed.escalation.enforced)

    async def reset(self) -> None:
        """Forget buckets, offences and automatic sanctions (Store.reset)."""
        await self._memory.reset()

    def known_sanction(self, subject: Subject, exempt: frozenset[PolicyName]) -> Sanction | None:
        """A sanction that this worker has seen (SanctionStore.known)."""
        return self._memory.sanctions.known(subject, exempt) if self._learned else None

    async def known_sanctions(self) -> Sequence[Sanction]:
        """All sanctions that this worker has seen and that may still bind."""
        return await self._memory.sanctions.all()

    async def imposed(self, _answer: None, sanction: Sanction) -> None:
        """SanctionStore.impose was applied."""
        self._learned = True
        await self._memory.sanctions.impose(sanction)

    async def lifted(self, _answer: int | None, subject: Subject, policy: PolicyName | None = None) -> None:
        """SanctionStore.lift was applied, or a subject is pardoned without the store."""
        await self._memory.sanctions.lift(subject, policy)

    async def lifted_many(self, _answer: int, sanctioned: Sequence[Sanctioned]) -> None:
        """SanctionStore.lift_many was applied."""
        await self._memory.sanctions.lift_many(sanctioned)

    async def limit_set(
        self, _answer: None, subject: Subject, rate: Rate, burst: int, seconds: float, *, actor: str = ""
    ) -> None:
        """LimitStore.set was applied."""
        self._learned = True
        part, part_burst = share_of_rate(override_charges(rate, burst), self._workers)
        await self._memory.limits.set(subject, part, part_burst, seconds, actor=actor)

    async def limit_cleared(self, _answer: bool, subject: Subject) -> None:
        """LimitStore.clear was applied."""
        self._memory.limits.forget(subject)

    async def beat_heard(self, living: int, _worker_id: str, _payload: bytes, ttl_seconds: float) -> None:
        """FleetStore.beat was applied: ``living`` workers are alive."""
        if self._given_workers is None and ttl_seconds > 0:
            self._seen_workers.append(living)
            # With too small a number each worker would admit too much, so the largest of the last counts holds.
            self._workers = max(1, *self._seen_workers)

    def _share_of(self, request: AdmitRequest) -> AdmitRequest:
        if self._workers == 1:
            return request
        charges = tuple(share_of(charge, self._workers) for charge in request.charges)
        # The packed call has the store's charges, not this worker's shares.
        return replace(request, charges=charges, call=None)


def share_of(charge: Charge, workers: int) -> Charge:
    """One worker's part of a charge's limit; what the request itself costs always fits into a full bucket."""
    limit = charge.limit
    if limit.tokens >= workers:
        # Whole tokens for each worker, else one token in a longer window.
        part = Limit(limit.tokens // workers, limit.window_seconds)
    else:
        part = Limit(1, math.ceil(limit.window_seconds * workers / limit.tokens))
    # A charge that even the whole bucket could not hold stays too large: the request is wrong, not the store.
    needed = charge.tokens if charge.tokens <= charge.capacity else 0
    return replace(charge, limit=part, burst=max(charge.burst // workers, needed - part.tokens))


def share_of_rate(charges: Sequence[Charge], workers: int) -> tuple[Rate, int]:
    """One worker's part of the rate with these charges (one for each window), and the burst of that part."""
    parts = [share_of(charge, workers) for charge in charges]
    # A window that grows may become as long as another: the smaller number of the two holds.
    tokens: dict[int, int] = {}
    for part in parts:
        window = part.limit.window_seconds
        tokens[window] = min(part.limit.tokens, tokens.get(window, part.limit.tokens))
    return Rate(tuple([Limit(number, window) for window, number in tokens.items()])), parts[0].burst


def count_workers(settings: Settings, environ: Mapping[str, str] | None = None) -> int:
    """The number of worker processes: the setting, else WEB_CONCURRENCY (as servers read it), else 1."""
    if settings.workers:
        return settings.workers
    text = (os.environ if environ is None else environ).get("WEB_CONCURRENCY", "").strip()
    return max(1, int(text)) if text.isdecimal() else 1

"""A store that always answers: a breaker in front of Redis, and a failure policy behind it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from fraiseql_guard.core.context import Charge, Limit, Sanction, Subject
from fraiseql_guard.core.loop_task import LoopTask
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.stores.documents import Adding, DocumentIndex, TrustedDocument
from fraiseql_guard.stores.fleet import Beat
from fraiseql_guard.stores.lift_job import LiftJob, Told
from fraiseql_guard.stores.memory import MemoryStore
from fraiseql_guard.stores.overrides import Override, OverrideKind, Overrides
from fraiseql_guard.stores.protocol import (
    OVERRIDE,
    AdmitRequest,
    AdmitResult,
    HeldLimit,
    Observer,
    Sanctioned,
    Store,
    StoreError,
)
from fraiseql_guard.stores.redis.unreadable import UnreadableEntries
from fraiseql_guard.stores.refused import RefusedFor
from fraiseql_guard.stores.sanction_pages import Page

T = TypeVar("T")

FAILURES_TO_OPEN: Final = 5
"""Failures in a row that open the breaker."""
_BEATS: Final = 5
"""Beats whose largest count holds: a Redis that has just come back empty hears the workers one after the other."""
PROBE_SECONDS: Final = 0.5
"""Pause between two probes of a store that was given up."""


class FailoverStore:
    """Asks ``primary``; what it cannot answer in time is decided by ``settings.on_store_failure``.

    ``local``: this process's own buckets at a worker's share of each limit, and the sanctions that it has seen;
    ``open``: everything is admitted; ``closed``: nothing is (Outcome.unavailable). A trip that failed is not repeated.
    After five failures in a row the store is given up: no request waits for it, until a probe in the background (every
    half second, one at a time) is answered. The limits are divided by ``workers``, where given; else by the living ones
    that the last answered beats saw; else by the settings' number, else WEB_CONCURRENCY, else 1. ``clock`` counts
    seconds.
    """

    def __init__(
        self,
        primary: Store,
        *,
        settings: Settings,
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
        workers: int | None = None,
        probe_seconds: float = PROBE_SECONDS,
    ) -> None:
        self._primary = primary
        self._policy = settings.on_store_failure
        self._observer = observer
        primary.unreadable.on_found = observer.store_unreadable
        self._clock = clock
        self._given_workers = workers
        self._workers = workers or count_workers(settings)
        self._seen_workers: deque[int] = deque(maxlen=_BEATS)
        self._probe_seconds = probe_seconds
        self._local = MemoryStore(clock=clock)
        self._learned = False  # nearly always: no caller is sanctioned, and none was
        self._failures = 0
        self._open_since: float | None = None
        self._probing = LoopTask(self._probe)
        self._watch_store = self._probing.ensure_running

    @property
    def breaker_open(self) -> bool:
        """Whether the store is given up for now."""
        return self._open_since is not None

    async def admit(self, trip: AdmitRequest) -> AdmitResult:
        """Settle a request's whole bill (Store.admit). Never raises StoreError."""
        if self._open_since is not None:
            self._watch_store()
            return await self._do_without(trip)
        try:
            outcome = await self._primary.admit(trip)
        except StoreError as error:
            self._failed(error)
            return await self._do_without(trip)
        self._failures = 0
        told = outcome.sanction is not None or outcome.imposed is not None or outcome.override_seconds is not None
        if self._learned or told:
            self._learn(trip, outcome)
        return outcome

    async def _do_without(self, trip: AdmitRequest) -> AdmitResult:
        self._observer.store_fallback(self._policy)
        return await self._decide(trip)

    def known_sanction(self, subject: Subject, exempt: frozenset[PolicyName]) -> Sanction | None:
        """What this process has seen of the store's sanctions (Store.known_sanction)."""
        return self._local.known_sanction(subject, exempt) if self._learned else None

    async def impose(self, sanction: Sanction) -> None:
        """Store.impose; StoreError if it was not applied."""
        await self._apply(lambda: self._primary.impose(sanction))
        self._learned = True
        await self._local.impose(sanction)

    async def lift(self, subject: Subject, policy: PolicyName | None = None) -> int:
        """Store.lift; StoreError if it was not applied."""
        ended = await self._apply(lambda: self._primary.lift(subject, policy))
        await self._local.lift(subject, policy)
        return ended

    async def pardon(self, subject: Subject, policy: PolicyName) -> None:
        """Store.pardon; without the store in this process alone. Never raises StoreError."""
        with contextlib.suppress(StoreError):  # reported; what the store still knows expires with its window
            await self._apply(lambda: self._primary.pardon(subject, policy))
        await self._local.pardon(subject, policy)

    async def sanctions(self) -> Sequence[Sanction]:
        """Store.sanctions; StoreError if the store cannot tell."""
        return await self._apply(self._primary.sanctions)

    @property
    def unreadable(self) -> UnreadableEntries:
        """Store.unreadable."""
        return self._primary.unreadable

    async def lift_many(self, sanctioned: Sequence[Sanctioned]) -> int:
        """Store.lift_many; StoreError if not all of it was applied."""
        ended = await self._apply(lambda: self._primary.lift_many(sanctioned))
        await self._local.lift_many(sanctioned)
        return ended

    async def sanctions_page(self, limit: int, cursor: str = "") -> Page[Sanction]:
        """Store.sanctions_page; StoreError if the store cannot tell."""
        return await self._apply(lambda: self._primary.sanctions_page(limit, cursor))

    async def sanctions_of(self, subject: Subject) -> Sequence[Sanction]:
        """Store.sanctions_of; StoreError if the store cannot tell."""
        return await self._apply(lambda: self._primary.sanctions_of(subject))

    async def count_sanctions(self) -> int:
        """Store.count_sanctions; StoreError if the store cannot tell."""
        return await self._apply(self._primary.count_sanctions)

    async def count_limits(self) -> int:
        """Store.count_limits; StoreError if the store cannot tell."""
        return await self._apply(self._primary.count_limits)

    async def sanctioned(self) -> AsyncIterator[Sequence[Sanctioned]]:
        """Store.sanctioned; StoreError if the store cannot tell, or no longer."""
        batches = aiter(self._primary.sanctioned())
        while True:
            try:
                yield await self._apply(lambda: anext(batches))
            except StopAsyncIteration:
                return

    async def begin_lifting(self, origin: str, job_id: str, *, actor: str, worker: str, total: int) -> Told:
        """LiftStore.begin_lifting; StoreError if it was not begun."""
        begin = self._primary.begin_lifting
        return await self._apply(lambda: begin(origin, job_id, actor=actor, worker=worker, total=total))

    async def advance_lifting(self, origin: str, job_id: str, *, seen: int, lifted: int) -> Told:
        """LiftStore.advance_lifting; StoreError if the store did not hear of it."""
        return await self._apply(lambda: self._primary.advance_lifting(origin, job_id, seen=seen, lifted=lifted))

    async def finish_lifting(self, origin: str, job_id: str, *, state: str, why: str = "") -> Told:
        """LiftStore.finish_lifting; StoreError if the store did not hear of it."""
        return await self._apply(lambda: self._primary.finish_lifting(origin, job_id, state=state, why=why))

    async def lifting(self, origin: str) -> LiftJob | None:
        """LiftStore.lifting; StoreError if the store cannot tell."""
        return await self._apply(lambda: self._primary.lifting(origin))

    async def known_sanctions(self) -> Sequence[Sanction]:
        """Those that this process has met or imposed, without asking the store; none while everything is admitted."""
        return () if self._policy == "open" and self.breaker_open else await self._local.sanctions()

    async def beat(self, worker_id: str, payload: bytes, ttl_seconds: float) -> int:
        """FleetStore.beat; StoreError if the store did not hear it. How many live is kept in mind for an outage."""
        living = await self._apply(lambda: self._primary.beat(worker_id, payload, ttl_seconds))
        if self._given_workers is None and ttl_seconds > 0:
            self._seen_workers.append(living)
            self._workers = max(1, *self._seen_workers)
        return living

    async def beats(self) -> Sequence[Beat]:
        """FleetStore.beats; StoreError if the store cannot tell."""
        return await self._apply(self._primary.beats)

    async def remember(self, records: Sequence[bytes]) -> None:
        """FleetStore.remember; StoreError if nothing was written."""
        await self._apply(lambda: self._primary.remember(records))

    async def recent(self, count: int) -> Sequence[bytes]:
        """FleetStore.recent; StoreError if the store cannot tell."""
        return await self._apply(lambda: self._primary.recent(count))

    async def record_action(self, record: bytes) -> None:
        """FleetStore.record_action; StoreError if nothing was written."""
        await self._apply(lambda: self._primary.record_action(record))

    async def actions(self, count: int) -> Sequence[bytes]:
        """FleetStore.actions; StoreError if the store cannot tell."""
        return await self._apply(lambda: self._primary.actions(count))

    async def note_refused(self, refusals: Sequence[RefusedFor]) -> Sequence[str]:
        """RefusedStore.note_refused; StoreError if nothing was noted."""
        return await self._apply(lambda: self._primary.note_refused(refusals))

    async def set_limit(self, subject: Subject, limit: Limit, burst: int, seconds: float, *, actor: str = "") -> None:
        """Store.set_limit; StoreError if it was not applied."""
        await self._apply(lambda: self._primary.set_limit(subject, limit, burst, seconds, actor=actor))
        self._learned = True
        part = share_of(Charge(OVERRIDE, limit, burst), self._workers)
        await self._local.set_limit(subject, part.limit, part.burst, seconds)

    async def limits(self) -> Sequence[HeldLimit]:
        """Store.limits; StoreError if the store cannot tell."""
        return await self._apply(self._primary.limits)

    async def limits_page(self, limit: int, cursor: str = "") -> Page[HeldLimit]:
        """Store.limits_page; StoreError if the store cannot tell."""
        return await self._apply(lambda: self._primary.limits_page(limit, cursor))

    async def limit_of(self, subject: Subject) -> HeldLimit | None:
        """Store.limit_of; StoreError if the store cannot tell."""
        return await self._apply(lambda: self._primary.limit_of(subject))

    async def clear_limit(self, subject: Subject) -> bool:
        """Store.clear_limit; StoreError if it was not applied."""
        existed = await self._apply(lambda: self._primary.clear_limit(subject))
        self._local.forget_limit(subject)
        return existed

    async def control(self, known_version: int) -> Overrides | None:
        """OverrideStore.control; StoreError if the store cannot tell, at once while it is given up."""
        return await self._apply(lambda: self._primary.control(known_version))

    async def tell(self, entry: Override) -> None:
        """OverrideStore.tell; StoreError if it was not applied."""
        await self._apply(lambda: self._primary.tell(entry))

    async def delete_override(self, kind: OverrideKind, key: str) -> bool:
        """OverrideStore.untell; StoreError if it was not applied."""
        return await self._apply(lambda: self._primary.delete_override(kind, key))

    async def documents(self, known_version: int) -> DocumentIndex | None:
        """DocumentStore.documents; StoreError if the store cannot tell, at once while it is given up."""
        return await self._apply(lambda: self._primary.documents(known_version))

    async def document_texts(self, ids: Sequence[str]) -> Sequence[str | None]:
        """DocumentStore.document_texts; StoreError if the store cannot tell."""
        return await self._apply(lambda: self._primary.document_texts(ids))

    async def add_documents(self, documents: Sequence[TrustedDocument]) -> Adding:
        """DocumentStore.add_documents; StoreError if they were not added."""
        return await self._apply(lambda: self._primary.add_documents(documents))

    async def remove_documents(self, ids: Sequence[str]) -> int:
        """DocumentStore.remove_documents; StoreError if they were not removed."""
        return await self._apply(lambda: self._primary.remove_documents(ids))

    async def ping(self) -> None:
        """Ask the store itself, given up or not; StoreError if it does not answer."""
        await self._primary.ping()

    async def check(self) -> list[str]:
        """Ask the store itself, given up or not (Store.check)."""
        return await self._primary.check()

    async def aclose(self) -> None:
        """Stop probing and give back connections."""
        await self._probing.aclose()
        await self._primary.aclose()

    async def _apply(self, call: Callable[[], Awaitable[T]]) -> T:
        """An operator's change is made by the store or not at all."""
        if self._open_since is not None:
            self._watch_store()
            raise StoreError("connection", "the store was given up for now; nothing was applied")
        try:
            result = await call()
        except StoreError as error:
            self._failed(error)
            raise
        self._failures = 0
        return result

    def _failed(self, error: StoreError) -> None:
        if error.opens_breaker:
            self._failures += 1
            if self._failures >= FAILURES_TO_OPEN and self._open_since is None:
                self._open_since = self._clock()
                self._watch_store()
        self._observer.store_failed(error.reason, error.detail, self.breaker_open)

    async def _probe(self) -> None:
        while self._open_since is not None:
            await asyncio.sleep(self._probe_seconds)
            try:
                await self._primary.ping()
            except StoreError as error:
                if error.opens_breaker:
                    self._observer.store_failed(error.reason, error.detail, self.breaker_open)
                    continue  # else it is there: only the node that the probe asked is not
            self._recovered()

    def _recovered(self) -> None:
        if self._open_since is not None:
            outage_seconds = self._clock() - self._open_since
            self._open_since, self._failures = None, 0
            self._observer.store_recovered(outage_seconds)

    async def _decide(self, trip: AdmitRequest) -> AdmitResult:
        if self._policy == "open":
            return AdmitResult(admitted=True)
        if self._policy == "closed":
            return AdmitResult(admitted=False, unavailable=True)
        self._learned = True  # what is imposed in an outage ends with it
        return await self._local.admit(self._share_of(trip))

    def _share_of(self, trip: AdmitRequest) -> AdmitRequest:
        if self._workers == 1:
            return trip
        charges = tuple(share_of(charge, self._workers) for charge in trip.charges)
        return replace(trip, charges=charges, call=None)

    def _learn(self, trip: AdmitRequest, outcome: AdmitResult) -> None:
        """Remember what is in force for the time of an outage, and no longer what was lifted meanwhile."""
        self._learned = True
        if outcome.sanction is not None:
            self._local.learn(outcome.sanction, enforced=trip.enforced)
        else:
            self._local.forget(trip.subject, enforced=trip.enforced, keep=trip.exempt)
        if outcome.imposed is not None:
            self._local.learn(outcome.imposed.sanction, enforced=outcome.imposed.escalation.enforced)
        if outcome.override_seconds is not None:
            part = share_of(outcome.buckets[0].charge, self._workers)
            self._local.learn_limit(trip.subject, part.limit, part.burst, outcome.override_seconds)
        elif outcome.buckets:
            self._local.forget_limit(trip.subject)


def share_of(charge: Charge, workers: int) -> Charge:
    """One worker's part of a charge's limit; what the request itself costs always fits into a full bucket."""
    limit = charge.limit
    if limit.tokens >= workers:
        part = Limit(limit.tokens // workers, limit.window_seconds)
    else:
        part = Limit(1, math.ceil(limit.window_seconds * workers / limit.tokens))
    # A charge that even the whole bucket could not hold stays too large: the request is wrong, not the store.
    needed = charge.tokens if charge.tokens <= charge.capacity else 0
    return replace(charge, limit=part, burst=max(charge.burst // workers, needed - part.tokens))


def count_workers(settings: Settings, environ: Mapping[str, str] | None = None) -> int:
    """Worker processes: the setting, else WEB_CONCURRENCY (as servers read it), else 1."""
    if settings.workers:
        return settings.workers
    text = (os.environ if environ is None else environ).get("WEB_CONCURRENCY", "").strip()
    return max(1, int(text)) if text.isdecimal() else 1

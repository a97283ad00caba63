"""Requests without end at a store that always answers, and what came back, in the words of a caller."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.token_buckets import Charge, Limit
from fraiseql_guard.stores import AdmitRequest, AdmitResult
from fraiseql_guard.stores.failover import FailoverStore
from fraiseql_guard.stores.redis.store import RedisStore

ALICE = Subject("user", "alice")
ROOM = Charge("default", Limit(1, 86_400), burst=1_000_000)
"""A bucket that no caller empties and nothing refills: every refusal is a false one, and what is gone was charged."""


class Watcher:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.failures: Counter[str] = Counter()
        self.details: set[str] = set()
        self.outages: list[float] = []

    def store_failed(self, reason: str, detail: str, breaker_open: bool) -> None:
        self.failures[reason] += 1
        self.details.add(detail)

    def store_fallback(self, policy: str) -> None:
        """Seen in the outcomes."""

    def store_unreadable(self, family: object, detail: str, first: bool) -> None:
        """Not looked at here."""

    def store_recovered(self, outage_seconds: float) -> None:
        self.outages.append(outage_seconds)


class Pauses:
    """How long this event loop has not run for all that it should have: pauses of the machine, and our own work."""

    def __init__(self) -> None:
        self._so_far = 0.0
        self._looks_at = time.monotonic()

    def seconds(self) -> float:
        """So far, in total."""
        return self._so_far + max(0.0, time.monotonic() - self._looks_at)

    async def watch(self, every_seconds: float = 0.01) -> None:
        """Until it is cancelled."""
        while True:
            self._looks_at = time.monotonic() + every_seconds
            await asyncio.sleep(every_seconds)
            self._so_far = self.seconds()


@dataclass
class Tally:
    """What callers saw. ``decided`` were admitted by Redis itself, the other 200s by the policy ``open``.

    The slowest is without the time in which this process did not run: it is about what callers wait for.
    """

    pauses: Pauses = field(default_factory=Pauses)
    statuses: Counter[int] = field(default_factory=Counter)
    slowest_seconds: float = 0.0
    decided: int = 0
    errors: list[BaseException] = field(default_factory=list)
    last_decided: float = 0.0

    @property
    def sent(self) -> int:
        """All requests so far."""
        return self.statuses.total()

    def add(self, outcome: AdmitResult | BaseException, seconds: float) -> None:
        """Count one request as the caller sees it."""
        self.slowest_seconds = max(self.slowest_seconds, seconds)
        if isinstance(outcome, BaseException):
            self.errors.append(outcome)
            self.statuses[500] += 1
            return
        self.statuses[200 if outcome.admitted else 503 if outcome.unavailable else 429] += 1
        if outcome.admitted and outcome.buckets:
            self.decided += 1
            self.last_decided = time.monotonic()

    def report(self, fault: str, exact: str) -> None:
        """Print one line about a fault; pytest shows it with -s or -rP."""
        statuses = ", ".join(f"{status}: {count}" for status, count in sorted(self.statuses.items()))
        print(f"{fault}: statuses {{{statuses}}}; slowest {self.slowest_seconds * 1000:.0f} ms; {exact}")


def open_failover(
    url: str, watcher: Watcher, *, policy: str = "open", timeout_seconds: float = 0.05, workers: int = 1
) -> FailoverStore:
    """The store as a guard has it, with the default deadline and pauses."""
    settings = Settings.load({}, on_store_failure=policy)
    return FailoverStore(
        RedisStore(url, timeout_seconds=timeout_seconds), settings=settings, observer=watcher, workers=workers
    )


async def request(store: FailoverStore, tally: Tally, trip: AdmitRequest) -> AdmitResult | BaseException:
    """One request, counted."""
    began, paused = time.monotonic(), tally.pauses.seconds()
    outcome: AdmitResult | BaseException
    try:
        outcome = await store.admit(trip)
    except Exception as error:  # noqa: BLE001 - the caller would see a 500
        outcome = error
    tally.add(outcome, (time.monotonic() - began) - (tally.pauses.seconds() - paused))
    return outcome


@asynccontextmanager
async def load(
    store: FailoverStore, *trips: AdmitRequest, callers: int = 8, pause_seconds: float = 0.004
) -> AsyncIterator[Tally]:
    """Callers that send one of the trips after the other, as long as the body runs."""
    tally, ended = Tally(), asyncio.Event()

    async def call(position: int) -> None:
        while not ended.is_set():
            await request(store, tally, trips[position % len(trips)])
            position += 1
            await asyncio.sleep(pause_seconds)

    watching = asyncio.create_task(tally.pauses.watch())
    tasks = [asyncio.create_task(call(position)) for position in range(callers)]
    try:
        yield tally
    finally:
        ended.set()
        await asyncio.gather(*tasks)
        watching.cancel()


async def until_decided(tally: Tally, *, within_seconds: float = 60.0) -> float:
    """Wait for the next request that Redis itself admits; the time it took."""
    began = time.monotonic()
    while tally.last_decided < began:
        if time.monotonic() - began > within_seconds:
            pytest.fail(f"Redis is not used again after {within_seconds} s")
        await asyncio.sleep(0.01)
    return tally.last_decided - began


async def charged(url: str, subject: Subject = ALICE, charge: Charge = ROOM) -> int:
    """Tokens that are gone from a bucket, as Redis knows it."""
    store = RedisStore(url, timeout_seconds=5)
    try:
        (bucket,) = (await store.admit(AdmitRequest(subject, (replace(charge, tokens=0),)))).buckets
        return round(charge.capacity - bucket.remaining)
    finally:
        await store.aclose()

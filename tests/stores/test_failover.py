"""Life without the store: the breaker, the failure policies, the recovery."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Escalation, Sanction
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.core.token_buckets import Bucket, Charge, Limit, Rate
from fraiseql_guard.stores import Adjustment, AdmitRequest, AdmitResult, MemoryStore, StoreError, open_store
from fraiseql_guard.stores.breaker import FAILURES_TO_OPEN
from fraiseql_guard.stores.documents import DocumentStore
from fraiseql_guard.stores.failover import FAILOVER, FailoverStore
from fraiseql_guard.stores.fleet import FleetStore
from fraiseql_guard.stores.lift_jobs import LiftJobStore
from fraiseql_guard.stores.limits import LimitStore
from fraiseql_guard.stores.local_share import count_workers, share_of
from fraiseql_guard.stores.overrides import OverrideStore
from fraiseql_guard.stores.redis.store import RedisStore
from fraiseql_guard.stores.refused_documents import RefusedDocumentStore
from fraiseql_guard.stores.sanctions import SanctionStore
from tests.stores.conftest import ManualClock
from tests.support.redis_server import RedisServer
from tests.support.waiting import until

ALICE = Subject("user", "alice")
CHARGE = Charge("default", Limit(100, 3600), burst=20)
BRUTE = Escalation(PolicyName.BRUTE_FORCE, offences=1, window_seconds=60, sanction_seconds=100)


class Watcher:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.failures: list[tuple[str, bool]] = []
        self.fallbacks: list[str] = []
        self.outages: list[float] = []

    def store_failed(self, reason: str, detail: str, breaker_open: bool) -> None:
        self.failures.append((reason, breaker_open))

    def store_fallback(self, policy: str) -> None:
        self.fallbacks.append(policy)

    def store_unreadable(self, family: object, detail: str, first: bool) -> None:
        """Not looked at here."""

    def store_recovered(self, outage_seconds: float) -> None:
        self.outages.append(outage_seconds)


class Moody(MemoryStore):
    """A store that fails when told."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock=clock)
        self.error: StoreError | None = None
        self.asked = 0
        self.probed = 0
        impose = self.sanctions.impose

        async def impose_if_told(sanction: Sanction) -> None:
            self._mood()
            await impose(sanction)

        self.impose_elsewhere = impose
        self.sanctions.impose = impose_if_told

    def _mood(self) -> None:
        if self.error is not None:
            raise self.error

    async def admit(self, request: AdmitRequest) -> AdmitResult:
        self.asked += 1
        self._mood()
        return await super().admit(request)

    async def adjust(self, adjustment: Adjustment) -> tuple[Bucket, ...]:
        self._mood()
        return await super().adjust(adjustment)

    async def ping(self) -> None:
        self.probed += 1
        await asyncio.sleep(0)
        self._mood()


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


@pytest.fixture
def moody(clock: ManualClock) -> Moody:
    return Moody(clock)


@asynccontextmanager
async def failover(
    primary: MemoryStore | RedisStore, watcher: Watcher, clock: ManualClock | None = None, workers: int = 1, **options
) -> AsyncIterator[FailoverStore]:
    settings = Settings.load({}, **options)
    timing = {} if clock is None else {"clock": clock}
    store = FailoverStore(primary, settings=settings, observer=watcher, workers=workers, probe_seconds=0.05, **timing)
    try:
        yield store
    finally:
        await store.aclose()


def down() -> StoreError:
    return StoreError("timeout", "no answer")


async def test_five_failures_in_a_row_open_the_breaker(moody: Moody, watcher: Watcher, clock: ManualClock):
    async with failover(moody, watcher, clock) as store:
        for error in (*[down()] * 4, None, *[down()] * 5):
            moody.error = error
            assert (await store.admit(AdmitRequest(ALICE, (CHARGE,)))).admitted
        assert [opened for _, opened in watcher.failures] == [False] * 8 + [True]
        assert store.breaker_open
        assert watcher.fallbacks == ["local"] * 9
        asked = moody.asked
        await store.admit(AdmitRequest(ALICE, (CHARGE,)))
        assert moody.asked == asked


async def test_what_was_paid_is_given_back_where_it_was_paid(moody: Moody, watcher: Watcher, clock: ManualClock):
    back, look = replace(CHARGE, tokens=-1), replace(CHARGE, tokens=0)
    async with failover(moody, watcher, clock) as store:
        paid = await store.admit(AdmitRequest(ALICE, (CHARGE,)))
        assert not paid.alone
        moody.error = down()
        alone = await store.admit(AdmitRequest(ALICE, (CHARGE, CHARGE)))
        assert alone.alone
        # What the store was paid is not given back by this process, nor the other way round.
        assert await store.adjust(Adjustment(ALICE, (back,))) == ()
        (mine,) = await store.adjust(Adjustment(ALICE, (back,), alone=True))
        assert mine.remaining == 119
        # Only a look falls back on what this process knows.
        assert [bucket.remaining for bucket in await store.adjust(Adjustment(ALICE, (look,)))] == [119]
        moody.error = None
        (mine,) = await store.adjust(Adjustment(ALICE, (back,), alone=True))
        assert mine.remaining == 120
        assert [bucket.remaining for bucket in await store.adjust(Adjustment(ALICE, (look,)))] == [119]
        (theirs,) = await store.adjust(Adjustment(ALICE, (back,)))
        assert theirs.remaining == 120


async def test_a_worker_looks_at_its_share(moody: Moody, watcher: Watcher, clock: ManualClock):
    async with failover(moody, watcher, clock, workers=4) as store:
        moody.error = down()
        (bucket,) = (await store.admit(AdmitRequest(ALICE, (CHARGE,)))).buckets
        assert bucket.charge.capacity == 30
        looks = [
            await store.adjust(Adjustment(ALICE, (replace(bucket.charge, tokens=0),), alone=True)),
            await store.adjust(Adjustment(ALICE, (replace(CHARGE, tokens=0),))),
        ]
        assert [[each.remaining for each in look] for look in looks] == [[29], [29]]


async def test_mistakes_of_our_own_do_not_open_it(moody: Moody, watcher: Watcher, clock: ManualClock):
    async with failover(moody, watcher, clock) as store:
        moody.error = StoreError("script", "WRONGTYPE", opens_breaker=False)
        for _ in range(20):
            assert (await store.admit(AdmitRequest(ALICE, (CHARGE,)))).admitted
        assert not store.breaker_open
        assert set(watcher.failures) == {("script", False)}


async def test_recovers_by_itself_without_requests(moody: Moody, watcher: Watcher, clock: ManualClock):
    async with failover(moody, watcher, clock) as store:
        moody.error = down()
        for _ in range(FAILURES_TO_OPEN):
            await store.admit(AdmitRequest(ALICE))
        clock.advance(7)
        await asyncio.sleep(0.2)
        assert store.breaker_open
        assert 1 <= moody.probed <= 4  # one at a time, and not more often than said
        moody.error = None
        await _until_closed(store)
        assert watcher.outages == [7]
        assert (await store.admit(AdmitRequest(ALICE, (CHARGE,)))).admitted


async def test_open_admits_everything(moody: Moody, watcher: Watcher, clock: ManualClock):
    async with failover(moody, watcher, clock, on_store_failure="open") as store:
        moody.error = down()
        for _ in range(200):
            assert await store.admit(AdmitRequest(ALICE, (CHARGE,))) == AdmitResult(admitted=True)
        assert set(watcher.fallbacks) == {"open"}


async def test_closed_admits_nothing(moody: Moody, watcher: Watcher, clock: ManualClock):
    async with failover(moody, watcher, clock, on_store_failure="closed") as store:
        moody.error = down()
        for _ in range(10):
            assert await store.admit(AdmitRequest(ALICE, (CHARGE,))) == AdmitResult(admitted=False, unavailable=True)


async def test_local_buckets_are_a_workers_share(moody: Moody, watcher: Watcher, clock: ManualClock):
    async with failover(moody, watcher, clock, workers=4) as store:
        moody.error = down()
        results = [await store.admit(AdmitRequest(ALICE, (CHARGE,))) for _ in range(40)]
        assert sum(result.admitted for result in results) == 30
        assert results[-1].buckets[0].retry_after_seconds == pytest.approx(3600 / 25)


@pytest.mark.parametrize(
    ("charge", "workers", "limit", "capacity"),
    [
        (Charge("d", Limit(100, 60), 20), 1, Limit(100, 60), 120),
        (Charge("d", Limit(100, 60), 20), 3, Limit(33, 60), 39),
        (Charge("d", Limit(5, 1)), 8, Limit(1, 2), 1),
        (Charge("d", Limit(5, 1), tokens=4), 8, Limit(1, 2), 4),
        (Charge("d", Limit(100, 60), 20, tokens=100), 4, Limit(25, 60), 100),
    ],
)
def test_share_of(charge: Charge, workers: int, limit: Limit, capacity: int):
    part = share_of(charge, workers)
    assert (part.limit, part.capacity, part.key) == (limit, capacity, charge.key)


def test_a_charge_that_is_too_large_stays_too_large():
    part = share_of(Charge("d", Limit(10, 60), tokens=11), 2)
    assert part.tokens > part.capacity


async def test_sanctions_seen_in_force_still_hold(moody: Moody, watcher: Watcher, clock: ManualClock):
    async with failover(moody, watcher, clock) as store:
        bob, carol, dave = (Subject("user", name) for name in ("bob", "carol", "dave"))
        await store.admit(AdmitRequest(ALICE, offence=BRUTE))  # imposed here
        await store.sanctions.impose(Sanction(bob, PolicyName.OPERATOR, 50))  # by this process's operator
        await moody.impose_elsewhere(Sanction(carol, PolicyName.OPERATOR, 50))  # elsewhere, and seen
        assert not (await store.admit(AdmitRequest(carol))).admitted
        await store.sanctions.impose(Sanction(dave, PolicyName.OPERATOR, 50))
        await store.sanctions.lift(dave)
        moody.error = down()
        for subject, admitted in ((ALICE, False), (bob, False), (carol, False), (dave, True)):
            assert (await store.admit(AdmitRequest(subject))).admitted is admitted
        assert (await store.admit(AdmitRequest(ALICE, exempt=frozenset({PolicyName.BRUTE_FORCE})))).admitted
        clock.advance(101)
        for subject in (ALICE, bob, carol):
            assert (await store.admit(AdmitRequest(subject))).admitted


async def test_a_sanction_lifted_elsewhere_is_forgotten(moody: Moody, watcher: Watcher, clock: ManualClock):
    async with failover(moody, watcher, clock) as store:
        await store.admit(AdmitRequest(ALICE, offence=BRUTE))
        await moody.sanctions.lift(ALICE)
        assert (await store.admit(AdmitRequest(ALICE, exempt=frozenset({PolicyName.BRUTE_FORCE})))).admitted
        moody.error = down()
        assert not (await store.admit(AdmitRequest(ALICE))).admitted  # an exempt request cannot have told
        moody.error = None
        assert (await store.admit(AdmitRequest(ALICE))).admitted
        moody.error = down()
        assert (await store.admit(AdmitRequest(ALICE))).admitted


async def test_an_override_that_was_seen_still_holds_at_a_workers_share(
    moody: Moody, watcher: Watcher, clock: ManualClock
):
    async def admitted() -> int:
        return sum([(await store.admit(AdmitRequest(ALICE, (CHARGE,)))).admitted for _ in range(200)])

    await moody.limits.set(ALICE, Rate.of(40, 3600), 0, 600)  # by another worker
    async with failover(moody, watcher, clock, workers=4) as store:
        await store.admit(AdmitRequest(ALICE, (CHARGE,)))
        moody.error = down()
        assert await admitted() == 10
        clock.advance(601)  # it ends in an outage as well
        assert await admitted() == (100 + 20) // 4
        moody.error = None
        await _until_closed(store)
        await store.limits.set(ALICE, Rate.of(80, 3600), 0, 600)
        moody.error = down()
        assert await admitted() == 20
        moody.error = None
        await _until_closed(store)
        await moody.limits.clear(ALICE)
        clock.advance(7200)
        await store.admit(AdmitRequest(ALICE, (CHARGE,)))
        moody.error = down()
        assert await admitted() == (100 + 20) // 4


async def test_what_was_imposed_in_an_outage_ends_with_it(moody: Moody, watcher: Watcher, clock: ManualClock):
    async with failover(moody, watcher, clock) as store:
        moody.error = down()
        await store.admit(AdmitRequest(ALICE, offence=BRUTE))
        assert (await store.admit(AdmitRequest(ALICE))).sanction is not None
        moody.error = None
        assert (await store.admit(AdmitRequest(ALICE))).admitted
        moody.error = down()
        assert (await store.admit(AdmitRequest(ALICE))).admitted


async def test_an_operators_change_is_not_applied(moody: Moody, watcher: Watcher, clock: ManualClock):
    async with failover(moody, watcher, clock) as store:
        moody.error = down()
        for _ in range(FAILURES_TO_OPEN):
            with pytest.raises(StoreError):
                await store.sanctions.impose(Sanction(ALICE, PolicyName.OPERATOR, 50))
        assert store.breaker_open
        for change in (
            store.sanctions.impose(Sanction(ALICE, PolicyName.OPERATOR, 50)),
            store.sanctions.lift(ALICE),
            store.sanctions.all(),
        ):
            with pytest.raises(StoreError, match=r"^connection: the store was given up for now; nothing was applied$"):
                await change
        assert (await store.admit(AdmitRequest(ALICE))).admitted


async def test_each_sub_store_passes_questions_on_and_has_their_failures_counted(moody: Moody, watcher: Watcher):
    async with failover(moody, watcher) as store:
        assert list(await store.sanctions.all()) == list(await store.limits.all()) == []
        assert (await store.overrides.read(-1)).version == 0
        assert await store.documents.index(0) is None
        assert list(await store.fleet.beats()) == list(await store.refused_documents.note(())) == []
        assert await store.lift_jobs.read("origin") is None


@pytest.mark.parametrize(
    ("name", "protocol"),
    [
        ("sanctions", SanctionStore),
        ("limits", LimitStore),
        ("overrides", OverrideStore),
        ("documents", DocumentStore),
        ("fleet", FleetStore),
        ("refused_documents", RefusedDocumentStore),
        ("lift_jobs", LiftJobStore),
    ],
)
async def test_every_method_has_a_failure_policy(name: str, protocol: type, moody: Moody, watcher: Watcher):
    methods = {each for each in vars(protocol) if not each.startswith("_")}
    assert set(FAILOVER[name]) == methods
    async with failover(moody, watcher) as store:
        assert methods <= vars(getattr(store, name)).keys()


async def test_a_pardon_is_given_without_the_store(moody: Moody, watcher: Watcher, clock: ManualClock):
    async def fail(*_: object) -> None:
        raise down()

    moody.sanctions.pardon = fail
    async with failover(moody, watcher, clock) as store:
        await store.admit(AdmitRequest(ALICE, offence=BRUTE))
        await store.sanctions.pardon(ALICE, PolicyName.BRUTE_FORCE)
        assert watcher.failures == [("timeout", False)]
        moody.error = down()
        assert (await store.admit(AdmitRequest(ALICE))).admitted


async def test_who_is_sanctioned_is_told_until_the_store_fails(moody: Moody, watcher: Watcher, clock: ManualClock):
    async def batches() -> AsyncIterator[list[object]]:
        yield [(ALICE, PolicyName.DOS)]
        raise down()

    async with failover(moody, watcher, clock) as store:
        assert [batch async for batch in store.sanctions.batches()] == []
    moody.sanctions.batches = batches
    async with failover(moody, watcher, clock) as store:
        found = aiter(store.sanctions.batches())
        assert await anext(found) == [(ALICE, PolicyName.DOS)]
        with pytest.raises(StoreError):
            await anext(found)
        assert watcher.failures == [("timeout", False)]


def test_counts_workers():
    assert count_workers(Settings.load({}, workers=3), {"WEB_CONCURRENCY": "8"}) == 3
    assert count_workers(Settings.load({}), {"WEB_CONCURRENCY": "8"}) == 8
    for text in ("", "0", "many", "-2"):
        assert count_workers(Settings.load({}), {"WEB_CONCURRENCY": text}) == 1


# --- a real server ---------------------------------------------------------------------------------------------------


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


async def _until_closed(store: FailoverStore) -> None:
    await until(lambda: not store.breaker_open)


@pytest.mark.redis
async def test_a_killed_server(own_redis: RedisServer, watcher: Watcher):
    primary = RedisStore(own_redis.url, timeout_seconds=1)
    async with failover(primary, watcher) as store:
        assert (await store.admit(AdmitRequest(ALICE, (CHARGE,)))).admitted
        own_redis.kill()
        results = await asyncio.gather(*(store.admit(AdmitRequest(ALICE, (CHARGE,))) for _ in range(256)))
        assert sum(result.admitted for result in results) == CHARGE.capacity
        assert store.breaker_open
        own_redis.restart()
        await _until_closed(store)
        assert (await store.admit(AdmitRequest(ALICE, (CHARGE,)))).buckets[0].remaining == pytest.approx(119, abs=1)
        assert len(watcher.outages) == 1


@pytest.mark.redis
async def test_a_server_frozen_for_three_seconds(own_redis: RedisServer, watcher: Watcher):
    primary = RedisStore(own_redis.url, timeout_seconds=0.05)
    async with failover(primary, watcher, on_store_failure="open") as store:
        await store.admit(AdmitRequest(ALICE, (CHARGE,)))
        own_redis.freeze()
        ends_at = time.monotonic() + 3
        while time.monotonic() < ends_at:  # it stays frozen until all that was asked meanwhile is answered
            results = await asyncio.gather(*(store.admit(AdmitRequest(ALICE, (CHARGE,))) for _ in range(8)))
            assert all(result.admitted for result in results)
            await asyncio.sleep(0.02)
        assert store.breaker_open
        own_redis.thaw()
        await _until_closed(store)
        assert "timeout" in {reason for reason, _ in watcher.failures}

        async def limited() -> bool:
            return (await store.admit(AdmitRequest(ALICE, (CHARGE,)))).buckets != ()

        await until(limited)


@pytest.mark.redis
async def test_a_wrong_password_is_an_outage_and_no_exception(watcher: Watcher):
    with RedisServer("--requirepass", "secret") as server:
        primary = RedisStore(f"redis://:wrong@127.0.0.1:{server.port}", timeout_seconds=2)
        async with failover(primary, watcher, on_store_failure="closed") as store:
            for _ in range(FAILURES_TO_OPEN + 1):
                assert (await store.admit(AdmitRequest(ALICE, (CHARGE,)))).unavailable
            assert {reason for reason, _ in watcher.failures} == {"refused"}
            assert store.breaker_open


@pytest.mark.redis
async def test_a_thousand_simultaneous_requests(own_redis: RedisServer, watcher: Watcher):
    async with failover(RedisStore(own_redis.url, timeout_seconds=5), watcher) as store:
        results = await asyncio.gather(*(store.admit(AdmitRequest(ALICE, (CHARGE,))) for _ in range(1000)))
        assert sum(result.admitted for result in results) == CHARGE.capacity
        assert watcher.failures == []


async def test_open_store(watcher: Watcher):
    assert isinstance(open_store(Settings.load({}), watcher), MemoryStore)
    store = open_store(Settings.load({}, redis_url="redis://127.0.0.1:1/0"), watcher)
    assert isinstance(store, FailoverStore)
    assert (await store.admit(AdmitRequest(ALICE, (CHARGE,)))).admitted
    assert watcher.failures == [("connection", False)]
    await store.aclose()

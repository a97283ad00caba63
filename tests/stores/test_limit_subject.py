"""Limits that belong to another subject than sanctions and offences do, in all stores alike."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Escalation, Sanction
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.core.token_buckets import Bucket, Burst, Charge, Limit, Rate, charges_of
from fraiseql_guard.stores import AdmitRequest, AdmitResult, MemoryStore, Refusals, StoreError
from fraiseql_guard.stores.failover import FailoverStore
from fraiseql_guard.stores.limits import OVERRIDE
from fraiseql_guard.stores.protocol import Adjustment
from fraiseql_guard.stores.redis.store import RedisStore
from tests.stores.conftest import Bench, ManualClock, ask
from tests.stores.test_failover import Watcher
from tests.support.redis_cluster import RedisCluster

ALICE, BOB = Subject("user", "alice"), Subject("user", "bob")
ACME = Subject("key", "tenant:acme")
TWO = Charge("default", Limit(2, 3600))
BESIDE = Charge("default", Limit(3, 3600), bucket="beside", fixed=True, own=True)
ABUSE = Escalation(PolicyName.RATE_LIMIT_ABUSE, offences=2, window_seconds=60, sanction_seconds=100)
DOS = Escalation(PolicyName.DOS, offences=1, window_seconds=60, sanction_seconds=100)


def of(subject: Subject, *charges: Charge, **more: object) -> AdmitRequest:
    return AdmitRequest(subject, charges or (TWO,), limit_subject=ACME, **more)  # type: ignore[arg-type]


def left(result: AdmitResult) -> list[float]:
    return [round(bucket.remaining) for bucket in result.buckets]


async def test_users_of_one_key_share_its_bucket_and_nothing_else(bench: Bench) -> None:
    assert [left(await bench.store.admit(of(each))) for each in (ALICE, BOB)] == [[1], [0]]
    assert not (await bench.store.admit(of(ALICE))).admitted
    assert (await bench.store.admit(AdmitRequest(ALICE, (TWO,)))).admitted, "her own bucket is another"
    address = Subject("address", "2001:db8:0:1::/64", "2001:db8::/48")
    assert (await bench.store.admit(AdmitRequest(ALICE, (TWO,), limit_subject=address))).admitted
    assert left(await bench.store.admit(AdmitRequest(address, (TWO,)))) == [0]


async def test_who_goes_on_is_blocked_and_not_their_key(bench: Bench) -> None:
    for _ in range(2):
        await bench.store.admit(of(BOB, abuse=ABUSE))
    assert (await bench.store.admit(of(ALICE, abuse=ABUSE))).imposed is None
    await bench.wait(1.1)  # one offence a second
    blocked = await bench.store.admit(of(ALICE, abuse=ABUSE))
    assert blocked.imposed is not None
    assert blocked.imposed.sanction.subject == ALICE
    assert (await bench.store.admit(of(ALICE))).sanction is not None
    assert (await bench.store.admit(of(BOB))).sanction is None
    assert [each.subject for each in await bench.store.sanctions.all()] == [ALICE]


async def test_a_blocked_user_takes_nothing_from_the_key_while_the_block_lasts(bench: Bench) -> None:
    await bench.store.sanctions.impose(Sanction(ALICE, PolicyName.OPERATOR, 60))
    many = replace(TWO, limit=Limit(20, 3600))
    for _ in range(10):
        assert (await bench.store.admit(of(ALICE, many))).sanction is not None
    result = await bench.store.admit(of(BOB, many))
    # On a cluster the first of them was met after the bucket, which got it back.
    assert left(result) == [19]
    await bench.store.sanctions.lift(ALICE)
    assert (await bench.store.admit(of(ALICE, many))).admitted


async def test_an_offence_is_the_subjects_and_counts_only_where_the_key_has_room(bench: Bench) -> None:
    full = replace(TWO, tokens=2)
    await bench.store.admit(of(BOB, full))
    assert (await bench.store.admit(of(ALICE, offence=DOS))).imposed is None
    imposed = (await bench.store.admit(AdmitRequest(ALICE, (TWO,), offence=DOS, limit_subject=BOB))).imposed
    assert imposed is not None
    assert imposed.sanction.subject == ALICE


async def test_what_is_paid_beside_is_the_subjects(bench: Bench) -> None:
    for number in range(3):
        request = AdmitRequest(ALICE, (TWO, BESIDE), limit_subject=Subject("key", f"header:x#{number}"))
        assert left(await bench.store.admit(request)) == [1, 2 - number]
    refused = await bench.store.admit(AdmitRequest(ALICE, (TWO, BESIDE), limit_subject=Subject("key", "header:x#9")))
    assert not refused.admitted
    assert [bucket.charge.own for bucket in refused.buckets if bucket.retry_after_seconds] == [True]
    assert (await bench.store.admit(AdmitRequest(BOB, (TWO, BESIDE), limit_subject=ACME))).admitted


async def test_an_override_is_the_keys_and_stands_for_what_is_paid_beside(bench: Bench) -> None:
    await bench.store.limits.set(ALICE, Rate.of(1, 60), 0, 60)
    await bench.store.limits.set(ACME, Rate.of(40, 60), 2, 60)
    fixed = Charge("cost", Limit(9, 3600), fixed=True)
    for number in range(6):
        result = await bench.store.admit(of(ALICE, TWO, fixed, BESIDE))
        assert [bucket.charge.policy for bucket in result.buckets] == [OVERRIDE, "cost"]
        assert left(result) == [41 - number, 8 - number]
        assert result.override_seconds == pytest.approx(60, abs=30)
    held = await bench.store.limits.of(ACME)
    assert held is not None
    assert [each.subject for each in (await bench.store.limits.page(10)).items] in ([ALICE, ACME], [ACME, ALICE])
    await bench.store.limits.clear(ACME)
    assert left(await bench.store.admit(of(ALICE, TWO, fixed, BESIDE))) == [1, 2, 2]


async def test_all_windows_of_a_rate_are_the_keys(bench: Bench) -> None:
    windows = charges_of(Rate((Limit(5, 60), Limit(3, 3600))), "default", Burst(0))
    beside = tuple([replace(each, bucket=f"{each.key}*", fixed=True, own=True) for each in windows])
    assert [left(await bench.store.admit(of(each, *windows, *beside))) for each in (ALICE, BOB, BOB)] == [
        [4, 2, 4, 2],
        [3, 1, 4, 2],
        [2, 0, 3, 1],
    ]
    refused = await bench.store.admit(of(ALICE, *windows, *beside))
    assert left(refused)[:2] == [2, 0], "all or nothing"
    assert [bucket.charge.policy for bucket in refused.buckets if bucket.retry_after_seconds] == ["default-hour"]
    await bench.store.limits.set(ACME, Rate((Limit(9, 60), Limit(2, 3600))), 0, 60)
    assert [left(await bench.store.admit(of(each, *windows, *beside))) for each in (ALICE, BOB)] == [[8, 1], [7, 0]]
    assert not (await bench.store.admit(of(ALICE, *windows, *beside))).admitted


async def test_what_is_adjusted_later_is_the_keys_or_the_subjects_own(bench: Bench) -> None:
    await bench.store.admit(of(ALICE, TWO, BESIDE))
    (bucket,) = await bench.store.adjust(Adjustment(ACME, (replace(TWO, tokens=-1),)))
    assert round(bucket.remaining) == 2
    (bucket,) = await bench.store.adjust(Adjustment(ALICE, (replace(BESIDE, tokens=1),)))
    assert round(bucket.remaining) == 1
    assert left(await bench.store.admit(of(BOB, TWO, BESIDE))) == [1, 2]
    assert left(await bench.store.admit(of(ALICE, TWO, BESIDE))) == [0, 0]


async def test_who_waits_for_a_key_commits_no_offence(bench: Bench) -> None:
    abuse = replace(ABUSE, offences=1)
    await bench.store.admit(of(BOB, replace(TWO, tokens=2)))
    wait = (await bench.store.admit(of(ALICE))).buckets[0].retry_after_seconds
    assert (await bench.store.admit(of(ALICE, abuse=abuse, patience_seconds=wait + 1))).imposed is None
    refused = await bench.store.admit(of(ALICE, abuse=abuse, patience_seconds=wait / 2))
    assert refused.imposed is not None
    assert refused.imposed.sanction.subject == ALICE


async def test_who_waits_for_a_bucket_beside_the_key_commits_none_either(bench: Bench) -> None:
    request = of(ALICE, TWO, replace(BESIDE, tokens=3), abuse=replace(ABUSE, offences=1), patience_seconds=7200)
    assert (await bench.store.admit(request)).admitted
    for _ in range(2):
        refused = await bench.store.admit(request)
        assert (refused.admitted, refused.imposed) == (False, None)
    # What was refused has taken nothing.
    assert left(await bench.store.admit(of(BOB))) == [0]
    # Where a guard further outside has paid from the key, what is paid beside is left.
    rest = replace(request, charges=(BESIDE,), patience_seconds=0.0, call=None)
    assert (await bench.store.admit(rest)).imposed is not None


async def test_a_reset_fills_the_buckets_of_keys_and_leaves_their_overrides(bench: Bench) -> None:
    for _ in range(3):
        await bench.store.admit(of(ALICE, TWO, BESIDE))
    await bench.store.reset()
    assert left(await bench.store.admit(of(ALICE, TWO, BESIDE))) == [1, 2]
    await bench.store.limits.set(ACME, Rate((Limit(9, 60), Limit(4, 3600))), 0, 60)
    await bench.store.admit(of(ALICE, TWO, BESIDE))
    await bench.store.reset()
    assert left(await bench.store.admit(of(ALICE, TWO, BESIDE))) == [8, 3]


@pytest.mark.redis
async def test_one_exchange_on_one_server(redis_store: RedisStore) -> None:
    before = await _evaluations(redis_store)
    for _ in range(3):
        await redis_store.admit(of(ALICE, TWO, BESIDE, abuse=ABUSE))
    assert await _evaluations(redis_store) == before + 3


@pytest.mark.redis
async def test_two_exchanges_on_a_cluster_and_what_they_write_is_complete(cluster_session: RedisCluster) -> None:
    cluster_session.flush()
    store, sent = RedisStore(cluster_session.url, timeout_seconds=30), []
    send = store.keys.send

    async def counted(key, question):
        sent.append(key)
        return await send(key, question)

    store.keys.send = counted
    try:
        for admitted in (True, True, False):
            sent.clear()
            result = await store.admit(of(ALICE, TWO, BESIDE, abuse=ABUSE))
            assert result.admitted is admitted
            assert len(sent) == 2
        assert [bucket.charge.own for bucket in result.buckets if bucket.retry_after_seconds] == [False]
    finally:
        await store.aclose()


async def _evaluations(store: RedisStore) -> int:
    text = (await ask(store, "INFO", "commandstats")).decode()  # type: ignore[attr-defined]
    lines = [line for line in text.splitlines() if line.startswith("cmdstat_evalsha:")]
    return int(lines[0].split("calls=")[1].split(",")[0]) if lines else 0


@pytest.mark.redis
async def test_what_other_software_wrote_to_either_is_taken_back(redis_store: RedisStore) -> None:
    names = redis_store.keys.names
    for subject, bucket in ((ALICE, "beside"), (ACME, "default")):
        key = f"{names.of(subject)}b:{bucket}"
        await ask(redis_store, "DEL", key)
        await ask(redis_store, "LPUSH", key, "x")
        assert (await redis_store.admit(of(ALICE, TWO, BESIDE))).admitted


# --- without the store, and in the memory of a process ---------------------------------------------------------------


class Away(MemoryStore):
    away = False

    async def admit(self, request: AdmitRequest) -> AdmitResult:
        if self.away:
            raise StoreError("connection", "is away")
        return await super().admit(request)


@pytest.fixture
def failover(clock: ManualClock) -> tuple[FailoverStore, Away]:
    primary = Away(clock=clock)
    return (
        FailoverStore(primary, settings=Settings.load({}), observer=Watcher(), clock=clock, workers=2),
        primary,
    )


async def test_without_the_store_a_key_has_a_workers_share(failover: tuple[FailoverStore, Away]) -> None:
    store, primary = failover
    primary.away = True
    assert [(await store.admit(of(each))).admitted for each in (ALICE, BOB)] == [True, False]
    assert (await store.admit(AdmitRequest(BOB, (TWO,)))).admitted
    await store.aclose()


async def test_an_override_of_a_key_is_known_in_an_outage(failover: tuple[FailoverStore, Away]) -> None:
    store, primary = failover
    await primary.limits.set(ACME, Rate.of(40, 60), 0, 60)
    await store.admit(of(ALICE))
    primary.away = True
    result = await store.admit(of(BOB))
    assert (result.buckets[0].charge.policy, result.buckets[0].charge.limit) == (OVERRIDE, Limit(20, 60))
    await store.aclose()


def test_a_refusal_is_remembered_of_the_key_and_counted_for_each_caller(clock: ManualClock) -> None:
    refusals = Refusals(clock=clock)
    short = (Bucket(TWO, 0.0, 0.5), Bucket(BESIDE, 2.0))
    refusals.remember(of(ALICE, TWO, BESIDE), AdmitResult(admitted=False, buckets=short))
    assert refusals.find(BOB, (TWO,), pays=ACME) is not None
    assert refusals.find(BOB, (TWO,)) is None, "his own bucket is not short"
    assert refusals.find(ALICE, (BESIDE,), pays=ACME) is None
    assert [refusals.take_count(each) for each in (BOB, ALICE, ACME)] == [1, 0, 0]


def test_a_refusal_of_the_subjects_own_bucket_holds_under_every_key(clock: ManualClock) -> None:
    refusals = Refusals(clock=clock)
    short = (Bucket(TWO, 1.0), Bucket(BESIDE, 0.0, 0.5))
    refusals.remember(of(ALICE, TWO, BESIDE), AdmitResult(admitted=False, buckets=short))
    other = Subject("key", "tenant:other")
    assert refusals.find(ALICE, (TWO, BESIDE), pays=other) is not None
    assert refusals.find(BOB, (TWO, BESIDE), pays=ACME) is None
    held = refusals.held(ALICE, BESIDE, other)
    assert held is not None
    held[0].count += 4
    assert refusals.take_count(ALICE) == 5

"""What changes in buckets after admission, in both stores alike: tokens given back, taken later, looked at."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Sanction
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.core.token_buckets import Charge, Limit, Rate
from fraiseql_guard.stores import Adjustment, AdmitRequest, network_bucket
from fraiseql_guard.stores.redis.store import RedisStore
from tests.stores.conftest import Bench, ask
from tests.support.redis_server import RedisServer

ALICE = Subject("user", "issuer|tenant|alice}{")
TEN = Charge("default", Limit(10, 3600))


def tokens(number: int, charge: Charge = TEN) -> Charge:
    return replace(charge, tokens=number)


async def taken(bench: Bench, number: int, charge: Charge = TEN, subject: Subject = ALICE) -> float:
    result = await bench.store.admit(AdmitRequest(subject, (tokens(number, charge),)))
    assert result.admitted
    return result.buckets[0].remaining


async def adjusted(bench: Bench, number: int, charge: Charge = TEN, subject: Subject = ALICE) -> float:
    (bucket,) = await bench.store.adjust(Adjustment(subject, (tokens(number, charge),)))
    assert bucket.charge == tokens(number, charge)
    assert bucket.retry_after_seconds == 0
    return bucket.remaining


async def test_what_is_given_back_is_there_at_once(bench: Bench):
    await taken(bench, 10)
    assert await adjusted(bench, -4) == pytest.approx(4, abs=0.1)
    assert await taken(bench, 4) == pytest.approx(0, abs=0.1)
    assert not (await bench.store.admit(AdmitRequest(ALICE, (TEN,)))).admitted


async def test_a_bucket_is_never_more_than_full(bench: Bench):
    await taken(bench, 3)
    assert await adjusted(bench, -5) == 10
    assert await adjusted(bench, -5) == 10
    assert await taken(bench, 10) == 0


async def test_what_is_taken_later_empties_a_bucket_at_most(bench: Bench):
    await taken(bench, 8)
    assert await adjusted(bench, 7) == pytest.approx(0, abs=0.1)
    assert await adjusted(bench, 7) == pytest.approx(0, abs=0.1)
    refused = await bench.store.admit(AdmitRequest(ALICE, (TEN,)))
    assert refused.buckets[0].retry_after_seconds == pytest.approx(360, abs=20)  # one token, not the fourteen


async def test_a_look_takes_nothing(bench: Bench):
    assert await adjusted(bench, 0) == 10
    await taken(bench, 4)
    for _ in range(3):
        assert await adjusted(bench, 0) == pytest.approx(6, abs=0.1)
    assert await taken(bench, 1) == pytest.approx(5, abs=0.1)


async def test_what_came_back_meanwhile_is_seen(bench: Bench):
    quick = Charge("default", Limit(10, 1))
    await taken(bench, 10, quick)
    await bench.wait(0.5)
    assert await adjusted(bench, 0, quick) >= 5 - 1e-6
    assert await adjusted(bench, -10, quick) == 10
    await bench.wait(0.05)
    assert await adjusted(bench, 0, quick) == 10


async def test_several_buckets_at_once(bench: Bench):
    other = Charge("graphql", Limit(5, 3600))
    assert (await bench.store.admit(AdmitRequest(ALICE, (tokens(2), tokens(2, other))))).admitted
    buckets = await bench.store.adjust(Adjustment(ALICE, (tokens(-1), tokens(9, other))))
    assert [bucket.remaining for bucket in buckets] == pytest.approx([9, 0], abs=0.1)


async def test_neither_a_block_nor_an_override_plays_a_part(bench: Bench):
    await taken(bench, 6)
    await bench.store.limits.set(ALICE, Rate.of(1000, 3600), 0, 60)
    await bench.store.sanctions.impose(Sanction(ALICE, PolicyName.OPERATOR, 60))
    assert await adjusted(bench, -3) == pytest.approx(7, abs=0.1)


async def test_a_limit_that_was_raised_meanwhile_gives_nothing_away(bench: Bench):
    """A request that began under ten an hour ends under a thousand, of which its caller has used half."""
    await taken(bench, 10)
    raised = replace(TEN, limit=Limit(1000, 3600))
    await taken(bench, 500, raised)
    assert await adjusted(bench, -1) == 0
    assert await adjusted(bench, 0, raised) == pytest.approx(491, abs=1)


async def test_networks_share_theirs(bench: Bench):
    first, second = (
        Subject("address", f"2001:db8:0:{number}::/64", "2001:db8::/48", (("2001:db8::/48", 16),)) for number in (1, 2)
    )
    shared = replace(TEN, bucket=network_bucket("default", "2001:db8::/48"))
    await taken(bench, 4, shared, first)
    await taken(bench, 4, TEN, first)
    assert await adjusted(bench, -1, shared, second) == pytest.approx(7, abs=0.1)
    assert await adjusted(bench, 0, TEN, second) == 10


async def test_at_the_same_time_no_more_is_given_back_than_was_taken(bench: Bench):
    await taken(bench, 10)
    await asyncio.gather(*(bench.store.adjust(Adjustment(ALICE, (tokens(-1),))) for _ in range(6)))
    results = await asyncio.gather(*(bench.store.admit(AdmitRequest(ALICE, (TEN,))) for _ in range(20)))
    assert sum(result.admitted for result in results) == 6


@pytest.mark.redis
async def test_a_look_leaves_no_key_and_every_key_has_its_end(redis_store: RedisStore):
    looked = await redis_store.adjust(Adjustment(ALICE, (tokens(0), tokens(0, replace(TEN, policy="graphql")))))
    assert [bucket.remaining for bucket in looked] == [10, 10]
    assert await ask(redis_store, "DBSIZE") == 0
    await redis_store.adjust(Adjustment(ALICE, (tokens(5),)))
    await redis_store.adjust(Adjustment(ALICE, (tokens(-1),)))
    (key,) = await ask(redis_store, "KEYS", "*")
    assert 0 < await ask(redis_store, "PTTL", key) <= 1_800_000
    await redis_store.adjust(Adjustment(ALICE, (tokens(-9),)))
    assert await ask(redis_store, "DBSIZE") == 0


@pytest.mark.redis
async def test_a_bucket_that_other_software_has_written_to_is_taken_back(
    redis_store: RedisStore, redis_session: RedisServer
):
    await redis_store.admit(AdmitRequest(ALICE, (TEN,)))
    (key,) = await ask(redis_store, "KEYS", "*b:default*")
    await ask(redis_store, "DEL", key)
    await ask(redis_store, "RPUSH", key, "foreign")
    assert (await redis_store.adjust(Adjustment(ALICE, (tokens(2),))))[0].remaining == pytest.approx(8, abs=0.1)

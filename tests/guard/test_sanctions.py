"""Blocks of users, addresses and networks, automatic and by the operator, as callers of every worker meet them."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Sanction
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.stores.overrides import Override, OverrideKind
from fraiseql_guard.testing import make_token
from tests.support.asgi import Reply, graphql
from tests.support.redis_server import RedisServer

COSTLY = "{users(limit:100){posts(limit:100){id}}}"
FORGED = "f" * 32


class Fleet:
    """Workers on one store."""

    def __init__(self, workers: list) -> None:
        self.workers = workers
        self.store = workers[-1].guard.runtime.store

    async def heard(self) -> None:
        """Until each worker knows what operators have told the store."""
        for worker in self.workers:
            await worker.heard()

    async def statuses(self, **caller) -> set[int]:
        """What each worker answers."""
        return {(await graphql(worker, "{me{id}}", **caller)).status for worker in self.workers}

    async def attack(self, times: int, *, query: str = "{me{id}}", **caller) -> Reply:
        """Requests to the workers in turn; the last answer."""
        for number in range(times):
            reply = await graphql(self.workers[number % len(self.workers)], query, **caller)
        return reply


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def fleet(request, guarded, secret) -> AsyncIterator:
    made = []

    def make(**options) -> Fleet:
        options = {"jwt_secret": secret, "store_timeout_ms": 5000} | options
        if request.param == "redis":
            made.extend(guarded(redis_url=server.url, **options) for _ in range(2))
            return Fleet(made)
        made.append(guarded(**options))
        return Fleet(made)

    if request.param == "memory":
        yield make
        return
    with RedisServer() as server:
        yield make
        for worker in made:
            await worker.guard.aclose()


async def test_an_operator_blocks_a_user_and_lifts_the_block(fleet, secret) -> None:
    workers = fleet()
    alice, bob = make_token(secret, sub="alice"), make_token(secret, sub="bob")
    await workers.attack(2, token=alice)
    subject = Subject("user", '[null,null,"alice"]')
    await workers.store.sanctions.impose(Sanction(subject, PolicyName.OPERATOR, 600, "a reason"))
    for client in (("203.0.113.7", 1), ("198.51.100.9", 1)):  # wherever the user is
        assert await workers.statuses(token=alice, client=client) == {403}
    assert await workers.statuses(token=bob) == {200}
    assert [(one.subject, one.reason) for one in await workers.store.sanctions.all()] == [(subject, "a reason")]
    assert await workers.store.sanctions.lift(subject) == 1
    assert await workers.statuses(token=alice) == {200}


async def test_an_address_is_blocked_for_all_workers_and_its_block_lifted(fleet) -> None:
    workers = fleet()
    assert (await workers.attack(15, token=make_token(FORGED, sub="a"))).status == 401
    assert await workers.statuses(token="a.b.c") == {403}
    (block,) = await workers.store.sanctions.all()
    assert (block.subject, block.policy) == (Subject("address", "203.0.113.7"), PolicyName.BRUTE_FORCE)
    assert await workers.store.sanctions.lift(block.subject) == 1
    assert await workers.statuses(token="a.b.c") == {401}
    assert sum(len(worker.lines("security.brute_force_detected")) for worker in workers.workers) == 1


async def test_expensive_queries_block_the_user_and_not_the_address(fleet, secret) -> None:
    workers = fleet(dos_offences=4)
    alice = make_token(secret, sub="alice")
    assert (await workers.attack(4, query=COSTLY, token=alice)).status == 400
    assert await workers.statuses(token=alice) == {403}
    assert await workers.statuses(token=make_token(secret, sub="bob")) == {200}
    (line,) = [line for worker in workers.workers for line in worker.lines("security.dos_detected")]
    assert (line["context"]["user_id"], line["context"]["expensive_queries_count"]) == ("alice", 4)
    assert line["context"]["action"] == "automatic_block"


async def test_a_repeat_doubles_the_block_and_offences_during_it_do_not_prolong_it(fleet) -> None:
    workers = fleet(brute_force_offences=2, brute_force_block_seconds=2)
    for length in (2, 4, 8):
        await workers.attack(2, token="a.b.c")
        blocked = await workers.attack(6, token="a.b.c")
        assert blocked.status == 403
        assert length - 1 <= int(blocked.header("retry-after") or 0) <= length
        if length < 8:
            await asyncio.sleep(length + 0.05)
            assert await workers.statuses() == {401}  # missing: no offence


async def test_a_valid_token_passes_the_automatic_block_of_its_address_and_not_the_operators(fleet, secret) -> None:
    workers = fleet()
    alice = make_token(secret, sub="alice")
    await workers.attack(16, token="a.b.c")
    assert await workers.statuses(token=alice) == {200}
    await workers.store.overrides.put(Override(OverrideKind.BLOCK, "203.0.113.7/32", 600))
    await workers.heard()
    assert await workers.statuses(token=alice) == {403}
    assert await workers.statuses(token=alice, client=("203.0.113.8", 1)) == {200}
    await workers.store.overrides.delete(OverrideKind.BLOCK, "203.0.113.7/32")
    await workers.heard()
    assert await workers.statuses(token=alice) == {200}


async def test_the_eighth_network_of_a_48_brings_down_the_48(fleet) -> None:
    workers = fleet(brute_force_offences=1)
    for number in range(8):
        await workers.attack(1, token="a.b.c", client=(f"2001:db8:0:{number:x}::1", 1))
    neighbour = {"client": ("2001:db8:0:ffff::1", 1)}
    assert await workers.statuses(**neighbour) == {403}
    assert await workers.statuses(client=("2001:db8:1::1", 1)) == {401}
    group = Subject("address", "2001:db8::/48")
    assert group in [one.subject for one in await workers.store.sanctions.all()]
    assert await workers.store.sanctions.lift(group) == 1
    assert await workers.statuses(**neighbour) == {401}


async def test_the_allow_listed_are_never_blocked_automatically(fleet) -> None:
    workers = fleet(allow_list="203.0.113.0/24", brute_force_offences=2)
    assert (await workers.attack(10, token="a.b.c")).status == 401
    assert await workers.store.sanctions.all() == []

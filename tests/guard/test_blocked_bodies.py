"""Who is known to be refused whatever they send is refused before anything of it is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from fraiseql_guard.core.context import Sanction, Subject
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.testing import make_token
from tests.support.asgi import PUBLIC_ADDRESS, Connection, graphql, request
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.redis
ADDRESS = Subject("address", PUBLIC_ADDRESS)


class Silent(Connection):
    """A client that announces a body, and sends nothing of it."""

    def __init__(self) -> None:
        super().__init__([])
        self.asked = 0

    async def receive(self) -> Any:
        self.asked += 1
        return await asyncio.Event().wait()


async def silent(guard: Any, **caller: Any) -> tuple[str | None, int]:
    """The code that a request without its body is answered with, and how often its body was asked for."""
    connection = Silent()
    headers = {"content-type": "application/json", "content-length": "100000"}
    reply = await asyncio.wait_for(request(guard, headers=headers, connection=connection, **caller), 30)
    return reply.code, connection.asked


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
async def guarded(guarded) -> AsyncIterator[Callable[..., Any]]:
    """As everywhere; connections to Redis are given back at the end."""
    made: list[Any] = []

    def mount(*arguments: Any, **options: Any) -> Any:
        made.append(guarded(*arguments, **options))
        return made[-1]

    yield mount
    for each in made:
        await each.guard.aclose()


@pytest.fixture(params=["memory", "redis"])
def stored(request: Any, redis_server: RedisServer) -> dict[str, Any]:
    redis_server.flush()
    return {"redis_url": redis_server.url} if request.param == "redis" else {}


async def test_a_network_that_an_operator_has_blocked(guarded, stored) -> None:
    guard = guarded(**stored)
    await guard.guard.block_ip("203.0.113.0/24", 60)
    await guard.heard()
    assert await silent(guard) == ("BLOCKED", 0)


@pytest.mark.parametrize("policy", [PolicyName.OPERATOR, PolicyName.DOS, PolicyName.RATE_LIMIT_ABUSE])
async def test_an_address_that_is_blocked(guarded, stored, policy) -> None:
    guard = guarded(**stored)
    await guard.guard.runtime.store.sanctions.impose(Sanction(ADDRESS, policy, 60))
    assert await silent(guard) == ("BLOCKED", 0)
    assert (await graphql(guard, "{me{id}}", client=("198.51.100.9", 1))).status == 200


async def test_a_user_whose_token_verifies_and_who_is_blocked(guarded, secret, stored) -> None:
    guard = guarded(jwt_secret=secret, **stored)
    mallory, alice = make_token(secret, sub="mallory"), make_token(secret, sub="alice")
    await guard.guard.block_user("mallory", 60)
    for host in ("203.0.113.7", "198.51.100.9"):
        assert await silent(guard, token=mallory, client=(host, 1)) == ("BLOCKED", 0)
    assert (await graphql(guard, "{me{id}}", token=alice)).status == 200


async def test_who_has_brought_it_about_by_this_very_process(guarded) -> None:
    guard = guarded(rate_limit_default="1/hour", rate_limit_burst=0, rate_limit_abuse_offences=1)
    assert [(await graphql(guard, "{me{id}}")).status for _ in range(2)] == [200, 429]
    await asyncio.sleep(1.1)  # what is remembered of the rate is forgotten
    assert await silent(guard) == ("BLOCKED", 0)


async def test_another_worker_learns_of_it_with_the_first_request(guarded, redis_server) -> None:
    redis_server.flush()
    here, there = guarded(redis_url=redis_server.url), guarded(redis_url=redis_server.url)
    await here.guard.runtime.store.sanctions.impose(Sanction(ADDRESS, PolicyName.OPERATOR, 60))
    assert (await graphql(there, "{me{id}}")).code == "BLOCKED"
    assert await silent(there) == ("BLOCKED", 0)


async def test_who_was_lifted_elsewhere_is_read_again_at_once(guarded, redis_server) -> None:
    redis_server.flush()
    here, there = guarded(redis_url=redis_server.url), guarded(redis_url=redis_server.url)
    await here.guard.runtime.store.sanctions.impose(Sanction(ADDRESS, PolicyName.OPERATOR, 60))
    assert [(await graphql(each, "{me{id}}")).status for each in (here, there)] == [403, 403]
    await here.guard.runtime.store.sanctions.lift(ADDRESS)
    assert [(await graphql(each, "{me{id}}")).status for each in (there, here)] == [200, 200]


async def test_a_caller_inside_its_retry_after(guarded) -> None:
    guard = guarded(rate_limit_default="1/hour", rate_limit_burst=0)
    assert [(await graphql(guard, "{me{id}}")).status for _ in range(2)] == [200, 429]
    assert await silent(guard) == ("RATE_LIMITED", 0)


@pytest.mark.parametrize("policy", [PolicyName.OPERATOR, PolicyName.DOS])
async def test_where_batches_are_accepted_no_more_than_came_with_the_head(guarded, policy) -> None:
    guard = guarded(batching=True, body_timeout_seconds=600)
    await guard.guard.runtime.store.sanctions.impose(Sanction(ADDRESS, policy, 60))
    code, _ = await silent(guard)
    assert code == "BLOCKED"
    assert guard.guard.runtime.budget.used == 0
    batch = await request(guard, body=b'[{"query":"{me}"},{"query":"{me}"}]')
    assert (batch.status, batch.code, len(batch.answers)) == (403, "BLOCKED", 2)


# --- what a block does not bind ---------------------------------------------------------------------------------------


async def test_people_can_log_in_from_behind_an_automatic_block(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret, public_operations="login")
    await guard.guard.runtime.store.sanctions.impose(Sanction(ADDRESS, PolicyName.BRUTE_FORCE, 60))
    assert (await graphql(guard, "mutation{login}")).status == 200
    assert (await graphql(guard, "{me{id}}", token=make_token(secret, sub="alice"))).status == 200
    assert (await graphql(guard, "{me{id}}")).code == "BLOCKED"
    await guard.guard.runtime.store.sanctions.impose(Sanction(ADDRESS, PolicyName.OPERATOR, 60))
    assert (await graphql(guard, "mutation{login}")).code == "BLOCKED"
    assert await silent(guard) == ("BLOCKED", 0)


async def test_in_monitor_mode_it_is_said_once_a_request(guarded) -> None:
    guard = guarded(mode="monitor")
    await guard.guard.runtime.store.sanctions.impose(Sanction(ADDRESS, PolicyName.OPERATOR, 60))
    assert (await graphql(guard, "{me{id}}")).status == 200
    assert guard.metric("fraiseql_guard_would_refuse_total", code="BLOCKED") == 1
    partly = guarded(mode_rate_limit="monitor")
    await partly.guard.runtime.store.sanctions.impose(Sanction(ADDRESS, PolicyName.RATE_LIMIT_ABUSE, 60))
    assert (await graphql(partly, "{me{id}}")).status == 200


async def test_one_refusal_is_counted_for_one_request(guarded) -> None:
    guard = guarded()
    await guard.guard.runtime.store.sanctions.impose(Sanction(ADDRESS, PolicyName.OPERATOR, 60))
    for _ in range(3):
        await graphql(guard, "{me{id}}")
    assert guard.metric("fraiseql_guard_refusals_total", code="BLOCKED") == 3
    assert guard.metric("fraiseql_http_requests_total", status="403") == 3

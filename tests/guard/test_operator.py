"""What an operator has told the store holds in every process within a second."""

import pytest

from fraiseql_guard.stores.overrides import Override, OverrideKind
from fraiseql_guard.testing import make_token
from tests.support.asgi import graphql, request
from tests.support.redis_server import RedisServer
from tests.support.waiting import until


async def soon(guard, status: int, **caller) -> bool:
    async def so() -> bool:
        return (await graphql(guard, "{me{id}}", **caller)).status == status

    await guard.heard()
    await until(so, pause_seconds=0.25)  # so seldom that no rate is ever exceeded
    return True


async def test_an_operators_block_of_a_network_stops_everyone_and_can_be_lifted(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret, rate_limit_authenticated="100000/minute")
    token = make_token(secret, sub="alice")
    store = guard.guard._runtime.store
    assert (await graphql(guard, "{me{id}}", token=token)).status == 200
    await store.overrides.put(Override(OverrideKind.BLOCK, "203.0.113.0/24", 600))
    assert await soon(guard, 403, token=token)
    blocked = await graphql(guard, "{me{id}}", token=token)
    assert (blocked.code, blocked.extensions["detail"]) == ("BLOCKED", "operator")
    assert 590 < int(blocked.header("retry-after") or 0) <= 600
    preflight = {"origin": "https://a.example.org", "access-control-request-method": "POST"}
    assert (await request(guard, "OPTIONS", headers=preflight)).status == 403
    assert (await request(guard, "GET", "/page")).status == 403
    assert (await graphql(guard, "{me{id}}", token=token, client=("198.51.100.1", 1))).status == 200
    await store.overrides.delete(OverrideKind.BLOCK, "203.0.113.0/24")
    assert await soon(guard, 200, token=token)


async def test_an_entry_that_is_no_network_keeps_no_other_from_binding(guarded) -> None:
    guard = guarded()
    store = guard.guard._runtime.store
    await store.overrides.put(Override(OverrideKind.BLOCK, "nowhere", 600))
    await store.overrides.put(Override(OverrideKind.ALLOW, "", 600))
    await store.overrides.put(Override(OverrideKind.BLOCK, "203.0.113.7", 600))
    assert await soon(guard, 403)


async def test_an_operator_can_allow_an_address_for_a_while(guarded) -> None:
    guard = guarded(rate_limit_default="1/hour", rate_limit_burst=0)
    assert (await graphql(guard, "{me{id}}")).status == 200
    assert (await graphql(guard, "{me{id}}")).status == 429
    await guard.guard._runtime.store.overrides.put(Override(OverrideKind.ALLOW, "203.0.113.7/32", 600))
    assert await soon(guard, 200)


async def test_in_monitor_mode_an_operators_block_is_only_said(guarded) -> None:
    guard = guarded(mode="monitor")
    await graphql(guard, "{me{id}}")
    await guard.guard._runtime.store.overrides.put(Override(OverrideKind.BLOCK, "203.0.113.7/32", 600))
    await guard.heard()
    assert (await graphql(guard, "{me{id}}")).status == 200
    assert guard.metric("fraiseql_guard_would_refuse_total", code="BLOCKED") >= 1


@pytest.mark.redis
async def test_on_redis_every_worker_knows_soon(guarded) -> None:
    with RedisServer() as server:
        guards = [guarded(redis_url=server.url, store_timeout_ms=2000) for _ in range(4)]
        for guard in guards:
            assert (await graphql(guard, "{me{id}}")).status == 200
        await guards[0].guard._runtime.store.overrides.put(Override(OverrideKind.BLOCK, "203.0.113.7", 600))
        for guard in guards:
            await guard.heard()
        assert [(await graphql(guard, "{me{id}}")).status for guard in guards] == [403] * 4
        for guard in guards:
            await guard.guard.aclose()

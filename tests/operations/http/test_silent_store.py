"""While Redis is silent a worker says what it knows by itself, marked as such, and no number that it does not know."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from fraiseql_guard import QueryLimitMiddleware
from fraiseql_guard.operations.operator.interface import Status
from fraiseql_guard.operations.operator.json_values import from_json
from fraiseql_guard.testing import make_token
from tests.conftest import SECRET
from tests.operations.http.conftest import Api, felt
from tests.support.asgi import graphql
from tests.support.redis_server import RedisServer
from tests.support.waiting import until

pytestmark = pytest.mark.redis

DEEP = "{a" + "{b" * 20 + "}" * 20 + "}"
ATTACKER = ("203.0.113.9", 1)


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def api(serve: Any, redis: RedisServer) -> Api:
    return serve(
        redis_url=redis.url, jwt_secret=SECRET, auth_required=False, store_timeout_ms=500, brute_force_offences=2
    )


async def test_what_the_worker_knows_is_told_and_marked_as_its_own(api: Api, redis: RedisServer):
    await api.done("PUT", "/mode", {"protection": "timeout", "mode": "monitor", "duration_seconds": 600})
    await api.done("POST", "/blocks", {"ip_address": "192.0.2.0/24", "duration_seconds": 600})
    assert await felt(403, api.guard, client=("192.0.2.7", 1))
    forged = make_token("x" * 40, sub="root")
    for _ in range(3):
        await graphql(api.guard, "{me{id}}", client=("203.0.113.77", 1), token=forged)
    calm = from_json(Status, await api.done("GET", "/status"))
    assert (calm.alone, calm.store_answers) == (None, True)
    assert calm.sanctions == 2
    assert calm.time.endswith("Z")
    redis.freeze()
    try:
        await graphql(api.guard, DEEP, client=ATTACKER)
        found = from_json(Status, await api.done("GET", "/status"))
    finally:
        redis.thaw()
    assert (found.store_answers, found.sanctions) == (False, None)
    assert found.alone is not None
    (worker,) = found.workers
    assert worker.id == found.alone.worker
    assert worker.modes["timeout"] == "monitor"
    assert [(each.kind, each.name, each.value) for each in found.switches] == [("mode", "timeout", "monitor")]
    assert 0 < (found.switches[0].expires_in_seconds or 0) <= 600
    assert f"the store does not answer: everything here is what the worker {worker.host}/{worker.pid}" in found.notes[0]
    assert any("monitor mode" in note for note in found.notes)
    assert {each.target.ip_address for each in found.alone.blocks} == {"192.0.2.0/24", "203.0.113.77"}
    assert found.alone.sanctions == 2
    assert "203.0.113.9" in {each.target.ip_address for each in found.alone.offenders}
    assert "QUERY_TOO_DEEP" in {each.code for each in found.alone.refusals}


async def test_lists_of_the_fleet_are_no_empty_lists(api: Api, redis: RedisServer):
    await api.done("GET", "/status")
    redis.freeze()
    try:
        for path in ("/blocks", "/offenders", "/refusals", "/rate-limits", "/switches", "/actions", "/keys"):
            await api.refused(503, "GET", path)
    finally:
        redis.thaw()


async def test_it_is_the_fleet_s_again_when_the_store_answers(api: Api, redis: RedisServer):
    redis.freeze()
    for _ in range(6):
        await graphql(api.guard, "{me{id}}", client=ATTACKER)
    assert (await api.done("GET", "/status"))["alone"] is not None
    redis.thaw()

    async def known() -> bool:
        status = await api.done("GET", "/status")
        return status["alone"] is None and status["sanctions"] == 0 and len(status["workers"]) == 1

    await until(known)


async def test_a_store_in_memory_always_answers(serve: Any):
    api = serve()
    await graphql(api.guard, "{me{id}}")
    await asyncio.sleep(0)
    status = await api.done("GET", "/status")
    assert (status["alone"], status["store_answers"], status["sanctions"]) == (None, True, 0)


async def test_operations_at_work_that_are_not_counted_are_no_zero(guarded: Any):
    guard = guarded(middleware=QueryLimitMiddleware)

    async def told() -> bool:
        workers = (await guard.guard.runtime.operator.status()).workers
        return bool(workers) and workers[0].in_flight is None

    await graphql(guard, "{me{id}}")
    await until(told)
    await guard.guard.aclose()

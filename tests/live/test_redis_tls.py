"""TLS with every server of a deployment: the Sentinels and their master, the nodes of a cluster."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import pytest

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.token_buckets import Charge, Limit
from fraiseql_guard.stores import AdmitRequest, StoreError
from fraiseql_guard.stores.redis.client.cluster import SLOTS
from fraiseql_guard.stores.redis.store import RedisStore
from tests.support.certificate import Certificate
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.redis

CHARGE = Charge("default", Limit(10, 3600))
PATIENCE_SECONDS = 60.0


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return Certificate.make(tmp_path)


async def settled(url: str, subjects: int) -> int:
    """How many trips of different subjects were admitted, once the servers are ready."""
    loop = asyncio.get_running_loop()
    until = loop.time() + PATIENCE_SECONDS
    async with AsyncExitStack() as stack:
        store = RedisStore(url, timeout_seconds=5)
        stack.push_async_callback(store.aclose)
        while True:
            try:
                outcomes = [
                    await store.admit(AdmitRequest(Subject("user", f"u{n}"), (CHARGE,))) for n in range(subjects)
                ]
                return sum(outcome.admitted for outcome in outcomes)
            except StoreError:
                if loop.time() > until:
                    raise
                await asyncio.sleep(0.1)


async def test_a_master_behind_sentinels(certificate: Certificate):
    master_port, sentinel_port = RedisServer().port, RedisServer().port
    watched = f"sentinel monitor limits 127.0.0.1 {master_port} 1\n"
    with ExitStack() as running:
        running.enter_context(RedisServer(*certificate.arguments(master_port), "--tls-replication", "yes"))
        options = certificate.arguments(sentinel_port)
        running.enter_context(RedisServer("--sentinel", *options, "--tls-replication", "yes", configuration=watched))
        url = f"rediss+sentinel://127.0.0.1:{sentinel_port}/limits?ssl_ca_certs="
        assert await settled(f"{url}{certificate.file}", 3) == 3
        untrusting = RedisStore(url.partition("?")[0], timeout_seconds=5)
        with pytest.raises(StoreError):
            await untrusting.ping()
        await untrusting.aclose()


async def test_the_nodes_of_a_cluster(certificate: Certificate):
    """Two nodes, so that half of the subjects are redirected from the first to another TLS port."""
    ports = [RedisServer().port for _ in range(2)]
    clustered = ("--cluster-enabled", "yes", "--tls-cluster", "yes")
    with ExitStack() as running:
        nodes = [running.enter_context(RedisServer(*certificate.arguments(port), *clustered)) for port in ports]
        assert nodes[0].ask("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS // 2 - 1).startswith(b"+OK")
        assert nodes[1].ask("CLUSTER", "ADDSLOTSRANGE", SLOTS // 2, SLOTS - 1).startswith(b"+OK")
        assert nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", ports[1]).startswith(b"+OK")
        url = f"rediss+cluster://127.0.0.1:{ports[0]}?ssl_ca_certs={certificate.file}"
        assert await settled(url, 20) == 20
        assert all(int(node.ask("DBSIZE")[1:]) > 0 for node in nodes)

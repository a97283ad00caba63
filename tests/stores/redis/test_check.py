"""What the check at the start says of a Redis."""

from __future__ import annotations

import asyncio

import pytest

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.stores import MemoryStore, open_store
from fraiseql_guard.stores.redis.check import read_info
from fraiseql_guard.stores.redis.store import RedisStore
from tests.stores.conftest import ask
from tests.stores.test_failover import Watcher
from tests.support.redis_server import RedisServer


async def sentences(url: str) -> list[str]:
    store = RedisStore(url, timeout_seconds=0.05)
    try:
        return await store.check()
    finally:
        await store.aclose()


@pytest.mark.parametrize(("version", "warned"), [("6.0.16", True), ("5.0.7", True), ("6.2.0", False), ("7.4.1", False)])
def test_a_redis_that_is_too_old(version: str, warned: bool):
    found = read_info(f"# Server\r\nredis_version:{version}\r\n# Memory\r\nmaxmemory_policy:noeviction\r\n")
    assert [version in sentence for sentence in found] == [True] * warned


def test_a_server_that_tells_little_is_not_accused():
    assert read_info("") == []


async def test_the_memory_of_the_process_has_nothing_to_look_at():
    assert await MemoryStore().check() == []


@pytest.mark.redis
async def test_a_healthy_server(redis_store: RedisStore):
    assert await redis_store.check() == []


@pytest.mark.redis
@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_a_server_that_evicts(policy: str):
    with RedisServer("--maxmemory-policy", policy) as server:
        (sentence,) = await sentences(server.url)
        assert policy in sentence


@pytest.mark.redis
async def test_a_server_that_only_reads(redis_store: RedisStore):
    with RedisServer("--replicaof", "127.0.0.1", "1") as server:
        (sentence,) = await sentences(server.url)
        assert "READONLY" in sentence


@pytest.mark.redis
async def test_nobody_there_is_a_sentence_and_no_error():
    nobody = RedisServer().url
    (sentence,) = await sentences(nobody)
    assert "cannot be used" in sentence
    (sentence,) = await sentences(f"redis+cluster://{nobody.removeprefix('redis://').removesuffix('/0')}")
    assert "cannot be used" in sentence
    store = open_store(Settings.load({}, redis_url=nobody), Watcher())
    assert len(await store.check()) == 1
    await store.aclose()


@pytest.mark.redis
async def test_a_frozen_server_is_a_sentence_after_seconds():
    with RedisServer() as server:
        server.freeze()
        async with asyncio.timeout(60):  # it stays frozen until there is a sentence
            (sentence,) = await sentences(server.url)
        assert "cannot be used" in sentence
        server.thaw()


@pytest.mark.redis
async def test_a_user_who_may_not_ask_for_settings():
    with RedisServer() as server:
        admin = RedisStore(server.url, timeout_seconds=2)
        await ask(admin, "ACL", "SETUSER", "guard", "on", ">pass", "~fg:*", "+@all", "-info")
        await admin.aclose()
        (sentence,) = await sentences(server.url.replace("//", "//guard:pass@"))
        assert "tells nothing" in sentence

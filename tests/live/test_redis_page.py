"""What docs/redis.md says of rights, memory, persistence and outages, on a real Redis and a real Valkey."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.token_buckets import Charge, Limit
from fraiseql_guard.stores import AdmitRequest
from fraiseql_guard.stores.redis.store import RedisStore
from tests.support.asgi import graphql
from tests.support.pages import blocks
from tests.support.redis_server import RedisServer
from tests.support.waiting import until
from tools.docs import ROOT

pytestmark = pytest.mark.redis

PAGE = "docs/redis.md"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")
(ACL,) = re.findall(r"^redis-cli (ACL SETUSER .*)$", TEXT, re.MULTILINE)
CLIENT, OTHER = ("198.51.100.7", 40000), ("198.51.100.8", 40000)
PATIENT = {"store_timeout_ms": 5000}
"""A busy machine is no outage."""
FILLER = "x" * 20_000


PROGRAMS = ("redis-server", "valkey-server")


@pytest.fixture(params=PROGRAMS)
def server(request: Any) -> Iterator[RedisServer]:
    with RedisServer(program=request.param) as started:
        yield started


def cells(first: str) -> list[str]:
    """A row of a table of the page."""
    (line,) = re.findall(rf"^\| {re.escape(first)} \|(.*)\|$", TEXT, re.MULTILINE)
    return [cell.strip() for cell in line.split("|")]


def options(first_line: str) -> list[str]:
    """A block of redis.conf as arguments of the server."""
    (block,) = (each for each in blocks(PAGE, "ini") if each.first_line == first_line)
    return [word for line in block.splitlines() for name, value in [line.split()] for word in (f"--{name}", value)]


async def statuses(guard: Any, number: int, client: Any = CLIENT) -> list[int]:
    return [(await graphql(guard, "{me{id}}", client=client)).status for _ in range(number)]


# --- rights -----------------------------------------------------------------------------------------------------------


async def test_the_user_of_the_page_is_denied_nothing_that_a_guard_does(server: RedisServer, guarded) -> None:
    assert server.ask(*shlex.split(ACL)) == b"+OK\r\n"
    url = server.url.replace("redis://", "redis://guard:PASSWORD@")
    guard = guarded(redis_url=url, namespace="fg-prod", rate_limit_default="3/hour", rate_limit_burst=0, **PATIENT)
    assert await statuses(guard, 4) == [200, 200, 200, 429]
    await guard.guard.block_ip(OTHER[0], 60)
    await until(lambda: _refused(guard))
    assert server.ask("ACL", "LOG") == b"*0\r\n"
    assert guard.events("guard.store_failed") == []
    # The rest of what an operator may do is held by tests/stores/redis/test_namespace.py, with the same user.
    assert server.ask("ACL", "DRYRUN", "guard", "FLUSHALL") != b"+OK\r\n"


async def _refused(guard: Any) -> bool:
    return (await graphql(guard, "{me{id}}", client=OTHER)).status == 403


# --- memory -----------------------------------------------------------------------------------------------------------


def used(server: RedisServer) -> int:
    return int(re.findall(rb"\r\nused_memory:(\d+)", server.ask("INFO", "memory"))[0])


@pytest.mark.parametrize("windows", [1, 2])
async def test_a_caller_takes_no_more_memory_than_the_page_says(server: RedisServer, windows: int) -> None:
    callers = 2000
    charges = tuple(Charge(f"window-{number}", Limit(100, 3600)) for number in range(windows))
    store = RedisStore(server.url, timeout_seconds=30)
    await store.admit(AdmitRequest(Subject("address", "first"), charges))
    before = used(server)
    for start in range(0, callers, 100):
        numbers = range(start, start + 100)
        await asyncio.gather(*(store.admit(AdmitRequest(Subject("address", f"10.0.{n}"), charges)) for n in numbers))
    each = (used(server) - before) / callers
    await store.aclose()
    said = int(cells("a caller with one limit, of one window")[0])
    more = int(cells("each further window or rate of the caller")[0])
    assert each <= said + (windows - 1) * more
    assert each > (said + (windows - 1) * more) / 3  # and the page does not exaggerate


async def exhausted_and_blocked(guard: Any) -> None:
    assert await statuses(guard, 4) == [200, 200, 200, 429]
    await guard.guard.block_ip(OTHER[0], 3600)


def fill(server: RedisServer) -> None:
    """Write more than there is room for, as a cache does."""
    server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    server.ask("CONFIG", "SET", "maxmemory", used(server) + 500_000)
    for number in range(400):
        server.ask("SET", f"cache:{number}", FILLER)


LIMITED = {"rate_limit_default": "3/hour", "rate_limit_burst": 0, "namespace": "fg", **PATIENT}


async def test_a_redis_that_evicts_forgets_limits_and_blocks(server: RedisServer, guarded) -> None:
    await exhausted_and_blocked(guarded(redis_url=server.url, **LIMITED))
    while server.ask("KEYS", "fg:*:b:*") != b"*0\r\n" or server.ask("EXISTS", "fg:{control}") != b":0\r\n":
        fill(server)
    # Another worker, which remembers neither.
    fresh = guarded(redis_url=server.url, **LIMITED)
    assert await statuses(fresh, 1) == [200]
    assert await statuses(fresh, 1, OTHER) == [200]
    assert fresh.events("guard.store_failed") == []


@pytest.mark.parametrize("program", PROGRAMS)
async def test_a_redis_that_is_full_and_does_not_evict_keeps_them(program: str, guarded) -> None:
    with RedisServer(*options("maxmemory 256mb"), program=program) as server:
        healthy = guarded(redis_url=server.url, **LIMITED)
        await exhausted_and_blocked(healthy)
        assert "evict" not in str(healthy.events("guard.configuration"))
        server.ask("CONFIG", "SET", "maxmemory", 1)
        full = guarded(redis_url=server.url, **LIMITED)
        assert await statuses(full, 4, ("198.51.100.9", 1)) == [200, 200, 200, 429]
        assert "OOM" in full.events("guard.store_failed")[0]["context"]["detail"]
        server.ask("CONFIG", "SET", "maxmemory", 0)
        again = guarded(redis_url=server.url, **LIMITED)
        assert await statuses(again, 1) == [429]
        await until(lambda: _refused(again))


# --- persistence ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", PROGRAMS)
async def test_what_was_written_outlives_a_restart_with_the_append_only_file(program: str, guarded) -> None:
    with RedisServer(*options("appendonly yes"), program=program) as server:
        await exhausted_and_blocked(guarded(redis_url=server.url, **LIMITED))
        server.restart()
        again = guarded(redis_url=server.url, **LIMITED)
        assert await statuses(again, 1) == [429]
        await until(lambda: _refused(again))


async def test_a_redis_that_comes_back_empty_gives_a_full_limit(server: RedisServer, guarded) -> None:
    await exhausted_and_blocked(guarded(redis_url=server.url, **LIMITED))
    server.restart()
    again = guarded(redis_url=server.url, **LIMITED)
    assert await statuses(again, 4) == [200, 200, 200, 429]
    assert await statuses(again, 1, OTHER) == [200]


# --- outages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "row"), [("local", "`local` (default)"), ("open", "`open`"), ("closed", "`closed`")]
)
async def test_without_the_store_each_policy_does_what_the_page_says(
    server: RedisServer, guarded, policy: str, row: str
) -> None:
    guard = guarded(redis_url=server.url, on_store_failure=policy, **LIMITED)
    assert await statuses(guard, 1) == [200]
    server.kill()
    seen = await statuses(guard, 8, ("198.51.100.10", 1))
    within, beyond = (int((re.search(r"\d{3}", cell) or ["200"])[0]) for cell in cells(row))
    assert (seen[0], seen[-1]) == (within, beyond)
    assert guard.metric("fraiseql_guard_store_breaker_open") == 1

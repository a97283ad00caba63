"""What many worker processes on one Redis admit together, also if their clocks disagree or one of them dies."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from fraiseql_guard.stores import AdmitRequest
from fraiseql_guard.stores.redis.store import RedisStore
from tests.support.redis_load import ALICE, ROOM, charged
from tests.support.redis_server import RedisServer
from tests.support.redis_worker import ONE, RATE

pytestmark = pytest.mark.redis

ROOT = Path(__file__).resolve().parent.parent.parent
PROCESSES = 8


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def worker(redis: RedisServer, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.support.redis_worker", redis.url, *options]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def run_together(workers: Sequence[subprocess.Popen[str]]) -> list[dict[str, float]]:
    """Let all begin at once, and collect what each says."""
    try:
        for one in workers:
            assert one.stdout.readline() == "ready\n"
        for one in workers:
            one.stdin.write("go\n")
            one.stdin.flush()
        return [json.loads(one.communicate(timeout=60)[0]) for one in workers]
    finally:
        for one in workers:
            one.kill()
            one.communicate()


async def look(url: str) -> tuple[float, float]:
    """What remains in the bucket, and when that was."""
    async with aclosing(RedisStore(url, timeout_seconds=5)) as store:
        await store.ping()
        before = time.clock_gettime(time.CLOCK_MONOTONIC)
        (bucket,) = (await store.admit(AdmitRequest(ONE, (replace(RATE, tokens=0),)))).buckets
        return bucket.remaining, (before + time.clock_gettime(time.CLOCK_MONOTONIC)) / 2


@pytest.mark.parametrize("ahead", [0, 30], ids=["clocks agree", "half of the clocks 30 s ahead"])
def test_eight_processes_on_one_bucket_admit_what_the_rate_says(redis: RedisServer, ahead: int):
    """Capacity and refill, to the request: what is admitted and what remains are what the bucket held and got."""
    options = [("--ahead", str(ahead)) if position % 2 else () for position in range(PROCESSES)]
    results = run_together([worker(redis, *chosen) for chosen in options])
    admitted = sum(result["admitted"] for result in results)
    began = min(result["first_at"] for result in results)
    remaining, now = asyncio.run(look(redis.url))
    exact = RATE.capacity + (now - began) * RATE.limit.tokens_per_second - remaining
    sent = sum(result["sent"] for result in results)
    print(
        f"{PROCESSES} processes, {ahead} s between their clocks: sent {sent}, admitted {admitted} of exactly "
        f"{exact:.1f}; slowest {max(result['slowest'] for result in results) * 1000:.0f} ms"
    )
    assert sum(result["errors"] for result in results) == 0
    assert sent > admitted * 2  # they were refused as well: the bucket was the bound
    assert admitted == pytest.approx(exact, abs=1)


def test_a_clock_in_a_worker_is_really_ahead(redis: RedisServer):
    """Or the test above would show nothing."""
    (skewed, true) = run_together([worker(redis, "--ahead", "30"), worker(redis)])
    assert (round(skewed["ahead"]), round(true["ahead"])) == (30, 0)


async def test_a_worker_killed_in_the_middle_of_its_calls(redis: RedisServer):
    """What it had sent is charged once at most, and the others go on as if nothing had been."""
    doomed = worker(redis, "--endless")
    try:
        assert await asyncio.to_thread(doomed.stdout.readline) == "ready\n"
        doomed.stdin.write("go\n")
        doomed.stdin.flush()
        store = RedisStore(redis.url, timeout_seconds=5)
        trip, own, slowest = AdmitRequest(ALICE, (ROOM,)), 0, 0.0
        for position in range(400):
            if position == 200:
                doomed.send_signal(signal.SIGKILL)
                await asyncio.to_thread(doomed.wait)
            began = time.monotonic()
            own += (await store.admit(trip)).admitted
            slowest = max(slowest, time.monotonic() - began)
            await asyncio.sleep(0.002)
        await store.aclose()
    finally:
        doomed.kill()
        told = [int(line) for line in doomed.communicate()[0].split()]
    gone = await charged(redis.url)
    # Each line says how many it had sent, and is written before they are.
    sent = told[-1]
    print(f"worker killed: it sent at most {sent}, charged {gone - own}; others {own} of 400, {slowest * 1000:.0f} ms")
    assert own == 400
    assert 0 < gone - own <= sent

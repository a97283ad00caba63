"""One of many worker processes on one Redis: ``python -m tests.support.redis_worker URL [--ahead S] [--endless]``.

Says ``ready``, waits for a line, then sends trips for one bucket as fast as answers come, and prints what it saw as
JSON. With ``--endless`` it never ends, and prints before each handful how many it will have sent.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.token_buckets import Charge, Limit
from fraiseql_guard.stores import AdmitRequest, StoreError
from fraiseql_guard.stores.redis.store import RedisStore

RATE = Charge("default", Limit(10, 1), burst=90)
ONE = Subject("user", "one key")
SECONDS = 2.0
AT_ONCE = 8

# A clock of the machine that no test and no option moves: for measuring, not for deciding.
_true_time = time.clock_gettime


def run_ahead(seconds: float) -> None:
    """Let every clock that this process's code may ask be ahead of the others'."""
    for name in ("time", "monotonic", "perf_counter"):
        original = getattr(time, name)
        setattr(time, name, lambda original=original: original() + seconds)


async def compete(url: str) -> dict[str, float]:
    """Send for SECONDS. The time of the first is on a clock that all processes share."""
    store = RedisStore(url, timeout_seconds=5)
    trip = AdmitRequest(ONE, (RATE,))
    await store.ping()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    began = now = _true_time(time.CLOCK_MONOTONIC)
    ahead = time.monotonic() - began
    slowest = 0.0
    admitted = sent = errors = 0
    while now - began < SECONDS:
        asked = _true_time(time.CLOCK_MONOTONIC)
        outcomes = await asyncio.gather(*(store.admit(trip) for _ in range(AT_ONCE)), return_exceptions=True)
        now = _true_time(time.CLOCK_MONOTONIC)
        slowest = max(slowest, now - asked)
        sent += AT_ONCE
        errors += sum(isinstance(outcome, BaseException) for outcome in outcomes)
        answered = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
        admitted += sum(outcome.admitted for outcome in answered)
        await asyncio.sleep(0.002)
    await store.aclose()
    return {
        "admitted": admitted, "sent": sent, "errors": errors, "first_at": began,
        "slowest": slowest, "ahead": ahead,
    }  # fmt: skip


async def send_for_ever(url: str) -> None:
    """Until this process is killed."""
    from tests.support.redis_load import ALICE, ROOM

    store, sent = RedisStore(url, timeout_seconds=5), 0
    await store.ping()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    while True:
        sent += AT_ONCE
        print(sent, flush=True)
        try:
            await asyncio.gather(*(store.admit(AdmitRequest(ALICE, (ROOM,))) for _ in range(AT_ONCE)))
        except StoreError as error:
            sys.exit(str(error))


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--ahead", type=float, default=0.0)
    parser.add_argument("--endless", action="store_true")
    options = parser.parse_args()
    run_ahead(options.ahead)
    if options.endless:
        asyncio.run(send_for_ever(options.url))
    else:
        print(json.dumps(asyncio.run(compete(options.url))))


if __name__ == "__main__":
    main()

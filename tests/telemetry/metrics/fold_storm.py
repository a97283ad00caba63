"""Workers that count, scrape and fold, and are killed at any moment, on one directory; sums are looked at all along.

Run as a script with PROMETHEUS_MULTIPROC_DIR set and a seed: prints "ok", or ends with an error.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import struct
import sys
import time
from pathlib import Path

from fraiseql_guard.core import signals as s
from fraiseql_guard.telemetry import Metrics
from tests.telemetry.metrics.scrape import Scrape

WORKERS, KILLED = 3, 60
COUNTS = struct.Struct("QQ")
ROWS = ("begun", "done")


def work(metrics: Metrics, slot: memoryview, chance: random.Random) -> None:
    """Until the end: count, say so before and after, and scrape now and then."""
    done = 0
    while True:
        slot[:8] = struct.pack("Q", done + 1)
        metrics.inc(s.QUERIES)
        slot[8:] = struct.pack("Q", done + 1)
        done += 1
        metrics.observe(s.RESPONSE_TIME, 0.1)
        if chance.random() < 0.02:
            metrics.render()


def counted(shared: mmap.mmap) -> tuple[int, int]:
    """How many were begun, and how many were finished."""
    rows = [COUNTS.unpack_from(shared, at) for at in range(0, len(shared), COUNTS.size)]
    return sum(row[0] for row in rows), sum(row[1] for row in rows)


def main(seed: int) -> None:
    chance = random.Random(seed)
    shared = mmap.mmap(-1, COUNTS.size * (KILLED + WORKERS))
    metrics = Metrics(workers=WORKERS)
    children: list[int] = []
    before, before_seconds = 0.0, 0.0
    for number in range(KILLED):
        child = os.fork()
        if not child:
            view = memoryview(shared)[number * COUNTS.size : (number + 1) * COUNTS.size]
            work(metrics, view, random.Random(seed * 1000 + number))
        children.append(child)
        time.sleep(chance.uniform(0.0, 0.06))
        if len(children) == WORKERS:
            victim = children.pop(chance.randrange(WORKERS))
            os.kill(victim, signal.SIGKILL)
            os.waitpid(victim, 0)
        if number % 3 == 0:
            _, least = counted(shared)
            scrape = Scrape(metrics.render())
            now, seconds = scrape.value(s.QUERIES), scrape.value(s.RESPONSE_TIME, *LABELS, suffix="_sum")
            most, _ = counted(shared)
            assert least <= now <= most, (least, now, most)
            assert now >= before
            assert (seconds or 0.0) >= before_seconds
            before, before_seconds = now, seconds or 0.0
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    begun, done = counted(shared)
    for _ in range(2):
        assert done <= Scrape(metrics.render()).value(s.QUERIES) <= begun
    assert begun - done <= KILLED
    files = list(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).iterdir())
    assert len(files) < 16, files


LABELS = tuple("" for _ in s.RESPONSE_TIME.labels)

if __name__ == "__main__":
    main(int(sys.argv[1]))
    print("ok")

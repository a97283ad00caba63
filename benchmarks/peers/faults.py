"""What a variant answers while Redis is killed and restarted, and while it is frozen."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.peers.load import Order
from benchmarks.peers.processes import PATH, Load, Server
from benchmarks.peers.variants import Variant
from tests.support.redis_server import RedisServer

OUTAGE_SECONDS = 3.0
PER_HOUR = 30
"""A limit that the load exceeds at once, so that one sees whether anything is still limited."""
_BEFORE_SECONDS = 1.0
_AFTER_SECONDS = 3.0
_SETTLED_SECONDS = 2.0
_LOAD_STARTS_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Seen:
    """``statuses`` (0: none) during the outage; the slowest answer; whether limits hold again 2 s after its end."""

    statuses: dict[int, int]
    slowest_seconds: float
    recovered: bool


FAULTS: dict[str, tuple[Callable[[RedisServer], None], Callable[[RedisServer], None]]] = {
    "killed": (RedisServer.kill, RedisServer.start),
    "frozen": (RedisServer.freeze, RedisServer.thaw),
}


def observe(variant: Variant, fault: str, redis_server: RedisServer) -> Seen:
    """Take Redis away under load, and give it back."""
    take, give_back = FAULTS[fault]
    redis_server.restart()
    with Server(variant, redis_server.url, per_hour=PER_HOUR) as server:
        seconds = _LOAD_STARTS_SECONDS + _BEFORE_SECONDS + OUTAGE_SECONDS + _AFTER_SECONDS
        order = Order(port=server.port, path=PATH, pid=server.pid, connections=8, seconds=seconds, pause=0.01)
        load = Load(order)
        try:
            time.sleep(_LOAD_STARTS_SECONDS + _BEFORE_SECONDS)
            took_at = time.monotonic()
            take(redis_server)
            time.sleep(OUTAGE_SECONDS)
            give_back(redis_server)
            gave_back_at = time.monotonic()
        finally:
            result = load.result()
    return _look(result.samples, took_at, gave_back_at)


def _look(samples: list[tuple[float, float, int]], took_at: float, gave_back_at: float) -> Seen:
    touched = [each for each in samples if each[0] + each[1] > took_at]
    during = [each for each in touched if each[0] < gave_back_at]
    after = {status for began, _, status in touched if began > gave_back_at + _SETTLED_SECONDS}
    return Seen(
        statuses=dict(Counter(status for _, _, status in during).most_common()),
        slowest_seconds=max((took for _, took, _ in touched), default=0.0),
        recovered=after == {429},
    )

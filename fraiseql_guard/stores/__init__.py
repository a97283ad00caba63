"""Where rate limits, offences and sanctions live: in Redis for all workers, or in the memory of one process.

One protocol (protocol.py) with a sub-store for each kind of thing that is kept, two implementations (memory.py; redis/
with its lua/), one conformance suite. In front of Redis stand a breaker (breaker.py) with a failure policy for each
method (failover.py), and the process's memory of refusals (refusals.py).
"""

from __future__ import annotations

import time

from fraiseql_guard.core.clocks import Clock
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.token_buckets import network_bucket
from fraiseql_guard.stores.failover import FailoverStore
from fraiseql_guard.stores.memory import MemoryStore
from fraiseql_guard.stores.protocol import Adjustment, AdmitRequest, AdmitResult, Observer, Store, StoreError
from fraiseql_guard.stores.redis.store import RedisStore
from fraiseql_guard.stores.refusals import Refusals

__all__ = [
    "Adjustment",
    "AdmitRequest",
    "AdmitResult",
    "FailoverStore",
    "MemoryStore",
    "Observer",
    "RedisStore",
    "Refusals",
    "Store",
    "StoreError",
    "network_bucket",
    "open_store",
]


def open_store(settings: Settings, observer: Observer, *, clock: Clock = time.monotonic) -> Store:
    """The store that the settings name. Nothing is connected yet; ValueError if the Redis URL is none.

    ``clock`` counts the seconds of this process's memory; Redis keeps its own time.
    """
    if settings.redis_url is None:
        return MemoryStore(clock=clock)
    url, seconds = settings.redis_url.reveal(), settings.store_timeout_ms / 1000
    primary = RedisStore(url, timeout_seconds=seconds, namespace=settings.namespace)
    return FailoverStore(primary, settings=settings, observer=observer, clock=clock)

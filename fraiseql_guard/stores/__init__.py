"""Keeps rate limits, offences and sanctions: in Redis for all workers, or in the memory of one process.

One protocol (protocol.py) with a sub-store for each kind of entry, two implementations (memory.py; redis/ with its
lua/), one conformance suite. In front of Redis stand a breaker (breaker.py) with a failure policy for each method
(failover.py), and the process's memory of refusals (refusals.py).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fraiseql_guard.core.clocks import Clock
from fraiseql_guard.core.extras import Extra, require
from fraiseql_guard.core.secret import Secret
from fraiseql_guard.core.settings import Settings, name_of
from fraiseql_guard.core.token_buckets import network_bucket
from fraiseql_guard.stores.memory import MemoryStore
from fraiseql_guard.stores.protocol import Adjustment, AdmitRequest, AdmitResult, Observer, Store, StoreError
from fraiseql_guard.stores.refusals import Refusals

if TYPE_CHECKING:
    from fraiseql_guard.stores.redis.store import RedisStore

__all__ = [
    "Adjustment",
    "AdmitRequest",
    "AdmitResult",
    "MemoryStore",
    "Observer",
    "Refusals",
    "Store",
    "StoreError",
    "network_bucket",
    "open_redis",
    "open_store",
]


def open_store(settings: Settings, observer: Observer, *, clock: Clock = time.monotonic) -> Store:
    """The store that the settings name: on Redis behind a breaker, or in this process's memory. Nothing is connected
    yet. ValueError for an unusable Redis URL, SettingsError if the client of Redis is not installed.

    ``clock`` counts the seconds of this process's memory; Redis keeps its own time.
    """
    if settings.redis_url is None:
        return MemoryStore(clock=clock)
    from fraiseql_guard.stores.failover import FailoverStore  # only where a store can fail

    primary = open_redis(settings.redis_url, settings, timeout_seconds=settings.store_timeout_ms / 1000)
    return FailoverStore(primary, settings=settings, observer=observer, clock=clock)


def open_redis(url: Secret, settings: Settings, *, timeout_seconds: float) -> RedisStore:
    """The store on a Redis, without a breaker in front of it. Nothing is connected yet. ValueError for an unusable URL,
    SettingsError if the client of Redis is not installed."""
    require(Extra.REDIS, name_of("redis_url"))
    from fraiseql_guard.stores.redis.store import RedisStore  # not before: it loads the client

    return RedisStore(url.reveal(), timeout_seconds=timeout_seconds, namespace=settings.namespace)

"""RateLimitMiddleware on Redis, every safeguard on."""

from __future__ import annotations

import os
from typing import Any

from benchmarks.peers.adapters.app import plain
from fraiseql_guard import RateLimitMiddleware


def build(redis_url: str, per_hour: int) -> Any:
    """The app behind it. The log goes to the null device: formatting is paid for, a disk is not."""
    return RateLimitMiddleware(
        plain(), redis_url=redis_url, rate_limit_default=f"{per_hour}/hour", rate_limit_burst=0, log_file=os.devnull
    )

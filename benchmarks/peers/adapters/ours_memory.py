"""RateLimitMiddleware with the store of the process."""

from __future__ import annotations

import os
from typing import Any

from benchmarks.peers.adapters.app import plain
from fraiseql_guard import RateLimitMiddleware


def build(redis_url: str, per_hour: int) -> Any:
    """The app behind it."""
    return RateLimitMiddleware(plain(), rate_limit_default=f"{per_hour}/hour", rate_limit_burst=0, log_file=os.devnull)

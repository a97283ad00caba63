"""RateLimitMiddleware on Redis, answering a caller who is beyond the limit: one trip a second, the rest from memory."""

from __future__ import annotations

import os
from typing import Any

from benchmarks.peers.adapters.app import plain
from fraiseql_guard import RateLimitMiddleware


def build(redis_url: str, per_hour: int) -> Any:
    """The app behind a limit of one request an hour. No block for repeating: it is the refusals that are measured."""
    return RateLimitMiddleware(
        plain(),
        redis_url=redis_url,
        rate_limit_default="1/hour",
        rate_limit_burst=0,
        rate_limit_abuse_offences=1_000_000,
        log_file=os.devnull,
    )

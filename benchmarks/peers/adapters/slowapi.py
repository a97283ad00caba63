"""slowapi: the decorator of its README, its storage a Redis. It calls Redis without awaiting."""

from __future__ import annotations

from typing import Any

from slowapi import Limiter, _rate_limit_exceeded_handler
from slowapi.errors import RateLimitExceeded
from slowapi.util import get_remote_address

from benchmarks.peers.adapters.app import endpoint, plain


def build(redis_url: str, per_hour: int) -> Any:
    """The app with a limited endpoint."""
    limiter = Limiter(key_func=get_remote_address, storage_uri=redis_url)
    app = plain(limiter.limit(f"{per_hour}/hour")(endpoint))
    app.state.limiter = limiter
    app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)  # type: ignore[arg-type]
    return app

"""fastapi-guard: its middleware with the rate limit alone, all its other protections off."""

from __future__ import annotations

from typing import Any

from guard import SecurityConfig, SecurityMiddleware
from guard.lifespan import guard_lifespan

from benchmarks.peers.adapters.app import plain


def build(redis_url: str, per_hour: int) -> Any:
    """The app behind it."""
    config = SecurityConfig(
        enable_redis=True,
        redis_url=redis_url,
        enable_rate_limiting=True,
        rate_limit=per_hour,
        rate_limit_window=3600,
        enable_ip_banning=False,
        enable_penetration_detection=False,
    )
    app = plain(lifespan=guard_lifespan)
    app.add_middleware(SecurityMiddleware, config=config)
    return app

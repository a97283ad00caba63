"""limits: its fixed window, the cheapest of its strategies, on redis-py's asyncio client."""

from __future__ import annotations

from typing import Any

from limits import RateLimitItemPerHour
from limits.aio.storage import RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from benchmarks.peers.adapters.app import client, endpoint, plain


def build(redis_url: str, per_hour: int) -> Any:
    """The app with a limited endpoint."""
    limiter = FixedWindowRateLimiter(RedisStorage(f"async+{redis_url}", implementation="redispy"))
    item = RateLimitItemPerHour(per_hour)

    async def limited(request: Request) -> Response:
        if not await limiter.hit(item, client(request)):
            return PlainTextResponse("too many requests", status_code=429)
        return await endpoint(request)

    return plain(limited)

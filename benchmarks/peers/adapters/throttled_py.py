"""throttled-py: its token bucket on Redis."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from throttled.asyncio import RateLimiterType, Throttled, store

from benchmarks.peers.adapters.app import client, endpoint, plain


def build(redis_url: str, per_hour: int) -> Any:
    """The app with a limited endpoint."""
    throttle = Throttled(
        using=RateLimiterType.TOKEN_BUCKET.value,
        quota=f"{per_hour}/h burst {per_hour}",
        store=store.RedisStore(server=redis_url),
    )

    async def limited(request: Request) -> Response:
        if (await throttle.limit(client(request))).limited:
            return PlainTextResponse("too many requests", status_code=429)
        return await endpoint(request)

    return plain(limited)

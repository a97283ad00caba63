"""fastapi-limiter: its dependency, its limiter's bucket in Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi_limiter.depends import RateLimiter
from pyrate_limiter import Duration, Limiter, Rate
from pyrate_limiter.buckets.redis_bucket import RedisBucket
from redis.asyncio import Redis

from benchmarks.peers.adapters.app import PATH, endpoint


def build(redis_url: str, per_hour: int) -> Any:
    """The app with the dependency, which needs a running loop to be made."""
    made: list[RateLimiter] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        client = Redis.from_url(redis_url)
        bucket = await RedisBucket.init([Rate(per_hour, Duration.HOUR)], client, "limited")  # type: ignore[misc]
        made.append(RateLimiter(limiter=Limiter(bucket)))
        yield
        await client.aclose()

    async def limit(request: Request, response: Response) -> None:
        await made[0](request, response)

    app = FastAPI(openapi_url=None, lifespan=lifespan)
    app.get(PATH, dependencies=[Depends(limit)])(endpoint)
    return app

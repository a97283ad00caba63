"""fastapi-redis-sdk: its dependency, wired as its README says."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, FastAPI
from redis_fastapi import FastAPIRedis, get_settings, rate_limit

from benchmarks.peers.adapters.app import PATH, endpoint


def build(redis_url: str, per_hour: int) -> Any:
    """The app with a limited route."""
    get_settings().url = redis_url
    app = FastAPI(openapi_url=None)
    FastAPIRedis(app).lifespan().rate_limiting()
    app.get(PATH, dependencies=[Depends(rate_limit(f"{per_hour}/hour"))])(endpoint)
    return app

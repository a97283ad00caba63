"""No limiter, and a route of FastAPI's own: the base of peers that are FastAPI dependencies."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from benchmarks.peers.adapters.app import PATH, endpoint


def build(redis_url: str, per_hour: int) -> Any:
    """The app alone."""
    app = FastAPI(openapi_url=None)
    app.get(PATH)(endpoint)
    return app

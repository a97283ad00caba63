"""No limiter: the base of most variants."""

from __future__ import annotations

from typing import Any

from benchmarks.peers.adapters.app import plain


def build(redis_url: str, per_hour: int) -> Any:
    """The app alone."""
    return plain()

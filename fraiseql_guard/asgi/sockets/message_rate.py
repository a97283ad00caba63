"""Bounds how many messages a socket's client may send, whatever they say: a bucket of the socket's own."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.core.token_buckets import Limit

_BURST: Final = 5
"""A full bucket holds so many times the rate above it."""


class MessageRate:
    """A token bucket whose rate may change. ``now`` counts seconds."""

    __slots__ = ("_at", "_used")

    def __init__(self, now: float) -> None:
        self._at = now
        self._used = 0.0  # what is missing from a full bucket, whatever its size is

    def take(self, limit: Limit, now: float) -> bool:
        """Take a token; False if there is none."""
        used = max(0.0, self._used - (now - self._at) * limit.tokens_per_second)
        self._at = now
        passes = used + 1.0 <= limit.tokens * (1 + _BURST)
        self._used = used + 1.0 if passes else used
        return passes

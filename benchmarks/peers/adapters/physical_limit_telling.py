"""The physical limit, and the six headers of ours on its answers: what it takes to say what was decided.

The headers are written beforehand; what they cost is what the server takes to check and to send them.
"""

from __future__ import annotations

from typing import Any

from benchmarks.peers.adapters import physical_limit

_HEADERS = [
    (b"x-request-id", b"8d3f9f0a8b7c4d5e9f0a8b7c4d5e9f0a"),
    (b"x-ratelimit-limit", b"900000000"),
    (b"x-ratelimit-remaining", b"899999999"),
    (b"x-ratelimit-reset", b"1794567890"),
    (b"ratelimit-policy", b'"default";q=900000000;w=3600'),
    (b"ratelimit", b'"default";r=899999999;t=1'),
]


def build(redis_url: str, per_hour: int) -> Any:
    """The app behind it."""
    limited = physical_limit.build(redis_url, per_hour)

    async def telling(scope: Any, receive: Any, send: Any) -> None:
        async def tell(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *_HEADERS]}
            await send(message)

        await limited(scope, receive, tell)

    return telling

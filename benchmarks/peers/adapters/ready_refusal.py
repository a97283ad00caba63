"""A refusal that was written beforehand, sent without an app: the base of refusals, which run no app either."""

from __future__ import annotations

from typing import Any

_BODY = b'{"type":"about:blank","title":"Rate limit exceeded","status":429,"code":"RATE_LIMITED"}'
_HEADERS = [
    (b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(_BODY)),
    (b"cache-control", b"no-store"), (b"x-request-id", b"0" * 32), (b"x-ratelimit-limit", b"1"),
    (b"x-ratelimit-remaining", b"0"), (b"x-ratelimit-reset", b"2000000000"),
    (b"ratelimit-policy", b'"default";q=1;w=3600'), (b"ratelimit", b'"default";r=0;t=3600'), (b"retry-after", b"3600"),
]  # fmt: skip


def build(redis_url: str, per_hour: int) -> Any:
    """An app that always sends it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 429, "headers": _HEADERS})
            await send({"type": "http.response.body", "body": _BODY})

    return app

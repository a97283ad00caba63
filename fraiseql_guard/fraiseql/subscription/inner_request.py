"""Requests that are made inside the app, for operations that come over a socket or a stream."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any, Final

INNER: Final = "fraiseql_guard.inner_request"
"""Key in the scope of an inner request: it marks requests that FraiseQL's own route answers."""
_SCHEMES: Final = {"ws": "http", "wss": "https"}
_OWN_HEADERS: Final = frozenset({
    b"accept", b"connection", b"content-encoding", b"content-length", b"content-type", b"expect", b"transfer-encoding",
    b"upgrade",
})  # fmt: skip
"""Headers of the outer request that do not belong into the inner one (nor do those of the upgrade)."""
_OF_THE_ROUTE: Final = frozenset({"endpoint", "path_params", "route", "subprotocols", "type"})


def http_scope(scope: MutableMapping[str, Any], path: str, body: bytes) -> dict[str, Any]:
    """The scope of a POST of the JSON ``body`` to ``path``, for the caller of a socket or a stream.

    It keeps what servers and middlewares have put into ``scope`` (state, user, a guard's context).
    """
    own = {name: value for name, value in scope.items() if name not in _OF_THE_ROUTE}
    kept = [(name, value) for name, value in scope["headers"] if _is_kept(name.lower())]
    full = scope.get("root_path", "") + path
    return {
        **own, "type": "http", "method": "POST", "path": full, "raw_path": full.encode(), "query_string": b"",
        "scheme": _SCHEMES.get(scope.get("scheme", "http"), scope.get("scheme", "http")), INNER: True,
        "headers": [*kept, (b"accept", b"application/json"), (b"content-type", b"application/json"),
                    (b"content-length", b"%d" % len(body))],
    }  # fmt: skip


def _is_kept(name: bytes) -> bool:
    return name not in _OWN_HEADERS and not name.startswith(b"sec-websocket-")


async def ask(app: Any, scope: dict[str, Any], body: bytes) -> tuple[int, bytes]:
    """Send an inner request to an app; the status and the body of its answer."""
    status, parts, waiting = 0, [], [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop()
        await asyncio.Event().wait()  # an inner request has no client that leaves: it is cancelled instead
        raise AssertionError

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        elif message["type"] == "http.response.body":
            parts.append(bytes(message.get("body", b"")))

    await app(scope, receive, send)
    return status, b"".join(parts)

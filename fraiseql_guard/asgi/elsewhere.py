"""What stands around an app that is a GraphQL endpoint and nothing else: other paths do not exist there.

By itself such an app answers on every path, also on those that no setting names and where nothing would be measured.
"""

from __future__ import annotations

from collections.abc import Iterable

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from fraiseql_guard.core.settings import name_of


def elsewhere(graphql_paths: Iterable[str]) -> ASGIApp:
    """An ASGI app that answers 404 (RFC 9457) and names the paths that there are. Where the server cannot answer an
    upgrade over HTTP, it is 403."""
    detail = f"GraphQL is served on {', '.join(graphql_paths)} alone ({name_of('graphql_paths')})."
    body = orjson.dumps({"type": "about:blank", "title": "Not Found", "status": 404, "detail": detail})
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(body))]

    async def not_found(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - an ASGI app
        kind = "http.response"
        if scope["type"] == "websocket":
            kind = f"websocket.{kind}"
            if kind not in (scope.get("extensions") or {}):
                await send({"type": "websocket.close", "code": 1008, "reason": "Not Found"})
                return
        await send({"type": f"{kind}.start", "status": 404, "headers": headers})
        await send({"type": f"{kind}.body", "body": b"" if scope.get("method") == "HEAD" else body})

    return not_found

"""The app of test_proxies.py: Strawberry's, whose streams do not ask proxies to leave them unbuffered.

What a proxy does by itself would not be seen otherwise: nginx heeds ``X-Accel-Buffering``, which Strawberry sends.
"""

from __future__ import annotations

from typing import Any

from graphql import build_schema

from fraiseql_guard import Guard
from tests.support.socket_apps import strawberry_app
from tests.support.socket_schema import SDL


def guarded_app() -> Guard:
    """Behind a guard that the server's FRAISEQL_* variables configure."""
    inner = strawberry_app()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def plain(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = [line for line in message.get("headers", ()) if line[0].lower() != b"x-accel-buffering"]
                message = {**message, "headers": headers}
            await send(message)

        await inner(scope, receive, plain if scope["type"] == "http" else send)

    return Guard(app, schema=build_schema(SDL))

"""A guarded app that fails in every way that an alert of ours is about, when it is asked to."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

from fraiseql_guard import Guard

STUBBORN_SECONDS = 4.0


async def _app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
        return
    status, body = 200, b'{"data": {"ok": true}}'
    if scope["path"] == "/boom":
        status = 500
    elif scope["path"] == "/login":
        lockout = await app.report_login_failure(scope["query_string"].decode(), scope)
        status = 429 if lockout else 401
    elif scope["path"] == "/graphql":
        asked = (await receive())["body"]
        if b"wrong" in asked:
            body = b'{"data": null, "errors": [{"message": "it went wrong"}]}'
        if b"stubborn" in asked:
            await _go_on()
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


async def _go_on() -> None:
    """Swallow every cancellation, as some libraries do."""
    until = time.monotonic() + STUBBORN_SECONDS
    while time.monotonic() < until:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0.1)


app = Guard(_app)

"""An app for workers that are recycled: guarded, and says which of them answers."""

from __future__ import annotations

import os
from typing import Any

from fraiseql_guard import Guard


async def _app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
        return
    body = str(os.getpid()).encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


app = Guard(_app, rate_limit_default="1000000/minute", allow_list="127.0.0.1")

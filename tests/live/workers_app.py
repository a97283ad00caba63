"""An app for several uvicorn workers: guarded, in a container whose files are in the folder CONTAINER_ROOT."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

from fraiseql_guard import Guard
from fraiseql_guard.telemetry.process.memory import read_memory


async def _app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
        return
    body = str(os.getpid()).encode()
    headers = [
        (b"content-type", b"text/plain"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


app = Guard(_app, rate_limit_default="1000000/minute", allow_list="127.0.0.1")
app.observe_cache("results", lambda: int(os.environ["CACHE_BYTES"]))
app.host.memory.read = partial(read_memory, Path(os.environ["CONTAINER_ROOT"]))

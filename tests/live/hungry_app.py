"""A guarded app that holds as much memory as it is told, in a container of the size that it is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fraiseql_guard import Guard
from fraiseql_guard.telemetry.process.memory import Memory, read_memory

held: list[bytes] = []
container: dict[str, int] = {}


def read() -> Memory | None:
    """What the kernel counts at this moment, over the size that we were told."""
    memory = read_memory()
    return memory and replace(memory, limit_bytes=container.get("size", memory.limit_bytes))


async def _app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
        return
    _, what, size = scope["path"].split("/")
    if what == "hold":
        held[:] = [b"x" * int(size)]
    elif what == "container":
        container["size"] = int(size)
    memory = read_memory()
    body = str(memory.used_bytes if memory else 0).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})


app = Guard(_app, rate_limit_default="1000000/minute", allow_list="127.0.0.1")
app.host.memory.read = read

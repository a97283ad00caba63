"""One variant called directly, without an HTTP server: ``python -m benchmarks.peers.inside MODULE REDIS_URL PER_HOUR``.

Prints a line when the app has started; then reads orders as JSON, one a line, and prints a Result for each. What an
HTTP server takes to check and to write what a limiter says is no part of these figures, nor is a socket but Redis's.
"""

from __future__ import annotations

import asyncio
import importlib
import itertools
import json
import sys
import time
from collections import Counter
from dataclasses import asdict
from typing import Any

from benchmarks.peers.load import Result
from benchmarks.peers.serve import end_with_parent


class _Request:
    """One request, as uvicorn would hand it over."""

    def __init__(self, path: str) -> None:
        self.scope: dict[str, Any] = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
            "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 40_000), "scheme": "http", "method": "GET",
            "root_path": "", "path": path, "raw_path": path.encode(), "query_string": b"",
            "headers": [(b"host", b"localhost")], "state": {},
        }  # fmt: skip
        self.status = 0
        self._asked = False

    async def receive(self) -> Any:
        """An empty body; then nothing, as long as the client stays."""
        if self._asked:
            await asyncio.get_running_loop().create_future()
        self._asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Any) -> None:
        """The answer is not read."""
        if message["type"] == "http.response.start":
            self.status = message["status"]


async def started(app: Any) -> asyncio.Task[None]:
    """Have the app start (ASGI lifespan); the task that it lives in. An app that knows no lifespan needs none."""
    complete = asyncio.Event()
    messages = iter([{"type": "lifespan.startup"}])

    async def receive() -> Any:
        for message in messages:
            return message
        return await asyncio.get_running_loop().create_future()

    async def send(message: Any) -> None:
        if message["type"] == "lifespan.startup.failed":
            raise RuntimeError(message.get("message") or "it does not start")
        complete.set()

    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
    life: asyncio.Task[None] = asyncio.ensure_future(app(scope, receive, send))
    await asyncio.wait((life, waiting := asyncio.ensure_future(complete.wait())), return_when="FIRST_COMPLETED")
    waiting.cancel()
    return life


async def count(app: Any, path: str, connections: int, requests: int) -> Result:
    """So many requests, as fast as they are answered; each connection has one under way."""
    statuses: Counter[int] = Counter()
    left = itertools.repeat(None, requests)

    async def connection() -> None:
        for _ in left:
            request = _Request(path)
            await app(request.scope, request.receive, request.send)
            statuses[request.status] += 1

    cpu, began = time.process_time(), time.monotonic()
    await asyncio.gather(*(connection() for _ in range(connections)))
    return Result(time.monotonic() - began, time.process_time() - cpu, dict(statuses))


async def serve(app: Any) -> None:
    """Do as ordered, until there are no more orders."""
    life = await started(app)
    print("started", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        await count(app, order["path"], order["connections"], order["warm_up"])
        print(json.dumps(asdict(await count(app, order["path"], order["connections"], order["requests"]))), flush=True)
    life.cancel()


def main() -> None:
    """Run on the loop that uvicorn would take."""
    import uvloop  # not above: the type checker may not have it

    end_with_parent()
    module, redis_url, per_hour = sys.argv[1:]
    app = importlib.import_module(f"benchmarks.peers.adapters.{module}").build(redis_url, int(per_hour))
    uvloop.run(serve(app))


if __name__ == "__main__":
    main()

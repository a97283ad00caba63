"""A worker of a fleet: a guarded app on the Redis of the command line, alive until its standard input ends."""

from __future__ import annotations

import asyncio
import os
import sys

from fraiseql_guard import Guard
from tests.support.asgi import EchoApp, graphql


async def main(url: str) -> None:
    """Serve one request, then be there."""
    guard = Guard(EchoApp(), redis_url=url, store_timeout_ms=5000)
    assert (await graphql(guard, "{me{id}}")).status == 200
    print(os.getpid(), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await guard.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

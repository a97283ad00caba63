"""Real servers in the event loop of a test, on free loopback ports."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import hypercorn.asyncio
import uvicorn
from hypercorn.config import Config

_LONGEST_SECONDS = 30.0


@asynccontextmanager
async def uvicorn_serves(app: Any, **options: Any) -> AsyncIterator[int]:
    """The port on which uvicorn serves an app; without a lifespan unless ``options`` ask for one."""
    config = uvicorn.Config(app, port=0, log_config=None, **{"lifespan": "off", **options})
    server = uvicorn.Server(config)
    running = asyncio.ensure_future(server._serve())  # noqa: SLF001 - serve() would take over the signals of the tests
    while not server.started:
        assert not running.done()
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await asyncio.wait_for(running, _LONGEST_SECONDS)


@asynccontextmanager
async def hypercorn_serves(app: Any, *, root_path: str = "") -> AsyncIterator[int]:
    """The port on which hypercorn serves an app, over HTTP/1.1 and, to clients that begin so, over HTTP/2."""
    stop, listener = asyncio.Event(), socket.create_server(("127.0.0.1", 0))
    port, config = listener.getsockname()[1], Config()
    config.bind = [f"fd://{listener.detach()}"]  # it is hypercorn's from now on, which closes it
    config.graceful_timeout, config.root_path = 0.1, root_path
    running = asyncio.ensure_future(hypercorn.asyncio.serve(app, config, shutdown_trigger=stop.wait))
    try:
        yield port
    finally:
        stop.set()
        await asyncio.wait_for(running, _LONGEST_SECONDS)

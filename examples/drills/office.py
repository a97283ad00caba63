"""Clients of one office: hundreds of WebSockets behind one address, each with a subscription, that come back when they
are closed, as the clients that people use do."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import suppress
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from examples.drills.scene import Scene
from fraiseql_guard.testing import make_token

ADDRESS: Final = "198.51.100.77"
_PROTOCOL: Final = "graphql-transport-ws"
_SUBSCRIPTION: Final = "subscription { newPosts { title } }"
_PATIENCE_SECONDS: Final = 20.0
_LONGEST_PAUSE_SECONDS: Final = 8.0


class Office:
    """So many clients, who are there from :meth:`begin` to :meth:`end`."""

    def __init__(self, scene: Scene, clients: int) -> None:
        self._scene = scene
        self.clients = clients
        self.opened = 0
        """How often a client came, again and again included."""
        self._connected: set[int] = set()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def connected(self) -> int:
        """Clients with a live subscription."""
        return len(self._connected)

    def begin(self) -> None:
        """Have them come."""
        for number in range(self.clients):
            token = make_token(self._scene.secret, sub=f"office-{number}")
            self._tasks.append(asyncio.create_task(self._stay(number, token)))

    async def end(self) -> None:
        """Have them go."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _stay(self, number: int, token: str) -> None:
        """Be connected, and come back after a pause that grows while that fails."""
        pause = 1.0
        while True:
            with suppress(OSError, WebSocketException, TimeoutError):
                if await self._subscribe(number, token):
                    pause = 1.0
            self._connected.discard(number)
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _subscribe(self, number: int, token: str) -> bool:
        """One socket, to its end; whether it was acknowledged."""
        instances = self._scene.instances
        async with opened(instances[number % len(instances)].url, ADDRESS) as socket:
            if not await initialized(socket, token):
                return False
            await socket.send(_message("subscribe", id="1", payload={"query": _SUBSCRIPTION}))
            self.opened += 1
            self._connected.add(number)
            with suppress(ConnectionClosed):
                while _type_of(await socket.recv()) not in ("error", "complete"):
                    pass
            return True


def opened(url: str, address: str) -> connect:
    """An upgrade to a WebSocket that speaks GraphQL, from an address as the proxy names it."""
    return connect(
        f"{url.replace('http', 'ws', 1)}/graphql",
        subprotocols=[_PROTOCOL],  # type: ignore[list-item] - a NewType of str
        additional_headers={"X-Forwarded-For": address},
        open_timeout=_PATIENCE_SECONDS,
        close_timeout=1,
        ping_interval=None,
        proxy=None,
        compression=None,
    )


async def initialized(socket: ClientConnection, token: str) -> bool:
    """Whether the socket was acknowledged for a token."""
    await socket.send(_message("connection_init", payload={"authorization": f"Bearer {token}"}))
    async with asyncio.timeout(_PATIENCE_SECONDS):
        return _type_of(await socket.recv()) == "connection_ack"


def _message(kind: str, **more: Any) -> str:
    return json.dumps({"type": kind, **more})


def _type_of(message: str | bytes) -> str:
    return str(json.loads(message).get("type"))

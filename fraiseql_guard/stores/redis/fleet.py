"""The fleet's part of the store on Redis: two scripts (lua/fleet.lua, lua/ring.lua), each on keys of one hash tag."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from fraiseql_guard.stores.fleet import ACTIONS_SECONDS, ACTIONS_SIZE, RECENT_SECONDS, RECENT_SIZE, Beat
from fraiseql_guard.stores.redis.client.address import Command
from fraiseql_guard.stores.redis.key_families import ACTIONS, FLEET, REFUSALS
from fraiseql_guard.stores.redis.namespace import Namespace

_MILLIONTHS: Final = 1_000_000

Run = Callable[[str, str, Sequence[str | int | bytes]], Awaitable[Any]]
"""Runs the script of a name on a key with arguments."""
Ask = Callable[[str, Command], Awaitable[Any]]
"""Asks the server that holds a key."""


class RedisFleet:
    """FleetStore through ``run`` and ``ask``. Every method may raise StoreError."""

    def __init__(self, run: Run, ask: Ask, namespace: Namespace) -> None:
        self._run = run
        self._ask = ask
        self._alive = f"{namespace.common(FLEET)}:alive"
        self._recent = namespace.common(REFUSALS)
        self._actions = namespace.common(ACTIONS)

    async def beat(self, worker_id: str, payload: bytes, ttl_seconds: float) -> int:
        """FleetStore.beat."""
        length = math.ceil(ttl_seconds * _MILLIONTHS)
        return int(await self._run("fleet", self._alive, ("beat", worker_id, length, payload)))

    async def beats(self) -> Sequence[Beat]:
        """FleetStore.beats."""
        reply = await self._run("fleet", self._alive, ("read",))
        return [
            Beat(name.decode(errors="replace"), payload) for name, payload in zip(reply[::2], reply[1::2], strict=True)
        ]

    async def remember(self, records: Sequence[bytes]) -> None:
        """FleetStore.remember."""
        if records:
            await self._run("ring", self._recent, (RECENT_SIZE, RECENT_SECONDS, *records[-RECENT_SIZE:]))

    async def recent(self, count: int) -> Sequence[bytes]:
        """FleetStore.recent."""
        return await self._newest(self._recent, count)

    async def record_action(self, record: bytes) -> None:
        """FleetStore.record_action."""
        await self._run("ring", self._actions, (ACTIONS_SIZE, ACTIONS_SECONDS, record))

    async def actions(self, count: int) -> Sequence[bytes]:
        """FleetStore.actions."""
        return await self._newest(self._actions, count)

    async def _newest(self, key: str, count: int) -> Sequence[bytes]:
        found: Sequence[bytes] = await self._ask(key, ("LRANGE", key, 0, count - 1)) if count > 0 else ()
        return found

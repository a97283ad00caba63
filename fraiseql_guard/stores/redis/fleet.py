"""Workers and operators on Redis: two scripts (lua/fleet.lua, lua/ring.lua), each on keys of one hash tag."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from fraiseql_guard.stores.fleet import ACTIONS_SECONDS, ACTIONS_SIZE, RECENT_SECONDS, RECENT_SIZE, Beat
from fraiseql_guard.stores.redis.key_access import RedisKeys
from fraiseql_guard.stores.redis.key_families import ACTIONS, FLEET, REFUSALS

_MILLIONTHS: Final = 1_000_000


class RedisFleet:
    """FleetStore on Redis. Every method may raise StoreError."""

    def __init__(self, keys: RedisKeys) -> None:
        self._keys = keys
        self._alive = f"{keys.names.common(FLEET)}:alive"
        self._recent = keys.names.common(REFUSALS)
        self._actions = keys.names.common(ACTIONS)

    async def beat(self, worker_id: str, payload: bytes, ttl_seconds: float) -> int:
        """FleetStore.beat."""
        length = math.ceil(ttl_seconds * _MILLIONTHS)
        return int(await self._keys.run("fleet", self._alive, ("beat", worker_id, length, payload)))

    async def beats(self) -> Sequence[Beat]:
        """FleetStore.beats."""
        reply = await self._keys.run("fleet", self._alive, ("read",))
        return [
            Beat(name.decode(errors="replace"), payload) for name, payload in zip(reply[::2], reply[1::2], strict=True)
        ]

    async def remember(self, records: Sequence[bytes]) -> None:
        """FleetStore.remember."""
        if records:
            # Records beyond the ring's size would be written only to be cut off.
            await self._keys.run("ring", self._recent, (RECENT_SIZE, RECENT_SECONDS, *records[-RECENT_SIZE:]))

    async def recent(self, count: int) -> Sequence[bytes]:
        """FleetStore.recent."""
        return await self._newest(self._recent, count)

    async def record_action(self, record: bytes) -> None:
        """FleetStore.record_action."""
        await self._keys.run("ring", self._actions, (ACTIONS_SIZE, ACTIONS_SECONDS, record))

    async def actions(self, count: int) -> Sequence[bytes]:
        """FleetStore.actions."""
        return await self._newest(self._actions, count)

    async def _newest(self, key: str, count: int) -> Sequence[bytes]:
        found: Sequence[bytes] = await self._keys.ask(key, ("LRANGE", key, 0, count - 1)) if count > 0 else ()
        return found

"""The control set on Redis: one hash, one script (lua/control.lua)."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from fraiseql_guard.stores.control import LONGEST_SECONDS, ControlSet, Entry, EntryKind
from fraiseql_guard.stores.namespace import Namespace
from fraiseql_guard.stores.protocol import StoreError

_MILLIONTHS: Final = 1_000_000
_KINDS: Final = frozenset(kind.value for kind in EntryKind)

Run = Callable[[str, Sequence[str | int]], Awaitable[Any]]
"""Runs control.lua on a key with arguments."""


class RedisControl:
    """Reads and changes the control set through ``run``. Every method may raise StoreError."""

    def __init__(self, run: Run, namespace: Namespace) -> None:
        self._run = run
        self._key = namespace.common("control")

    async def control(self, known_version: int) -> ControlSet | None:
        """ControlStore.control."""
        reply = await self._run(self._key, ("read", known_version))
        try:
            version = int(reply[0])
            if version == known_version:
                return None
            found = (_entry(*triple) for triple in zip(reply[1::3], reply[2::3], reply[3::3], strict=True))
            return ControlSet(version, tuple(entry for entry in found if entry is not None))
        except (ValueError, TypeError, LookupError) as error:
            raise StoreError("script", f"unexpected control set: {error}", opens_breaker=False) from error

    async def tell(self, entry: Entry) -> None:
        """ControlStore.tell."""
        length = math.ceil(min(entry.expires_in_seconds, LONGEST_SECONDS) * _MILLIONTHS)
        said = [entry.reason, entry.actor, entry.value, entry.id]
        value = json.dumps(said if entry.value or entry.id else said[:2])  # as older versions of ours can read it
        await self._run(self._key, ("tell", f"{entry.kind.value}:{entry.key}", length, value))

    async def untell(self, kind: EntryKind, key: str) -> bool:
        """ControlStore.untell."""
        return bool((await self._run(self._key, ("untell", f"{kind.value}:{key}")))[0])


def _entry(name: bytes, left: int, value: bytes) -> Entry | None:
    """None for what a newer version of ours may have said. An older one gave a reason and an actor alone."""
    kind, _, key = name.decode().partition(":")
    if kind not in _KINDS:
        return None
    return Entry(EntryKind(kind), key, left / _MILLIONTHS, *json.loads(value)[:4])

"""Limits that an operator has set for single subjects, on Redis: lua/limit.lua on the subject's own keys, and an index
for listing alone, written after a limit came into force."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from fraiseql_guard.context import Limit, Subject
from fraiseql_guard.stores.namespace import Namespace
from fraiseql_guard.stores.protocol import OVERRIDE, HeldLimit, StoreError
from fraiseql_guard.stores.redis_fleet import Ask, Run
from fraiseql_guard.stores.trips import MILLIONTHS, bucket_name


def counting(index: str) -> tuple[str, str, int, str]:
    """The command that counts what an index (lua/index.lua) holds and has not ended. What it costs grows with the
    logarithm of that."""
    return "ZCOUNT", index, int(time.time() * MILLIONTHS), "+inf"


class RedisLimits:
    """The overrides of limits through ``run`` and ``ask``. Every method may raise StoreError."""

    def __init__(self, run: Run, ask: Ask, namespace: Namespace) -> None:
        self._run = run
        self._ask = ask
        self._namespace = namespace
        self._index = namespace.common("limits")

    async def set(self, subject: Subject, limit: Limit, burst: int, seconds: float, *, actor: str) -> None:
        """Store.set_limit."""
        value = f"{limit.tokens} {limit.window_seconds} {burst}{f' {actor}' if actor else ''}"
        await self._write(subject, math.ceil(seconds * 1000), value)

    async def clear(self, subject: Subject) -> bool:
        """Store.clear_limit."""
        return bool(await self._write(subject, 0, ""))

    async def all(self) -> Sequence[HeldLimit]:
        """Store.limits: those of the index that the subjects' own keys confirm."""
        notes = await self._ask(self._index, ("ZRANGE", self._index, 0, -1))
        found = await asyncio.gather(*(self._held(Subject(*json.loads(note))) for note in notes))
        return [each for each in found if each is not None]

    async def count(self) -> int:
        """Store.count_limits."""
        return int(await self._ask(self._index, counting(self._index)))

    async def _held(self, subject: Subject) -> HeldLimit | None:
        key = self._namespace.override_of(subject)
        value, left = await asyncio.gather(self._ask(key, ("GET", key)), self._ask(key, ("PTTL", key)))
        if not value or left <= 0:
            return None
        tokens, window, burst, *actor = value.decode(errors="replace").split(" ", 3)
        return HeldLimit(subject, Limit(int(tokens), int(window)), int(burst), left / 1000, "".join(actor))

    async def _write(self, subject: Subject, milliseconds: int, value: str) -> Any:
        member = subject.member
        arguments = (milliseconds, value, bucket_name(member, OVERRIDE))
        existed = await self._run("limit", self._namespace.override_of(subject), arguments)
        note = json.dumps([subject.kind, subject.name, subject.group])
        with suppress(StoreError):  # the limit itself is in force or ended: the index only lists, and forgets by itself
            await self._run("index", self._index, (milliseconds * 1000, note))
        return existed

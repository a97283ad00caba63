"""Limits that an operator has set for single subjects, on Redis: lua/limit.lua on the subject's own keys, and an index
for listing alone, written after a limit came into force."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.signals import KeyFamily
from fraiseql_guard.core.token_buckets import Limit
from fraiseql_guard.stores.protocol import OVERRIDE, HeldLimit, StoreError
from fraiseql_guard.stores.redis.admit_codec import bucket_name
from fraiseql_guard.stores.redis.fleet import Ask, Run
from fraiseql_guard.stores.redis.key_families import LIMIT_INDEX
from fraiseql_guard.stores.redis.namespace import Namespace
from fraiseql_guard.stores.redis.pages import RedisIndex
from fraiseql_guard.stores.redis.repair import foreign, is_limit
from fraiseql_guard.stores.redis.sanctions import subject_of
from fraiseql_guard.stores.redis.unreadable import UnreadableEntries, read_json, texts
from fraiseql_guard.stores.sanction_pages import BATCH, Cursor, Page


class RedisLimits:
    """The overrides of limits through ``run`` and ``ask``. Every method may raise StoreError."""

    def __init__(self, run: Run, ask: Ask, namespace: Namespace, unreadable: UnreadableEntries) -> None:
        self._run = run
        self._ask = ask
        self._namespace = namespace
        self._unreadable = unreadable
        self._key = namespace.common(LIMIT_INDEX)
        self._index = RedisIndex[Subject](
            run, ask, self._key, KeyFamily.LIMIT_INDEX, read=_read_note, unreadable=unreadable
        )

    async def set(self, subject: Subject, limit: Limit, burst: int, seconds: float, *, actor: str = "") -> None:
        """Store.set_limit."""
        value = f"{limit.tokens} {limit.window_seconds} {burst}{f' {actor}' if actor else ''}"
        await self._write(subject, math.ceil(seconds * 1000), value)

    async def clear(self, subject: Subject) -> bool:
        """Store.clear_limit."""
        return bool(await self._write(subject, 0, ""))

    async def page(self, limit: int, cursor: str = "") -> Page[HeldLimit]:
        """Store.limits_page: those of the index that the subjects' own keys confirm."""
        found: list[HeldLimit] = []
        position, total = Cursor.read(cursor), 0
        while len(found) < limit:
            notes = await self._index.page(position, min(BATCH, limit - len(found)))
            total, position = notes.total, Cursor.read(notes.cursor)
            found += await self._confirmed(notes.notes)
            if not notes.cursor:
                break
        return Page(tuple(found), str(position), total)

    async def count(self) -> int:
        """Store.count_limits."""
        return await self._index.count()

    async def all(self) -> Sequence[HeldLimit]:
        """Store.limits."""
        found: list[HeldLimit] = []
        async for subjects in self._index.scan():
            found += await self._confirmed(subjects)
        return list({each.subject: each for each in found}.values())

    async def of(self, subject: Subject) -> HeldLimit | None:
        """Store.limit_of."""
        key = self._namespace.override_of(subject)
        try:
            value, left = await asyncio.gather(self._ask(key, ("GET", key)), self._ask(key, ("PTTL", key)))
        except StoreError as error:
            if not foreign(error):
                raise
            self._unreadable.note(KeyFamily.LIMITS, key, "is of another type than ours")
            return None
        if not value or left <= 0:
            return None
        if not is_limit(value):
            self._unreadable.note(KeyFamily.LIMITS, value, "is no limit")
            return None
        tokens, window, burst, *actor = value.decode(errors="replace").split(" ", 3)
        return HeldLimit(subject, Limit(int(tokens), int(window)), int(burst), left / 1000, "".join(actor))

    async def _confirmed(self, subjects: Sequence[Subject]) -> list[HeldLimit]:
        return [each for each in await asyncio.gather(*map(self.of, subjects)) if each is not None]

    async def _write(self, subject: Subject, milliseconds: int, value: str) -> Any:
        member = subject.member
        arguments = (milliseconds, value, bucket_name(member, OVERRIDE))
        existed = await self._run("limit", self._namespace.override_of(subject), arguments)
        note = json.dumps([subject.kind, subject.name, subject.group])
        with suppress(StoreError):  # the limit itself is in force or ended: the index only lists, and forgets by itself
            await self._run("index", self._key, (milliseconds * 1000, note))
        return existed


def _read_note(note: bytes) -> Subject:
    return subject_of(texts(read_json(note), 3))

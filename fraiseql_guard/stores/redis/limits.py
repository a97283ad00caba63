"""Limits of single subjects on Redis: lua/limit.lua on the subject's own keys, and an index that only serves lists and
is written after a limit came into force."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.signals import KeyFamily
from fraiseql_guard.core.token_buckets import Rate
from fraiseql_guard.stores.limits import HeldLimit, override_charges
from fraiseql_guard.stores.protocol import StoreError
from fraiseql_guard.stores.redis.admit_codec import bucket_name, read_limit, written_limit
from fraiseql_guard.stores.redis.key_access import RedisKeys
from fraiseql_guard.stores.redis.key_families import LIMIT_INDEX
from fraiseql_guard.stores.redis.pages import RedisIndex
from fraiseql_guard.stores.redis.repair import foreign, is_limit
from fraiseql_guard.stores.redis.sanctions import subject_of
from fraiseql_guard.stores.sanction_pages import BATCH, Cursor, Page
from fraiseql_guard.stores.unreadable import read_json, texts


class RedisLimits:
    """LimitStore on Redis. Every method may raise StoreError."""

    def __init__(self, keys: RedisKeys) -> None:
        self._keys = keys
        self._key = keys.names.common(LIMIT_INDEX)
        self._index = RedisIndex[Subject](keys, self._key, KeyFamily.LIMIT_INDEX, read=_read_note)

    async def set(self, subject: Subject, rate: Rate, burst: int, seconds: float, *, actor: str = "") -> None:
        """LimitStore.set."""
        value, member = written_limit(rate, burst, actor), subject.member
        buckets = [bucket_name(member, charge.key) for charge in override_charges(rate, burst)]
        await self._write(subject, math.ceil(seconds * 1000), value, *buckets)

    async def clear(self, subject: Subject) -> bool:
        """LimitStore.clear."""
        return bool(await self._write(subject, 0, ""))

    async def page(self, limit: int, cursor: str = "") -> Page[HeldLimit]:
        """LimitStore.page: the notes of the index that the subjects' own keys confirm."""
        found: list[HeldLimit] = []
        position, total = Cursor.read(cursor), 0
        # Notes that are not confirmed are skipped, so that a page may need more than one page of the index.
        while len(found) < limit:
            notes = await self._index.page(position, min(BATCH, limit - len(found)))
            total, position = notes.total, Cursor.read(notes.cursor)
            found += await self._confirmed(notes.notes)
            if not notes.cursor:
                break
        # The total is the index's number of notes, some of which may not be confirmed.
        return Page(tuple(found), str(position), total)

    async def count(self) -> int:
        """LimitStore.count."""
        return await self._index.count()

    async def all(self) -> Sequence[HeldLimit]:
        """LimitStore.all."""
        found: list[HeldLimit] = []
        async for subjects in self._index.scan():
            found += await self._confirmed(subjects)
        # A scan may give a note twice.
        return list({each.subject: each for each in found}.values())

    async def of(self, subject: Subject) -> HeldLimit | None:
        """LimitStore.of."""
        key = self._keys.names.override_of(subject)
        try:
            value, left = await asyncio.gather(self._keys.ask(key, ("GET", key)), self._keys.ask(key, ("PTTL", key)))
        except StoreError as error:
            if not foreign(error):
                raise
            self._keys.unreadable.note(KeyFamily.LIMITS, key, "is of another type than ours")
            return None
        # It may have ended between the two answers.
        if not value or left <= 0:
            return None
        if not is_limit(value):
            self._keys.unreadable.note(KeyFamily.LIMITS, value, "is no limit")
            return None
        rate, burst, actor = read_limit(value)
        return HeldLimit(subject, rate, burst, left / 1000, actor)

    async def _confirmed(self, subjects: Sequence[Subject]) -> list[HeldLimit]:
        return [each for each in await asyncio.gather(*map(self.of, subjects)) if each is not None]

    async def _write(self, subject: Subject, milliseconds: int, value: str, *buckets: str) -> Any:
        # The subject's own key first: that one binds, and the index only lists.
        existed = await self._keys.run("limit", self._keys.names.override_of(subject), (milliseconds, value, *buckets))
        note = json.dumps([subject.kind, subject.name, subject.group])
        with suppress(StoreError):  # the limit itself is in force or ended: the index only lists, and forgets by itself
            await self._keys.run("index", self._key, (milliseconds * 1000, note))
        return existed


def _read_note(note: bytes) -> Subject:
    return subject_of(texts(read_json(note), 3))

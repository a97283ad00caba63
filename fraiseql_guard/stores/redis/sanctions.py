"""Who is sanctioned on Redis: an index that lists, and the subjects' own keys that tell whether it is true."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Final, cast

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Sanction
from fraiseql_guard.core.signals import KeyFamily, PolicyName
from fraiseql_guard.stores.protocol import Sanctioned, StoreError
from fraiseql_guard.stores.redis.admit_codec import MILLIONTHS, read_reason
from fraiseql_guard.stores.redis.fleet import Ask, Run
from fraiseql_guard.stores.redis.key_families import SANCTION_INDEX
from fraiseql_guard.stores.redis.namespace import Namespace
from fraiseql_guard.stores.redis.pages import RedisIndex
from fraiseql_guard.stores.redis.repair import foreign
from fraiseql_guard.stores.redis.unreadable import UnreadableEntries, read_json, texts
from fraiseql_guard.stores.sanction_pages import BATCH, Cursor, Page

_KINDS: Final = frozenset({"user", "address", "login"})
_POLICIES: Final = frozenset(policy.value for policy in PolicyName)
_LONGEST_MOMENT: Final = 17


class RedisSanctions:
    """The listing of sanctions through ``run`` and ``ask``. Every method may raise StoreError."""

    def __init__(self, run: Run, ask: Ask, namespace: Namespace, unreadable: UnreadableEntries) -> None:
        self._ask = ask
        self._namespace = namespace
        self._unreadable = unreadable
        self.key: Final = namespace.common(SANCTION_INDEX)
        self.index: Final = RedisIndex[Sanctioned](
            run, ask, self.key, KeyFamily.SANCTION_INDEX, read=read_note, unreadable=unreadable
        )

    async def page(self, limit: int, cursor: str = "") -> Page[Sanction]:
        """Store.sanctions_page: those of the index that the subjects' own keys confirm."""
        found: list[Sanction] = []
        position, total = Cursor.read(cursor), 0
        while len(found) < limit:
            notes = await self.index.page(position, min(BATCH, limit - len(found)))
            total = notes.total
            found += await self._confirmed(notes.notes, notes.now)
            position = Cursor.read(notes.cursor)
            if not notes.cursor:
                break
        return Page(tuple(found), str(position), total)

    async def all(self) -> list[Sanction]:
        """Store.sanctions."""
        found: list[Sanction] = []
        cursor = Cursor()
        while True:
            notes = await self.index.page(cursor, BATCH)
            found += await self._confirmed(notes.notes, notes.now)
            if not notes.cursor:
                return found
            cursor = Cursor.read(notes.cursor)

    async def of(self, subject: Subject) -> list[Sanction]:
        """Store.sanctions_of."""
        key = self._namespace.sanctions_of(subject)
        time, fields = await asyncio.gather(self._ask(key, ("TIME",)), self._held(key, ("HGETALL", key)))
        now = int(time[0]) * MILLIONTHS + int(time[1])
        fields = fields or ()
        found = [
            self._sanction(subject, PolicyName(name.decode()), value, now)
            for name, value in zip(fields[::2], fields[1::2], strict=True)
            if name.decode(errors="replace") in _POLICIES
        ]
        return [each for each in found if each is not None]

    async def _confirmed(self, notes: Sequence[Sanctioned], now: int) -> list[Sanction]:
        keys = [self._namespace.sanctions_of(subject) for subject, _ in notes]
        held = await asyncio.gather(
            *(self._held(key, ("HGET", key, policy)) for key, (_, policy) in zip(keys, notes, strict=True))
        )
        found = [self._sanction(*note, value, now) for note, value in zip(notes, held, strict=True)]
        return [each for each in found if each is not None]

    async def _held(self, key: str, command: Any) -> Any:
        """What a subject's key holds; nothing if it is of another type than ours."""
        try:
            return await self._ask(key, command)
        except StoreError as error:
            if not foreign(error):
                raise
            self._unreadable.note(KeyFamily.SANCTIONS, key, "is of another type than ours")
            return None

    def _sanction(self, subject: Subject, policy: PolicyName, value: bytes | None, now: int) -> Sanction | None:
        """The sanction that a value says is in force."""
        expires, _, reason = (value or b"0 ").partition(b" ")
        if not expires.isdigit() or len(expires) > _LONGEST_MOMENT:
            self._unreadable.note(KeyFamily.SANCTIONS, value, "holds no moment of its end")
            return None
        left = (int(expires) - now) / MILLIONTHS
        return Sanction(subject, policy, left, *read_reason(reason)) if left > 0 else None


def written_note(subject: Subject, policy: PolicyName) -> str:
    """A note of the index."""
    return json.dumps([subject.kind, subject.name, subject.group, policy.value])


def read_note(note: bytes) -> Sanctioned:
    """Who is noted; ValueError if none of ours wrote it."""
    *parts, policy = texts(read_json(note), 4)
    if policy not in _POLICIES:
        raise ValueError("names no policy that is known here")
    return subject_of(parts), PolicyName(policy)


def subject_of(parts: Sequence[str]) -> Subject:
    """The subject of a note's kind, name and group; ValueError if it is none."""
    kind, name, group = parts
    if kind not in _KINDS:
        raise ValueError("names no kind of subject")
    return Subject(cast("Any", kind), name, group)

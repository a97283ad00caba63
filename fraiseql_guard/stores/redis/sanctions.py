"""Sanctions on Redis: the subjects' own keys, which bind, and an index, which lists them (lua/impose.lua, lua/lift.lua,
lua/index.lua). Live connections learn of the sanctions of the last minute (lua/recent.lua)."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, Final, cast

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Sanction
from fraiseql_guard.core.signals import KeyFamily, PolicyName
from fraiseql_guard.stores.protocol import StoreError
from fraiseql_guard.stores.recent_sanctions import MOST_RECENT, RECENT_SECONDS, RecentSanction
from fraiseql_guard.stores.redis.admit_codec import MILLIONTHS, read_reason, written_reason
from fraiseql_guard.stores.redis.key_access import RedisKeys
from fraiseql_guard.stores.redis.key_families import CONTROL, RECENT, SANCTION_INDEX
from fraiseql_guard.stores.redis.pages import RedisIndex
from fraiseql_guard.stores.redis.repair import foreign
from fraiseql_guard.stores.sanction_pages import BATCH, Cursor, Page
from fraiseql_guard.stores.sanctions import Sanctioned
from fraiseql_guard.stores.unreadable import read_json, texts

_KINDS: Final = frozenset({"user", "address", "login", "key"})
_POLICIES: Final = frozenset(policy.value for policy in PolicyName)
_LONGEST_MOMENT: Final = 17


class RedisSanctions:
    """SanctionStore on Redis. Every method but ``known`` may raise StoreError.

    The index is written after a sanction came into force or was lifted: it only lists, and its entries expire.
    """

    def __init__(self, keys: RedisKeys) -> None:
        self._keys = keys
        self._key = keys.names.common(SANCTION_INDEX)
        self._recent = keys.names.common(CONTROL) + RECENT
        self._index = RedisIndex[Sanctioned](keys, self._key, KeyFamily.SANCTION_INDEX, read=read_note)

    def known(self, subject: Subject, exempt: frozenset[PolicyName]) -> Sanction | None:  # noqa: ARG002
        """SanctionStore.known: None, because only a call to Redis could tell."""
        return None

    async def impose(self, sanction: Sanction) -> None:
        """SanctionStore.impose."""
        length = math.ceil(sanction.expires_in_seconds * MILLIONTHS)
        arguments = (sanction.subject.member, sanction.policy.value, length, written_reason(sanction))
        await self._keys.run_on_sanctions(sanction.subject, "impose", arguments)
        await self._tell(sanction)  # an operator learns if live connections may not hear of it
        await self._list(sanction)

    async def lift(self, subject: Subject, policy: PolicyName | None = None) -> int:
        """SanctionStore.lift."""
        policies = tuple(PolicyName) if policy is None else (policy,)
        ended = int(await self._keys.run_on_sanctions(subject, "lift", (subject.member, *policies)))
        await self._write_index(0, [written_note(subject, one) for one in policies])
        return ended

    async def lift_many(self, sanctioned: Sequence[Sanctioned]) -> int:
        """SanctionStore.lift_many, with one write to the index."""
        ended = await asyncio.gather(
            *(
                self._keys.run_on_sanctions(subject, "lift", (subject.member, policy.value))
                for subject, policy in sanctioned
            )
        )
        await self._write_index(0, [written_note(subject, policy) for subject, policy in sanctioned])
        return sum(map(int, ended))

    async def pardon(self, subject: Subject, policy: PolicyName) -> None:
        """SanctionStore.pardon."""
        await self.lift(subject, policy)

    async def note_imposed(self, sanction: Sanction) -> None:
        """Note a sanction that an admission has imposed, for lists and for live connections. Never raises
        StoreError."""
        await asyncio.gather(self._list(sanction), self._tell(sanction), return_exceptions=True)

    async def _tell(self, sanction: Sanction) -> None:
        """Put a sanction among those of the last minute."""
        recent = RecentSanction.of(sanction)
        if recent is not None:
            kept = int(RECENT_SECONDS * MILLIONTHS)
            await self._keys.run("recent", self._recent, (recent.written(), MOST_RECENT, kept))

    async def _list(self, sanction: Sanction) -> None:
        """Put a sanction that is in force into the index. Never raises StoreError."""
        length = math.ceil(sanction.expires_in_seconds * MILLIONTHS)
        await self._write_index(length, [written_note(sanction.subject, sanction.policy)])

    async def _write_index(self, length: int, notes: Sequence[str]) -> None:
        with suppress(StoreError):
            await self._keys.run("index", self._key, (length, *notes))

    async def count(self) -> int:
        """SanctionStore.count."""
        return await self._index.count()

    def batches(self) -> AsyncIterator[Sequence[Sanctioned]]:
        """SanctionStore.batches."""
        return self._index.scan()

    async def page(self, limit: int, cursor: str = "") -> Page[Sanction]:
        """SanctionStore.page: the notes of the index that the subjects' own keys confirm."""
        found: list[Sanction] = []
        position, total = Cursor.read(cursor), 0
        # Notes that are not confirmed are skipped, so that a page may need more than one page of the index.
        while len(found) < limit:
            notes = await self._index.page(position, min(BATCH, limit - len(found)))
            total = notes.total
            found += await self._confirmed(notes.notes, notes.now)
            position = Cursor.read(notes.cursor)
            if not notes.cursor:
                break
        return Page(tuple(found), str(position), total)

    async def all(self) -> Sequence[Sanction]:
        """SanctionStore.all."""
        found: list[Sanction] = []
        cursor = Cursor()
        while True:
            notes = await self._index.page(cursor, BATCH)
            found += await self._confirmed(notes.notes, notes.now)
            if not notes.cursor:
                return found
            cursor = Cursor.read(notes.cursor)

    async def of(self, subject: Subject) -> Sequence[Sanction]:
        """SanctionStore.of."""
        key = self._keys.names.sanctions_of(subject)
        time, fields = await asyncio.gather(self._keys.ask(key, ("TIME",)), self._held(key, ("HGETALL", key)))
        # By the server's clock, as the script that wrote it.
        now = int(time[0]) * MILLIONTHS + int(time[1])
        fields = fields or ()
        found = [
            self._sanction(subject, PolicyName(name.decode()), value, now)
            for name, value in zip(fields[::2], fields[1::2], strict=True)
            if name.decode(errors="replace") in _POLICIES
        ]
        return [each for each in found if each is not None]

    async def _confirmed(self, notes: Sequence[Sanctioned], now: int) -> list[Sanction]:
        # The index may lag behind: the subjects' own keys decide.
        keys = [self._keys.names.sanctions_of(subject) for subject, _ in notes]
        held = await asyncio.gather(
            *(self._held(key, ("HGET", key, policy)) for key, (_, policy) in zip(keys, notes, strict=True))
        )
        found = [self._sanction(*note, value, now) for note, value in zip(notes, held, strict=True)]
        return [each for each in found if each is not None]

    async def _held(self, key: str, command: Any) -> Any:
        """The answer to a command about a subject's key; None if the key has a wrong type."""
        try:
            return await self._keys.ask(key, command)
        except StoreError as error:
            if not foreign(error):
                raise
            self._keys.unreadable.note(KeyFamily.SANCTIONS, key, "is of another type than ours")
            return None

    def _sanction(self, subject: Subject, policy: PolicyName, value: bytes | None, now: int) -> Sanction | None:
        """The sanction that a key's value stands for; None if it is not in force, or other software wrote it."""
        expires, _, reason = (value or b"0 ").partition(b" ")
        # Moments are microseconds since 1970, of at most 17 digits.
        if not expires.isdigit() or len(expires) > _LONGEST_MOMENT:
            self._keys.unreadable.note(KeyFamily.SANCTIONS, value, "holds no moment of its end")
            return None
        left = (int(expires) - now) / MILLIONTHS
        return Sanction(subject, policy, left, *read_reason(reason)) if left > 0 else None


def written_note(subject: Subject, policy: PolicyName) -> str:
    """The note for a sanction in the index: JSON of its kind, name, group and policy."""
    return json.dumps([subject.kind, subject.name, subject.group, policy.value])


def read_note(note: bytes) -> Sanctioned:
    """The subject and the policy of a note; ValueError if other software wrote it."""
    *parts, policy = texts(read_json(note), 4)
    if policy not in _POLICIES:
        raise ValueError("names no policy that is known here")
    return subject_of(parts), PolicyName(policy)


def subject_of(parts: Sequence[str]) -> Subject:
    """The subject with a note's kind, name and group; ValueError for an unknown kind."""
    kind, name, group = parts
    if kind not in _KINDS:
        raise ValueError("names no kind of subject")
    return Subject(cast("Any", kind), name, group)

"""Repairs the guard's keys that other software has written to, so that no request fails because of them twice.

A key of another type is of no use, and a malformed entry in a subject's own keys would end each of its requests. Both
are removed, counted and logged. Malformed entries that only lists would show stay, and are left out where they are
read."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.signals import KeyFamily, PolicyName
from fraiseql_guard.stores.limits import OVERRIDE, override_charges
from fraiseql_guard.stores.protocol import StoreError
from fraiseql_guard.stores.redis.admit_codec import bucket_name, read_limit
from fraiseql_guard.stores.redis.client import Command
from fraiseql_guard.stores.redis.key_families import KeyRow, row_of, shared_keys
from fraiseql_guard.stores.redis.namespace import Namespace
from fraiseql_guard.stores.unreadable import UnreadableEntries

_PAUSE_SECONDS: Final = 0.05
"""Pause after a look at a subject's keys that found nothing: errors of another cause must not cost a look each."""
# The forms that our scripts write (lua/admit.lua, lua/impose.lua, lua/limit.lua). All others are malformed.
_SANCTION: Final = re.compile(rb"\d{1,17} .*", re.DOTALL)
_OFFENCE: Final = re.compile(rb"\d{1,17} \d{1,9} \d{1,15}")
_BUCKET: Final = re.compile(rb"(\S{1,32}) \d{1,17}")
_REPEATS: Final = re.compile(rb"\d{1,9}")
_POLICIES: Final = frozenset(policy.value.encode() for policy in PolicyName)

Ask = Callable[[str, Command], Awaitable[Any]]


def foreign(error: StoreError) -> bool:
    """Whether a failure may come from a key of the wrong type, or from a value that a script could not read."""
    return error.reason == "script"


class Repair:
    """Looks at keys through ``ask``, and removes what other software wrote there."""

    def __init__(
        self,
        ask: Ask,
        names: Namespace,
        unreadable: UnreadableEntries,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._names = names
        self._unreadable = unreadable
        self._clock = clock
        self._shared = shared_keys(names)
        self._next_at = -math.inf

    async def shared(self, key: str) -> bool:
        """Remove those of a fleet's key and the keys beside it that have a wrong type; True if any was removed."""
        # Keys beside it share its hash tag: one of them may be what made the script fail.
        tag = key[: key.find("}") + 1]
        keys = {each: row for each, row in self._shared.items() if each.startswith(tag)}
        row = row_of(key)
        # If this Redis user may not look, the caller raises the failure that brought it here.
        with suppress(StoreError):
            return await self._types({**keys, **({key: row} if row is not None else {})})
        return False

    async def subject(self, subject: Subject, buckets: Iterable[str] = ()) -> bool:
        """Remove a subject's keys of a wrong type, and malformed entries in its others; True if any was removed."""
        return await self.subjects({subject: buckets})

    async def subjects(self, subjects: Mapping[Subject, Iterable[str]]) -> bool:
        """:meth:`subject` for several subjects, each with the names of its buckets."""
        if self._clock() < self._next_at:
            return False
        named = [key for subject, buckets in subjects.items() for key in self._keys_of(subject, buckets)]
        keys = {key: row for key in named if (row := row_of(key)) is not None}
        with suppress(StoreError):
            found = await self._types(keys)
            # The buckets of further windows are known where the override itself can be read.
            windows = [key for subject in subjects for key in await self._override_buckets(subject)]
            further = {key: row for key in windows if (row := row_of(key)) is not None}
            found, keys = await self._types(further) or found, {**keys, **further}
            # A list, not a generator: any() must not end the look before the last key.
            contents = [await self._content(key, row) for key, row in keys.items()]
            if found or any(contents):
                return True
        self._next_at = self._clock() + _PAUSE_SECONDS
        return False

    def _keys_of(self, subject: Subject, buckets: Iterable[str]) -> list[str]:
        base, member = self._names.of(subject), subject.member
        keys = [f"{base}l{member}", f"{base}b:{bucket_name(member, OVERRIDE)}"]
        # The override of its limits, and the buckets of the request that failed.
        keys += [f"{base}b:{bucket}" for bucket in buckets]
        # The keys of the member, and of its group, which are in the same slot.
        for who in {member, ""}:
            # Offences and sanctions of monitor mode have keys of their own (m:).
            for mode in ("", "m:"):
                keys += [f"{base}{mode}s{who}", f"{base}{mode}g"]
                keys += [f"{base}{mode}{kind}:{policy.value}:{who}" for kind in "or" for policy in PolicyName]
        return list(dict.fromkeys(keys))

    async def _override_buckets(self, subject: Subject) -> list[str]:
        value = await self._ask(self._names.override_of(subject), ("GET", self._names.override_of(subject)))
        if value is None or not is_limit(value):
            return []
        base, charges = self._names.of(subject), override_charges(*read_limit(value)[:2])
        return [f"{base}b:{bucket_name(subject.member, charge.key)}" for charge in charges]

    async def _types(self, keys: Mapping[str, KeyRow]) -> bool:
        # A key of a wrong type cannot be read, so it is removed as a whole.
        found = await asyncio.gather(*(self._ask(key, ("TYPE", key)) for key in keys))
        removed = False
        for (key, row), name in zip(keys.items(), found, strict=True):
            kind = name.decode(errors="replace")
            if kind not in ("none", row.type):
                self._unreadable.note(row.family, key, f"is a {kind} where we keep a {row.type}: it was removed")
                await self._ask(key, ("DEL", key))
                removed = True
        return removed

    async def _content(self, key: str, row: KeyRow) -> bool:
        if row.family is KeyFamily.SANCTIONS:
            return await self._sanctions(key)
        if row.family is KeyFamily.OFFENCES:
            entries = await self._ask(key, ("LRANGE", key, 0, 999))
            # The script sums all entries: a malformed one makes it fail.
            usable = all(map(_OFFENCE.fullmatch, entries))
            return await self._remove([] if usable else [("DEL", key)], row.family, key)
        check = _STRINGS.get(row.family)
        if check is None:
            return False
        value = await self._ask(key, ("GET", key))
        wrong = value is not None and not check(value)
        return await self._remove([("DEL", key)] if wrong else [], row.family, key)

    async def _sanctions(self, key: str) -> bool:
        """Remove malformed sanctions. An unknown policy belongs to a newer version of the guard, and stays."""
        fields = await self._ask(key, ("HGETALL", key))
        wrong = [
            ("HDEL", key, name)
            for name, value in zip(fields[::2], fields[1::2], strict=True)
            if name in _POLICIES and not _SANCTION.fullmatch(value)
        ]
        return await self._remove(wrong, KeyFamily.SANCTIONS, key)

    async def _remove(self, commands: Iterable[Command], family: KeyFamily, key: str) -> bool:
        removed = False
        for command in commands:
            self._unreadable.note(family, key, "held what none of ours writes: it was removed")
            await self._ask(key, command)
            removed = True
        return removed


def is_limit(value: bytes) -> bool:
    """Whether a value is an override of a limit."""
    try:
        read_limit(value)
    except ValueError:
        return False
    return True


def _bucket(value: bytes) -> bool:
    match = _BUCKET.fullmatch(value)
    try:
        return match is not None and 0 <= float(match[1]) < math.inf
    except ValueError:
        return False


_STRINGS: Final[Mapping[KeyFamily, Callable[[bytes], bool]]] = {
    KeyFamily.LIMITS: is_limit,
    KeyFamily.BUCKETS: _bucket,
    KeyFamily.REPEATS: lambda value: _REPEATS.fullmatch(value) is not None,
}

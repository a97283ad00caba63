"""The indexes of sanctions and of limits on Redis: page by page (lua/page.lua), or as a scan in no order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from fraiseql_guard.core.signals import KeyFamily
from fraiseql_guard.stores.redis.key_access import RedisKeys
from fraiseql_guard.stores.sanction_pages import Cursor, moment_of

N = TypeVar("N")

_SCRIPT: Final = "page"
_SCANNED: Final = 256
"""About the notes in one step of a scan: a tenth of a millisecond of the server's time, one or two of this
process's."""


@dataclass(frozen=True, slots=True)
class Notes(Generic[N]):
    """Some notes of an index. ``cursor`` is where the next page begins ("" on the last one), ``total`` the number of
    all notes in force, and ``now`` the server's time in microseconds."""

    notes: Sequence[N]
    cursor: str
    total: int
    now: int


class RedisIndex(Generic[N]):
    """One index, whose entries are notes. ``read`` decodes a note, or raises ValueError if other software wrote it:
    such a note is left out."""

    def __init__(self, keys: RedisKeys, key: str, family: KeyFamily, *, read: Callable[[bytes], N]) -> None:
        self._keys = keys
        self._key = key
        self._family = family
        self._read = read

    async def count(self) -> int:
        """How many notes are in force."""
        # A page of 0 notes: the script counts all of them nevertheless.
        reply = await self._keys.run(_SCRIPT, self._key, (0, "", 0))
        return int(reply[0])

    async def page(self, cursor: Cursor, limit: int) -> Notes[N]:
        """At most ``limit`` notes, the last to end first. A page may be short without being the last."""
        reply = await self._keys.run(_SCRIPT, self._key, (limit, cursor.end, cursor.skip))
        total, now, notes, ends = int(reply[0]), int(reply[1]), reply[2::2], reply[3::2]
        # A page that is not full is the last one.
        following = cursor.after([moment_of(end) for end in ends]) if len(notes) == limit else Cursor()
        return Notes(self._readable(notes), str(following), total, now)

    async def scan(self) -> AsyncIterator[Sequence[N]]:
        """All notes in batches and in no order, some of them twice. A note that is there during the whole scan is not
        missed."""
        cursor = b"0"
        while True:
            cursor, found = await self._keys.ask(self._key, ("ZSCAN", self._key, cursor, "COUNT", _SCANNED))
            yield self._readable(found[::2])
            if cursor == b"0":
                return

    def _readable(self, notes: Sequence[bytes]) -> list[N]:
        read = []
        for note in notes:
            try:
                read.append(self._read(note))
            except ValueError as error:
                self._keys.unreadable.note(self._family, note, str(error))
        return read

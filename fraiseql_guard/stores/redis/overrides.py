"""Overrides on Redis: one hash, one script (lua/overrides.lua)."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, Final

from fraiseql_guard.core.signals import KeyFamily
from fraiseql_guard.stores.overrides import LONGEST_SECONDS, Look, Override, OverrideKind, Overrides
from fraiseql_guard.stores.protocol import StoreError
from fraiseql_guard.stores.recent_sanctions import RecentSanction, read_recent
from fraiseql_guard.stores.redis.key_access import RedisKeys
from fraiseql_guard.stores.redis.key_families import CONTROL
from fraiseql_guard.stores.redis.repair import foreign
from fraiseql_guard.stores.unreadable import read_json

_SCRIPT: Final = "overrides"
_MILLIONTHS: Final = 1_000_000
_KINDS: Final = frozenset(kind.value for kind in OverrideKind)


class RedisOverrides:
    """OverrideStore on Redis. Every method may raise StoreError."""

    def __init__(self, keys: RedisKeys) -> None:
        self._keys = keys
        self._key = keys.names.common(CONTROL)

    async def read(self, known_version: int) -> Overrides | None:
        """OverrideStore.read. If the key is no hash any more, the known overrides stay in force."""
        reply = await self._ask("read", known_version)
        return None if reply is None else self._changed(known_version, reply)

    async def look(self, known_version: int, since: int) -> Look:
        """OverrideStore.look."""
        reply = await self._ask("look", known_version, since)
        if reply is None:
            return Look(None, (), since)
        version, at, marks, *entries = reply
        found = map(self._recent, marks)
        sanctioned = tuple(each for each in found if each is not None)
        return Look(self._changed(known_version, [version, *entries]), sanctioned, int(at))

    async def _ask(self, *arguments: str | int) -> Sequence[Any] | None:
        """The script's answer; None if the key is no hash any more."""
        try:
            reply: Sequence[Any] = await self._keys.run_unrepaired(_SCRIPT, self._key, arguments)
        except StoreError as error:
            if not foreign(error):
                raise
            self._keys.unreadable.note(KeyFamily.CONTROL, self._key, f"is no control set of ours ({error.detail})")
            return None
        return reply

    def _changed(self, known_version: int, reply: Sequence[Any]) -> Overrides | None:
        version = int(reply[0])
        if version == known_version:
            return None
        found = (self._override(*triple) for triple in zip(reply[1::3], reply[2::3], reply[3::3], strict=True))
        return Overrides(version, tuple(each for each in found if each is not None))

    async def put(self, override: Override) -> None:
        """OverrideStore.put."""
        length = math.ceil(min(override.expires_in_seconds, LONGEST_SECONDS) * _MILLIONTHS)
        facts = [override.reason, override.actor, override.value, override.id]
        # Older versions of the guard read only lists of two.
        value = json.dumps(facts if override.value or override.id else facts[:2])
        await self._keys.run(_SCRIPT, self._key, ("put", f"{override.kind.value}:{override.key}", length, value))

    async def delete(self, kind: OverrideKind, key: str) -> bool:
        """OverrideStore.delete."""
        return bool((await self._keys.run(_SCRIPT, self._key, ("delete", f"{kind.value}:{key}")))[0])

    def _recent(self, mark: bytes) -> RecentSanction | None:
        """The recent sanction of a mark; None for a policy of a newer version, and for a mark of other software."""
        try:
            return read_recent(mark)
        except ValueError:
            self._keys.unreadable.note(KeyFamily.RECENT_SANCTIONS, mark, "names no sanction that we know")
            return None

    def _override(self, name: bytes, left: int, value: bytes) -> Override | None:
        """The override of an entry; None for a kind of a newer version, and for an entry of other software."""
        try:
            if left < 0:
                raise ValueError("holds no moment of its end")
            kind, _, key = name.decode().partition(":")
            if kind not in _KINDS:  # of a newer version
                return None
            said = read_json(value)
            if not isinstance(said, list) or len(said) < 2 or not all(isinstance(each, str) for each in said[:4]):
                raise ValueError("says nothing that we do")
            return Override(OverrideKind(kind), key, left / _MILLIONTHS, *said[:4])
        except ValueError as error:  # a UnicodeDecodeError is one
            self._keys.unreadable.note(KeyFamily.CONTROL, name, str(error))
            return None

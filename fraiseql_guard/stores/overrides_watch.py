"""Keeps a process's copy of the overrides fresh."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, Protocol

from fraiseql_guard.core.loop_task import LoopTask
from fraiseql_guard.stores.overrides import Override, Overrides, OverrideStore
from fraiseql_guard.stores.protocol import StoreError
from fraiseql_guard.stores.recent_sanctions import RecentSanction

POLL_SECONDS: Final = 0.5
_MARGIN_SECONDS: Final = 1.0
"""More than an exchange takes: the server looks later than this process begins to ask."""
_MILLIONTHS: Final = 1_000_000


class OverrideSource(Protocol):
    """Overrides from elsewhere than the store."""

    def changed(self) -> bool:
        """Look again; True if the overrides are others now. Never raises."""
        ...

    def entries(self) -> tuple[Override, ...]:
        """The overrides in force at the moment."""
        ...


class Heed(Protocol):
    """Hears of sanctions that were imposed anywhere."""

    def wanted(self) -> bool:
        """Whether there is anything for which they matter."""
        ...

    def sanctioned(self, recent: Sequence[RecentSanction]) -> None:
        """These were imposed since the last look. Never raises."""
        ...


async def _nothing() -> None:
    pass


class OverridesWatch:
    """Keeps the current overrides of this process, polling while the process serves requests.

    ``on_change`` is called with the first set and each new one, and again whenever an override expires. Those of
    ``beside`` count as well; where both have one of the same kind and key, the store's holds: it came later, and ends.
    ``after_poll`` is awaited after each look. ``clock`` counts seconds. ``heed``: what of this process lives on without
    requests, and so must hear of sanctions in the same exchanges; it may be set later.
    """

    def __init__(
        self,
        store: OverrideStore,
        *,
        on_change: Callable[[Overrides], None],
        clock: Callable[[], float] = time.monotonic,
        poll_seconds: float = POLL_SECONDS,
        beside: OverrideSource | None = None,
        after_poll: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        self._store = store
        self._beside = beside
        self._after_poll = after_poll
        self._on_change = on_change
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._read = Overrides()
        self._heard = self._answered = False
        self.in_force = Overrides()
        """What is in force in this process."""
        self._read_at = self._announced_at = self._looked_at = clock()
        self._since: int | None = None
        self.heed: Heed | None = None
        self.looks = 0
        """How many times the store was asked, whatever became of it."""
        self._expires_at = math.inf
        self._polling = LoopTask(self._poll)
        self.ensure_polling: Callable[[], object] = self._polling.ensure_running
        """Poll in the running event loop from now on. Cheap: every request may call it."""
        self.aclose = self._polling.aclose
        """Stop polling in the running event loop."""

    def begin(self) -> None:
        """Put those of ``beside`` in force, all at once and without the store: the first request meets them."""
        if self._beside is not None:
            self._announce(self._clock())

    async def refresh(self) -> None:
        """Look now. While the store does not answer, the last set stays in force."""
        found, first = None, False
        self.looks += 1
        # The store counts its own failures, and overrides go on expiring by our own clock.
        with suppress(StoreError):
            found = await self._look()
            first, self._answered = not self._answered, True
        now = self._clock()
        changed = first or (self._beside is not None and (self._beside.changed() or not self._heard))
        self._heard = True
        if found is not None:
            self._read, self._read_at = found, now
        elif now < self._expires_at and not changed:
            return
        self._announce(now)

    async def _look(self) -> Overrides | None:
        """The overrides, if they have changed; sanctions of late are told to those who heed them."""
        heed, began = self.heed, self._clock()
        if heed is None or not heed.wanted():
            self._since, found = None, await self._store.read(self._read.version)
        else:
            # What lives may be older than the first look for it, but not than the last look of all.
            away = began - self._looked_at + _MARGIN_SECONDS
            since = self._since if self._since is not None else -math.ceil(away * _MILLIONTHS)
            look = await self._store.look(self._read.version, since)
            self._since, found = look.at, look.changed
            if look.sanctioned:
                heed.sanctioned(look.sanctioned)
        self._looked_at = began
        return found

    def at_present(self) -> Overrides:
        """What is in force in this process, with the seconds that are left now."""
        age = self._clock() - self._announced_at
        left = [replace(each, expires_in_seconds=each.expires_in_seconds - age) for each in self.in_force.entries]
        return Overrides(self.in_force.version, tuple(each for each in left if each.expires_in_seconds > 0))

    def _announce(self, now: float) -> None:
        age = now - self._read_at
        # What has expired since the set was read is left out; the rest counts from now on.
        held = [
            replace(entry, expires_in_seconds=entry.expires_in_seconds - age)
            for entry in self._read.entries
            if entry.expires_in_seconds > age
        ]
        beside = self._beside.entries() if self._beside is not None else ()
        # The store's come last, and win over those beside it.
        by_name = {(entry.kind, entry.key): entry for entry in (*beside, *held)}
        in_force = tuple(by_name.values())
        self._expires_at = now + min((entry.expires_in_seconds for entry in (*beside, *held)), default=math.inf)
        self.in_force, self._announced_at = Overrides(self._read.version, in_force), now
        self._on_change(self.in_force)

    async def _poll(self) -> None:
        while True:
            await self.refresh()
            await self._after_poll()
            await asyncio.sleep(self._poll_seconds)

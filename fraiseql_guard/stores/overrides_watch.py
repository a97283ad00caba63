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
"""Longer than an exchange takes: the server looks for sanctions a moment after this process has begun to ask."""
_MILLIONTHS: Final = 1_000_000


class OverrideSource(Protocol):
    """A source of overrides beside the store, such as a file."""

    def changed(self) -> bool:
        """Look again; True if the overrides have changed. Never raises."""
        ...

    def entries(self) -> tuple[Override, ...]:
        """The overrides in force at the moment."""
        ...


class Heed(Protocol):
    """Receives the sanctions that any process has imposed, to end the live connections of this one."""

    def wanted(self) -> bool:
        """Whether this process has live connections, for which sanctions matter."""
        ...

    def sanctioned(self, recent: Sequence[RecentSanction]) -> None:
        """These were imposed since the last look. Never raises."""
        ...


async def _nothing() -> None:
    pass


class OverridesWatch:
    """Keeps the current overrides of this process, polling while the process serves requests.

    ``on_change`` is called with the first set and each new one, and again whenever an override expires. The overrides
    of ``beside`` count as well; of two with the same kind and key the store's holds, because it came later, and ends.
    ``after_poll`` is awaited after each look. ``clock`` counts seconds. ``heed`` may be set later: it gets recent
    sanctions from the same exchanges, for live connections, which make no requests.
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
        """The overrides in force in this process, with the seconds left at the last change (see at_present)."""
        self._read_at = self._announced_at = self._looked_at = clock()
        self._since: int | None = None
        self.heed: Heed | None = None
        self.looks = 0
        """How many times the store was asked, with or without an answer."""
        self._expires_at = math.inf
        self._polling = LoopTask(self._poll)
        self.ensure_polling: Callable[[], object] = self._polling.ensure_running
        """Poll in the running event loop from now on. Cheap: every request may call it."""
        self.aclose = self._polling.aclose
        """Stop polling in the running event loop."""

    def begin(self) -> None:
        """Put the overrides of ``beside`` in force now, without the store, so that the first request meets them."""
        if self._beside is not None:
            self._announce(self._clock())

    async def refresh(self) -> None:
        """Ask the store now. While it does not answer, the last set stays in force."""
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
        """The overrides if they have changed, else None. ``heed`` gets the recent sanctions, if it wants any."""
        heed, began = self.heed, self._clock()
        if heed is None or not heed.wanted():
            self._since, found = None, await self._store.read(self._read.version)
        else:
            # Live connections may be older than the first look for sanctions, but not older than the last look of all.
            away = began - self._looked_at + _MARGIN_SECONDS
            since = self._since if self._since is not None else -math.ceil(away * _MILLIONTHS)
            look = await self._store.look(self._read.version, since)
            self._since, found = look.at, look.changed
            if look.sanctioned:
                heed.sanctioned(look.sanctioned)
        self._looked_at = began
        return found

    def at_present(self) -> Overrides:
        """The overrides in force in this process, with the seconds that are left now."""
        age = self._clock() - self._announced_at
        left = [replace(each, expires_in_seconds=each.expires_in_seconds - age) for each in self.in_force.entries]
        return Overrides(self.in_force.version, tuple(each for each in left if each.expires_in_seconds > 0))

    def _announce(self, now: float) -> None:
        age = now - self._read_at
        # Overrides that have expired since the set was read are left out; the others' seconds count from now.
        held = [
            replace(entry, expires_in_seconds=entry.expires_in_seconds - age)
            for entry in self._read.entries
            if entry.expires_in_seconds > age
        ]
        beside = self._beside.entries() if self._beside is not None else ()
        # The store's overrides come last, and win over those of ``beside``.
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

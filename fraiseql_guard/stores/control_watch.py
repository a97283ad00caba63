"""Keeps a process's copy of the control set fresh."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final

from fraiseql_guard.stores.control import ControlSet, ControlStore
from fraiseql_guard.stores.protocol import StoreError

POLL_SECONDS: Final = 0.5


class ControlWatch:
    """Keeps the current control set of this process, polling while the process serves requests.

    ``on_change`` is called with each new set, and again whenever an entry expires. ``clock`` counts seconds.
    """

    def __init__(
        self,
        store: ControlStore,
        *,
        on_change: Callable[[ControlSet], None],
        clock: Callable[[], float] = time.monotonic,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._store = store
        self._on_change = on_change
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._read = ControlSet()
        self._read_at = clock()
        self._expires_at = math.inf
        self._task: asyncio.Task[None] | None = None

    def ensure_polling(self) -> None:
        """Poll in the running event loop from now on. Cheap: to be called with every request."""
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done() or self._task.get_loop() is not loop:
            self._task = loop.create_task(self._poll())

    async def refresh(self) -> None:
        """Look now. A store that does not answer leaves the last set in force."""
        try:
            found = await self._store.control(self._read.version)
        except StoreError:
            found = None  # counted by whoever asks it for a decision; expiry goes on by our own clock
        now = self._clock()
        if found is not None:
            self._read, self._read_at = found, now
        elif now < self._expires_at:
            return
        self._announce(now)

    def _announce(self, now: float) -> None:
        age = now - self._read_at
        in_force = tuple(entry for entry in self._read.entries if entry.expires_in_seconds > age)
        self._expires_at = self._read_at + min((entry.expires_in_seconds for entry in in_force), default=math.inf)
        self._on_change(ControlSet(self._read.version, in_force))

    async def _poll(self) -> None:
        while True:
            await self.refresh()
            await asyncio.sleep(self._poll_seconds)

    async def aclose(self) -> None:
        """Stop polling."""
        task, self._task = self._task, None
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            await asyncio.wait([task])

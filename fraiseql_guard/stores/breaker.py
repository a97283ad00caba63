"""Stops asking a store that fails, so that no request waits for it, and probes until it answers again (circuit
breaker)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from fraiseql_guard.core.loop_task import LoopTask
from fraiseql_guard.stores.protocol import Observer, StoreError

T = TypeVar("T")

FAILURES_TO_OPEN: Final = 5
"""Failures in a row that open the breaker."""
PROBE_SECONDS: Final = 0.5
"""Pause between two probes while the breaker is open."""


class Breaker:
    """Opens after five failures in a row; a probe in the background (one at a time) closes it.

    ``ping`` raises StoreError while the store does not answer; ``clock`` counts seconds.
    """

    def __init__(
        self,
        ping: Callable[[], Awaitable[None]],
        observer: Observer,
        *,
        clock: Callable[[], float],
        probe_seconds: float = PROBE_SECONDS,
    ) -> None:
        self._ping = ping
        self._observer = observer
        self._clock = clock
        self._probe_seconds = probe_seconds
        self.open_since: float | None = None
        """When the breaker opened, by the clock; None while it is closed."""
        self.failures = 0
        """Failures in a row: each answer sets it to zero."""
        self._probing = LoopTask(self._probe)
        self.probe_soon: Callable[[], object] = self._probing.ensure_running
        """Probe in the running event loop from now on: the event loop that opened the breaker may have ended."""
        self.aclose = self._probing.aclose
        """Stop probing in the running event loop."""

    async def ask(self, call: Callable[[], Awaitable[T]]) -> T:
        """The store's answer to a call; StoreError if it fails, at once while the breaker is open."""
        if self.open_since is not None:
            self.probe_soon()
            raise StoreError("connection", "the store was given up for now; nothing was applied")
        try:
            answer = await call()
        except StoreError as error:
            self.failed(error)
            raise
        self.failures = 0
        return answer

    def failed(self, error: StoreError) -> None:
        """Count a failure of the store."""
        if error.opens_breaker:
            self.failures += 1
            if self.failures >= FAILURES_TO_OPEN and self.open_since is None:
                self.open_since = self._clock()
                self.probe_soon()
        self._tell(error)

    def _tell(self, error: StoreError) -> None:
        self._observer.store_failed(error.reason, error.detail, self.open_since is not None)

    async def _probe(self) -> None:
        while self.open_since is not None:
            # Before the first probe as well: the store has just failed.
            await asyncio.sleep(self._probe_seconds)
            try:
                await self._ping()
            except StoreError as error:
                if error.opens_breaker:
                    self._tell(error)
                    continue
                # The store answers: only the node that the probe asked does not.
            self._close()

    def _close(self) -> None:
        if self.open_since is not None:  # the probe of another event loop may have closed it
            outage_seconds = self._clock() - self.open_since
            self.open_since, self.failures = None, 0
            self._observer.store_recovered(outage_seconds)

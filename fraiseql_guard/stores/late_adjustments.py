"""Adjustments of buckets that no answer waits for: they reach the store beside the requests, many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.loop_task import LoopTask, PerLoop
from fraiseql_guard.core.token_buckets import Charge
from fraiseql_guard.stores.ledger import with_tokens
from fraiseql_guard.stores.protocol import Adjustment, Store

MOST: Final = 10_000
"""Callers whose adjustments wait in a process at once: further ones are lost, and their requests have paid."""
_AT_ONCE: Final = 64
_LAST_SECONDS: Final = 1.0
"""Longest that the end of a process waits for them."""

_Place = tuple[Subject, bool]
_Pending = dict[_Place, dict[tuple[str, object, int], Charge]]
"""By whose they are and whether they were paid to this process alone: the charge of each bucket."""


class LateAdjustments:
    """Those of a process. ``on_lost`` is told how many were lost; ``on_fault`` of what broke."""

    def __init__(
        self, store: Store, *, on_lost: Callable[[int], object], on_fault: Callable[[Exception], object]
    ) -> None:
        self._store = store
        self._on_lost = on_lost
        self._on_fault = on_fault
        self._pending: PerLoop[_Pending] = PerLoop(lambda _: {})
        self._sending = LoopTask(self._send_all)

    def put(self, adjustments: Iterable[Adjustment]) -> None:
        """Have them made soon. Those of one caller are joined meanwhile."""
        pending = self._pending.here()
        for each in adjustments:
            place = (each.subject, each.alone)
            charges = pending.get(place)
            if charges is None:
                if len(pending) >= MOST:
                    self._on_lost(1)
                    continue
                charges = pending[place] = {}
            for charge in each.charges:
                bucket = (charge.key, charge.limit, charge.burst)
                held = charges.get(bucket)
                charges[bucket] = charge if held is None else with_tokens(charge, held.tokens + charge.tokens)
        if pending:
            self._sending.ensure_running()

    async def _send_all(self) -> None:
        pending = self._pending.here()
        # What comes while an exchange is at work is sent with the next one.
        while pending:
            batch = [pending.popitem() for _ in range(min(_AT_ONCE, len(pending)))]
            await asyncio.gather(*(self._send(place, tuple(charges.values())) for place, charges in batch))

    async def _send(self, place: _Place, charges: tuple[Charge, ...]) -> None:
        subject, alone = place
        try:
            if not await self._store.adjust(Adjustment(subject, charges, alone)):
                self._on_lost(1)
        except Exception as error:  # noqa: BLE001 - one that breaks is lost, and no other with it
            self._on_lost(1)
            self._on_fault(error)

    async def aclose(self) -> None:
        """Make what is left, in a second at most."""
        if self._pending.here():
            await asyncio.wait([self._sending.ensure_running()], timeout=_LAST_SECONDS)
        await self._sending.aclose()

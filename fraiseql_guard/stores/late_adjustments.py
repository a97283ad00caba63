"""Adjustments of buckets that no answer waits for: a task of their own sends them to the store, many at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.loop_task import LoopTask, PerLoop
from fraiseql_guard.core.signals import AdjustmentReason
from fraiseql_guard.core.token_buckets import Charge
from fraiseql_guard.stores.ledger import with_tokens
from fraiseql_guard.stores.protocol import Adjustment, Store

MOST: Final = 10_000
"""Most callers with waiting adjustments in a process: those of further callers are lost, and their requests stay as
paid."""
_AT_ONCE: Final = 64
_LAST_SECONDS: Final = 1.0
"""Longest time that the end of a process waits for adjustments."""

_Place = tuple[Subject, bool]
"""The subject of the buckets, and whether the buckets are this process's own (Adjustment.alone)."""


class _Joined:
    """The waiting adjustments of one caller: a charge for each bucket, and the number of requests by reason."""

    __slots__ = ("charges", "reasons")

    def __init__(self) -> None:
        self.charges: dict[tuple[str, object, int], Charge] = {}
        self.reasons: Counter[AdjustmentReason] = Counter()

    def add(self, charges: Iterable[Charge], reason: AdjustmentReason) -> None:
        for charge in charges:
            bucket = (charge.key, charge.limit, charge.burst)
            held = self.charges.get(bucket)
            self.charges[bucket] = charge if held is None else with_tokens(charge, held.tokens + charge.tokens)
        self.reasons[reason] += 1


class LateAdjustments:
    """The waiting adjustments of a process. ``on_made`` is given a reason and the number of requests adjusted for it,
    or lost; ``on_fault`` is given exceptions."""

    def __init__(
        self,
        store: Store,
        *,
        on_made: Callable[[AdjustmentReason, int], object],
        on_fault: Callable[[Exception], object],
    ) -> None:
        self._store = store
        self._on_made = on_made
        self._on_fault = on_fault
        self._pending: PerLoop[dict[_Place, _Joined]] = PerLoop(lambda _: {})
        self._sending = LoopTask(self._send_all)

    def put(self, adjustment: Adjustment, reason: AdjustmentReason) -> None:
        """Have an adjustment made soon. Adjustments of one caller are joined meanwhile."""
        pending, place = self._pending.here(), (adjustment.subject, adjustment.alone)
        joined = pending.get(place)
        if joined is None:
            if len(pending) >= MOST:
                self._on_made(AdjustmentReason.LOST, 1)
                return
            joined = pending[place] = _Joined()
        joined.add(adjustment.charges, reason)
        self._sending.ensure_running()

    async def _send_all(self) -> None:
        pending = self._pending.here()
        # Adjustments that come during an exchange are sent with the next one.
        while pending:
            batch = [pending.popitem() for _ in range(min(_AT_ONCE, len(pending)))]
            await asyncio.gather(*(self._send(place, joined) for place, joined in batch))

    async def _send(self, place: _Place, joined: _Joined) -> None:
        subject, alone = place
        made = False
        try:
            made = bool(await self._store.adjust(Adjustment(subject, tuple(joined.charges.values()), alone)))
        except Exception as error:  # noqa: BLE001 - an adjustment that fails is lost, and no other with it
            self._on_fault(error)
        for reason, count in joined.reasons.items():
            self._on_made(reason if made else AdjustmentReason.LOST, count)

    async def aclose(self) -> None:
        """Make the adjustments that still wait, for a second at most."""
        if self._sending.running or self._pending.here():
            await asyncio.wait([self._sending.ensure_running()], timeout=_LAST_SECONDS)
        await self._sending.aclose()

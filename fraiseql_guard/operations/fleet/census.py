"""Counts the sanctions and overrides in force, for the gauges. The store counts sanctions, so that none is listed."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from fraiseql_guard.stores.overrides import OverrideKind, Overrides
from fraiseql_guard.stores.protocol import Store, StoreError

INTERVAL_SECONDS: Final = 5.0
_KINDS: Final = (
    OverrideKind.BLOCK,
    OverrideKind.ALLOW,
    OverrideKind.MODE,
    OverrideKind.SETTING,
    OverrideKind.DOCUMENT,
    OverrideKind.OPERATION,
)
"""Kinds of overrides that hold for a while. Commands (collect garbage, clear caches) do not: they are not counted."""
_LIMIT: Final = "limit"


class CensusObserver(Protocol):
    """Receives the counts of a census."""

    def in_force(self, sanctions: int) -> None:
        """Receive the number of sanctions in force."""
        ...

    def overrides_in_force(self, counts: Mapping[str, int]) -> None:
        """Receive the numbers of overrides in force, by kind. Kinds that are not in ``counts`` have not changed."""
        ...


class SanctionCensus:
    """Counts the sanctions and overrides in force, for one process. ``clock`` counts seconds."""

    __slots__ = ("_clock", "_counted_at", "_observer", "_store")

    def __init__(self, store: Store, *, observer: CensusObserver, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._observer = observer
        self._clock = clock
        self._counted_at = -math.inf

    def update(self, control: Overrides) -> None:
        """Count the overrides of a control set that has just come into force."""
        found = Counter(entry.kind for entry in control.entries)
        self._observer.overrides_in_force({kind.value: found[kind] for kind in _KINDS})

    async def tick(self) -> None:
        """Called twice a second; asks the store every INTERVAL_SECONDS. Without an answer the last counts stay."""
        now = self._clock()
        if now - self._counted_at < INTERVAL_SECONDS:
            return
        # Set before the call, so that a failing store is not asked more often.
        self._counted_at = now
        try:
            self._observer.in_force(await self._store.sanctions.count())
            # Limits of single callers are not in the control set: the store counts them.
            self._observer.overrides_in_force({_LIMIT: await self._store.limits.count()})
        except StoreError:
            return  # the store reports its failures itself

"""Counts the sanctions and overrides in force, for the gauges. The store counts them: nothing is listed."""

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
    """Receives the counts."""

    def in_force(self, sanctions: int) -> None:
        """How many sanctions are in force."""
        ...

    def overrides_in_force(self, counts: Mapping[str, int]) -> None:
        """How many overrides are in force, by their kind; kinds that are not named stay as they were."""
        ...


class SanctionCensus:
    """Counts for one process. ``clock`` counts seconds."""

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
        # Before the call: a store that fails is asked no more often.
        self._counted_at = now
        try:
            self._observer.in_force(await self._store.sanctions.count())
            # Limits of single callers are no part of the control set, so that the store counts them.
            self._observer.overrides_in_force({_LIMIT: await self._store.limits.count()})
        except StoreError:
            return  # the store reports its failures itself

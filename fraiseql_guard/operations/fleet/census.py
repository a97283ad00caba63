"""Counts what is in force in the store, now and then, for the gauges: never by listing it."""

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
"""What operators say and is a state; a command is none."""
_LIMIT: Final = "limit"


class CensusObserver(Protocol):
    """Hears what was counted."""

    def in_force(self, sanctions: int) -> None:
        """Sanctions."""
        ...

    def overrides_in_force(self, counts: Mapping[str, int]) -> None:
        """Overrides, by their kind."""
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
        """Count the entries of a control set that is in force from now on."""
        found = Counter(entry.kind for entry in control.entries)
        self._observer.overrides_in_force({kind.value: found[kind] for kind in _KINDS})

    async def tick(self) -> None:
        """To be called twice a second: asks the store every five. Without an answer the last count stays."""
        now = self._clock()
        if now - self._counted_at < INTERVAL_SECONDS:
            return
        self._counted_at = now
        try:
            self._observer.in_force(await self._store.sanctions.count())
            self._observer.overrides_in_force({_LIMIT: await self._store.limits.count()})
        except StoreError:
            return  # counted by the store

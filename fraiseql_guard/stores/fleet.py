"""The records that workers and operators share: the living workers, the last refusals, the last actions of operators.

Payloads are bytes that the store does not read (operations/operator/records.py says what they hold).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

RECENT_SIZE: Final = 1_000
"""Refusals that the ring of recent ones holds."""
RECENT_SECONDS: Final = 86_400
"""How long the ring is kept after its last refusal."""
ACTIONS_SIZE: Final = 200
"""Actions that the ring of operators' actions holds."""
ACTIONS_SECONDS: Final = 30 * 86_400
"""How long the ring of operators' actions is kept after its last action."""


@dataclass(frozen=True, slots=True)
class Beat:
    """A living worker: its id, and its last payload."""

    worker_id: str
    payload: bytes


class FleetStore(Protocol):
    """The records that workers and operators share. Every method may raise StoreError."""

    async def beat(self, worker_id: str, payload: bytes, ttl_seconds: float) -> int:
        """Note that a worker is alive for the next ``ttl_seconds``, 0 if it ends; return how many workers are alive."""
        ...

    async def beats(self) -> Sequence[Beat]:
        """All living workers, in no order. The store of a single process knows its own worker alone."""
        ...

    async def remember(self, records: Sequence[bytes]) -> None:
        """Put refusals into the ring of recent ones, in the order in which they happened."""
        ...

    async def recent(self, count: int) -> Sequence[bytes]:
        """The last refusals, at most ``count``, the newest first."""
        ...

    async def record_action(self, record: bytes) -> None:
        """Put an operator's action into the ring of actions."""
        ...

    async def actions(self, count: int) -> Sequence[bytes]:
        """The last actions, at most ``count``, the newest first."""
        ...


class MemoryFleet:
    """FleetStore in the memory of a process."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._beats: dict[str, tuple[bytes, float]] = {}
        self._recent: deque[bytes] = deque(maxlen=RECENT_SIZE)
        self._actions: deque[bytes] = deque(maxlen=ACTIONS_SIZE)

    async def beat(self, worker_id: str, payload: bytes, ttl_seconds: float) -> int:
        """FleetStore.beat."""
        now = self._clock()
        # Each beat sweeps out the workers whose time has passed.
        self._beats = {name: held for name, held in self._beats.items() if held[1] > now and name != worker_id}
        if ttl_seconds > 0:
            self._beats[worker_id] = (payload, now + ttl_seconds)
        return len(self._beats)

    async def beats(self) -> Sequence[Beat]:
        """FleetStore.beats."""
        now = self._clock()
        return [Beat(worker_id, payload) for worker_id, (payload, until) in self._beats.items() if until > now]

    async def remember(self, records: Sequence[bytes]) -> None:
        """FleetStore.remember."""
        # extendleft turns the order round: the newest record comes first.
        self._recent.extendleft(records)

    async def recent(self, count: int) -> Sequence[bytes]:
        """FleetStore.recent."""
        return list(islice(self._recent, max(0, count)))

    async def record_action(self, record: bytes) -> None:
        """FleetStore.record_action."""
        self._actions.appendleft(record)

    async def actions(self, count: int) -> Sequence[bytes]:
        """FleetStore.actions."""
        return list(islice(self._actions, max(0, count)))

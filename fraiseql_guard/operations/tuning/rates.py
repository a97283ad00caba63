"""Counts the requests of each caller in 60 seconds, which a rate has to admit.

For each caller the requests of any 60 seconds are counted, in slots of ten, and of each minute the largest count is
kept. A rate of at least that count admits all of them.

A caller's requests may go to several workers. What other workers have admitted since the last request shows in the
level of the caller's bucket, which all workers share.
"""

from __future__ import annotations

from typing import Final

from fraiseql_guard.operations.tuning.observing import BucketLevel, Observation
from fraiseql_guard.operations.tuning.sketch import QuantileSketch
from fraiseql_guard.operations.tuning.top_callers import TopCallers

_SLOT_SECONDS: Final = 10
_SLOTS: Final = 7
"""Number of slots that cover any 60 seconds."""
_MINUTE_SECONDS: Final = 60
MAX_CALLERS: Final = 5_000


class _CallerMinute:
    """The requests of one caller in the last slots, and the largest count of 60 seconds in this minute (``peak``)."""

    __slots__ = ("at", "level", "minute", "peak", "slot", "slots", "tier")

    def __init__(self, tier: str, slot: int) -> None:
        self.tier = tier
        self.slots = [0] * _SLOTS
        self.slot = slot
        self.minute = slot * _SLOT_SECONDS // _MINUTE_SECONDS
        self.peak = 0
        self.level: BucketLevel | None = None
        self.at = 0.0

    def advance(self, slot: int) -> None:
        """Move on to ``slot``, and empty the slots that are over."""
        for _ in range(min(slot - self.slot, _SLOTS)):
            self.slots.pop(0)
            self.slots.append(0)
        self.slot = max(slot, self.slot)

    def taken(self, level: BucketLevel | None, at: float) -> int:
        """The number of requests since the last one that this worker saw, this one included, by the bucket's level; 1
        without a level."""
        before, self.level = self.level, level
        elapsed, self.at = max(0.0, at - self.at), at
        if level is None:
            return 1
        if before is None or before.capacity != level.capacity:
            return max(1, round(level.used))
        # The tokens that would still be taken without further requests. A bucket that was full meanwhile hides some.
        left = max(0.0, before.used - elapsed * before.refill)
        return max(1, round(level.used - left))


class RateUse:
    """Counts of a process or a log, by tier. Beyond ``max_callers`` the caller who was seen longest ago is closed."""

    def __init__(self, max_callers: int = MAX_CALLERS) -> None:
        self._max = max_callers
        self._callers: dict[str, _CallerMinute] = {}
        self._peaks: dict[str, QuantileSketch] = {}  # one count for each minute of each caller, by tier
        self._top: dict[str, TopCallers] = {}

    def add(self, seen: Observation, tier: str) -> None:
        """Count an observation."""
        slot = int(seen.at) // _SLOT_SECONDS
        caller = self._callers.pop(seen.caller, None)
        if caller is None or caller.tier != tier:
            caller = _CallerMinute(tier, slot)
            if len(self._callers) >= self._max:
                self._close(next(iter(self._callers)))
        # Inserted again, so that the callers stay in the order in which they were last seen.
        self._callers[seen.caller] = caller
        if (minute := slot * _SLOT_SECONDS // _MINUTE_SECONDS) != caller.minute:
            self._keep(seen.caller, caller)
            caller.minute, caller.peak = minute, 0
        caller.advance(slot)
        caller.slots[-1] += max(seen.known, caller.taken(seen.bucket, seen.at))
        caller.peak = max(caller.peak, sum(caller.slots))

    def now(self) -> dict[str, tuple[QuantileSketch, TopCallers]]:
        """For each tier the distribution of its counts and its top callers, minutes included that are not over."""
        found: dict[str, tuple[QuantileSketch, TopCallers]] = {}
        for tier, sketch in self._peaks.items():
            found[tier] = _copied(sketch, self._top[tier])
        for name, caller in self._callers.items():
            _note(found, name, caller)
        return found

    def _close(self, name: str) -> None:
        self._keep(name, self._callers.pop(name))

    def _keep(self, name: str, caller: _CallerMinute) -> None:
        if caller.peak:
            self._peaks.setdefault(caller.tier, QuantileSketch()).add(caller.peak)
            self._top.setdefault(caller.tier, TopCallers()).note(name, caller.peak)


def _copied(sketch: QuantileSketch, callers: TopCallers) -> tuple[QuantileSketch, TopCallers]:
    peaks, top = QuantileSketch(), TopCallers()
    peaks.merge(sketch)
    top.merge(callers)
    return peaks, top


def _note(found: dict[str, tuple[QuantileSketch, TopCallers]], name: str, caller: _CallerMinute) -> None:
    if caller.peak:
        peaks, top = found.setdefault(caller.tier, (QuantileSketch(), TopCallers()))
        peaks.add(caller.peak)
        top.note(name, caller.peak)

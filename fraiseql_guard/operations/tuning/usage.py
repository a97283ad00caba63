"""Sums up observations of requests by operation, in bounded memory.

An operation is a document (by its query_hash). For each measure of each it is known what the four callers with the
largest numbers asked for: the fourth says what more than three callers have in common. That is what a limit must admit.
"""

from __future__ import annotations

from typing import Final

from fraiseql_guard.operations.tuning.observing import SUSPICIOUS, Observation
from fraiseql_guard.operations.tuning.rates import RateUse
from fraiseql_guard.operations.tuning.sketch import QuantileSketch
from fraiseql_guard.operations.tuning.top_callers import CallerCount

SHARED_BY: Final = 4
"""An operation of so many callers is shared: it is no attack of one, two or three."""
MAX_OPERATIONS: Final = 2_000
MAX_TIERS: Final = 20
OTHER_TIERS: Final = "(others)"
MAX_FIELDS: Final = 500


class OperationUse:
    """What was seen of one operation."""

    __slots__ = ("callers", "database", "fields", "name", "query_hash", "sketches", "suspicious", "total")

    def __init__(self, name: str, query_hash: str, fields: tuple[str, ...]) -> None:
        self.name, self.query_hash, self.fields = name, query_hash, fields
        self.total = 0
        self.suspicious = 0
        """Requests that were refused for what they asked for, or would have been."""
        self.sketches: dict[str, dict[str, QuantileSketch]] = {}  # by measure, then by tier
        self.callers: dict[str, dict[str, int]] = {}  # by measure: the largest numbers, each of another caller
        self.database = QuantileSketch()  # milliseconds
        """Of requests with statements, so that its total may be smaller."""

    def add(self, seen: Observation, tier: str) -> None:
        """Count a request."""
        self.total += seen.weight
        if seen.code in SUSPICIOUS:
            self.suspicious += seen.weight
        for name, number in seen.numbers.items():
            by_tier = self.sketches.get(name)
            if by_tier is None:
                by_tier = self.sketches[name] = {}
            sketch = by_tier.get(tier)
            if sketch is None:
                sketch = by_tier[tier] = QuantileSketch()
            sketch.add(number, seen.weight)
            self._note_caller(name, seen.caller, number)
        if seen.database_ms is not None:
            self.database.add(round(seen.database_ms * 1000), seen.weight)

    def _note_caller(self, measure: str, caller: str, number: int) -> None:
        """Keep the four callers with the largest numbers."""
        held = self.callers.get(measure)
        if held is None:
            held = self.callers[measure] = {}
        known = held.get(caller)
        if known is not None:
            if number > known:
                held[caller] = number
        elif len(held) < SHARED_BY:
            held[caller] = number
        else:
            least = min(held, key=held.__getitem__)
            if number > held[least]:
                del held[least]
                held[caller] = number

    @property
    def sharers(self) -> int:
        """Callers that are known to have sent it: four stand for four or more."""
        return max(map(len, self.callers.values()), default=0)

    def shared_number(self, measure: str) -> int:
        """The largest number that more than three callers have reached with it; 0 if it is of fewer."""
        numbers = self.callers.get(measure, {}).values()
        return min(numbers) if len(numbers) >= SHARED_BY else 0

    @property
    def ordinary(self) -> bool:
        """Whether a limit may be learned from it: it is shared, or no limit in force has anything against it."""
        return self.sharers >= SHARED_BY or not self.suspicious

    def largest(self, measure: str) -> int:
        """The largest number of a measure."""
        return max((each.largest for each in self.sketches.get(measure, {}).values()), default=0)

    def absorb(self, other: OperationUse) -> None:
        """Take over the counts of an operation that is no longer kept by itself."""
        self.total += other.total
        self.suspicious += other.suspicious
        for name, by_tier in other.sketches.items():
            own = self.sketches.setdefault(name, {})
            for tier, sketch in by_tier.items():
                own.setdefault(tier, QuantileSketch()).merge(sketch)
        for name, held in other.callers.items():
            for caller, number in held.items():
                self._note_caller(name, caller, number)
        self.database.merge(other.database)


class FieldUse:
    """The database's time of operations that have one root field alone, whose cost is thus its own."""

    __slots__ = ("database", "points", "sizes")

    def __init__(self) -> None:
        self.points = QuantileSketch()
        self.sizes = QuantileSketch()
        self.database = QuantileSketch()  # microseconds


class UsageTable:
    """What a process, or a log, has seen. ``max_operations`` are kept by themselves; the rarest beyond become one."""

    def __init__(self, max_operations: int = MAX_OPERATIONS) -> None:
        self._max = max_operations
        self.operations: dict[str, OperationUse] = {}
        self.rest = OperationUse("(others)", "", ())
        """Rare operations that no limit has anything against."""
        self.suspicious_rest = OperationUse("(others)", "", ())
        """Rare operations of few callers that were refused, or would have been."""
        self.rates = RateUse()
        self.callers = CallerCount()
        self.fields: dict[str, FieldUse] = {}
        self.total = 0
        self.began_at = 0.0
        self.ended_at = 0.0
        self._tiers: set[str] = set()

    def add(self, seen: Observation) -> None:
        """Count a request."""
        self.total += seen.weight
        self.began_at = min(self.began_at or seen.at, seen.at)
        self.ended_at = max(self.ended_at, seen.at)
        self.callers.note(seen.caller)
        tier = self._tier(seen.tier)
        self.rates.add(seen, tier)
        key = seen.query_hash or f"{seen.operation}\0{seen.code}"
        operation = self.operations.get(key)
        if operation is None:
            operation = self.operations[key] = OperationUse(seen.operation, seen.query_hash, seen.fields)
        operation.add(seen, tier)
        # Twice the room, so that sorting is rare.
        if len(self.operations) > 2 * self._max:
            self._forget()
        if len(seen.fields) == 1 and seen.database_ms is not None:
            self._add_field(f"{_ROOTS.get('mutation_ms' in seen.numbers)}.{seen.fields[0]}", seen)

    def _add_field(self, name: str, seen: Observation) -> None:
        field = self.fields.get(name)
        if field is None:
            if len(self.fields) >= MAX_FIELDS:
                return
            field = self.fields[name] = FieldUse()
        field.points.add(seen.numbers.get("complexity", 0), seen.weight)
        field.sizes.add(seen.numbers.get("list_size", 0), seen.weight)
        field.database.add(round((seen.database_ms or 0.0) * 1000), seen.weight)

    def _tier(self, tier: str) -> str:
        if tier in self._tiers:
            return tier
        if len(self._tiers) >= MAX_TIERS:
            return OTHER_TIERS
        self._tiers.add(tier)
        return tier

    def _forget(self) -> None:
        """Make one of the rarest operations; those that are shared stay as long as there is room."""
        ranked = sorted(self.operations.items(), key=lambda item: (item[1].sharers, item[1].total), reverse=True)
        self.operations = dict(ranked[: self._max])
        for _, each in ranked[self._max :]:
            (self.rest if each.ordinary else self.suspicious_rest).absorb(each)


_ROOTS: Final = {False: "Query", True: "Mutation"}

"""Adds up observations of requests by operation, in bounded memory.

An operation is a document (by its query_hash). For each of its measures the four callers with the largest numbers are
kept: more than three callers have reached the smallest of these numbers, so a limit must admit it.
"""

from __future__ import annotations

from typing import Final

from fraiseql_guard.operations.tuning.observing import SUSPICIOUS, Observation
from fraiseql_guard.operations.tuning.rates import RateUse
from fraiseql_guard.operations.tuning.sketch import QuantileSketch
from fraiseql_guard.operations.tuning.top_callers import CallerCount

SHARED_BY: Final = 4
"""An operation of at least so many callers is shared: it is not an attack by one, two or three callers."""
MAX_OPERATIONS: Final = 2_000
MAX_TIERS: Final = 20
OTHER_TIERS: Final = "(others)"
MAX_FIELDS: Final = 500


class OperationUse:
    """The requests of one operation, added up."""

    __slots__ = ("callers", "database", "fields", "name", "query_hash", "sketches", "suspicious", "total")

    def __init__(self, name: str, query_hash: str, fields: tuple[str, ...]) -> None:
        self.name, self.query_hash, self.fields = name, query_hash, fields
        self.total = 0
        self.suspicious = 0
        """Number of requests that were refused, or would be, for what the operation asks for."""
        self.sketches: dict[str, dict[str, QuantileSketch]] = {}  # by measure, then by tier
        self.callers: dict[str, dict[str, int]] = {}  # by measure, then by caller: the four largest numbers
        self.database = QuantileSketch()
        """Time in the database in microseconds, of requests with statements alone."""

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
        """The number of its callers; 4 stands for 4 or more."""
        return max(map(len, self.callers.values()), default=0)

    def shared_number(self, measure: str) -> int:
        """The largest number that more than three callers have reached with the operation; 0 if it has fewer
        callers."""
        numbers = self.callers.get(measure, {}).values()
        return min(numbers) if len(numbers) >= SHARED_BY else 0

    @property
    def ordinary(self) -> bool:
        """Whether limits are learned from the operation: it is shared, or no limit in force refuses it."""
        return self.sharers >= SHARED_BY or not self.suspicious

    def largest(self, measure: str) -> int:
        """The largest number of a measure; 0 without any."""
        return max((each.largest for each in self.sketches.get(measure, {}).values()), default=0)

    def absorb(self, other: OperationUse) -> None:
        """Add the counts of an operation that is no longer kept apart."""
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
    """Points, list sizes and time in the database of operations with a single root field, which thus causes all
    cost."""

    __slots__ = ("database", "points", "sizes")

    def __init__(self) -> None:
        self.points = QuantileSketch()
        self.sizes = QuantileSketch()
        self.database = QuantileSketch()  # microseconds


class UsageTable:
    """The use that a process has seen, or a log. At least ``max_operations`` operations are kept apart; the rarest
    beyond are joined."""

    def __init__(self, max_operations: int = MAX_OPERATIONS) -> None:
        self._max = max_operations
        self.operations: dict[str, OperationUse] = {}
        self.rest = OperationUse("(others)", "", ())
        """Rare ordinary operations, joined."""
        self.suspicious_rest = OperationUse("(others)", "", ())
        """Rare suspicious operations of few callers, joined."""
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
            self._join_rarest()
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

    def _join_rarest(self) -> None:
        """Join the rarest operations; shared ones stay apart as long as there is room."""
        ranked = sorted(self.operations.items(), key=lambda item: (item[1].sharers, item[1].total), reverse=True)
        self.operations = dict(ranked[: self._max])
        for _, each in ranked[self._max :]:
            (self.rest if each.ordinary else self.suspicious_rest).absorb(each)


_ROOTS: Final = {False: "Query", True: "Mutation"}

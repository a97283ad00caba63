"""The usage report that each worker writes and readers merge: distributions by measure and tier, and operations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fraiseql_guard.operations.tuning.sketch import MAX_BINS, QuantileSketch, merged
from fraiseql_guard.operations.tuning.top_callers import MOST, CallerCount, TopCallers

MAX_SHOWN: Final = 2_000
"""Most operations in a report."""
MAX_FIELDS: Final = 500


@dataclass(slots=True)
class MeasureUse:
    """The distributions of one measure: of all requests by tier, and of ordinary requests, from which limits are
    learned.
    """

    by_tier: dict[str, QuantileSketch] = field(default_factory=dict)
    ordinary: QuantileSketch = field(default_factory=QuantileSketch)
    shared: int = 0
    """The largest number that more than three callers have reached with one operation."""
    ordinary_callers: TopCallers = field(default_factory=TopCallers)
    callers: TopCallers = field(default_factory=TopCallers)
    """The top callers of all requests, attackers included."""

    @property
    def everything(self) -> QuantileSketch:
        """The distribution over all tiers."""
        found = QuantileSketch()
        for each in self.by_tier.values():
            found.merge(each)
        return found

    def merge(self, other: MeasureUse) -> None:
        """Add the use that another worker has seen."""
        merged(self.by_tier, other.by_tier)
        self.ordinary.merge(other.ordinary)
        self.shared = max(self.shared, other.shared)
        self.ordinary_callers.merge(other.ordinary_callers)
        self.callers.merge(other.callers)


@dataclass(slots=True)
class RateSummary:
    """The requests of one tier's callers in 60 seconds: the distribution of the largest count in each minute of each
    caller, and the callers with the largest counts."""

    peaks: QuantileSketch = field(default_factory=QuantileSketch)
    callers: TopCallers = field(default_factory=TopCallers)

    def merge(self, other: RateSummary) -> None:
        """Add the use that another worker has seen."""
        self.peaks.merge(other.peaks)
        self.callers.merge(other.callers)


@dataclass(slots=True, kw_only=True)
class OperationSummary:
    """One operation with its number of requests and its largest number of each measure. ``callers`` is the number of
    its callers; 4 stands for 4 or more. ``suspicious`` requests were refused, or would be, for what they asked for."""

    name: str
    query_hash: str
    requests: int
    callers: int
    suspicious: int
    largest: dict[str, int]
    points: int
    """Its median complexity."""
    database_count: int = 0
    database_us: int = 0
    """The median of its database time, in microseconds, over ``database_count`` requests with statements."""

    def merge(self, other: OperationSummary) -> None:
        """Add the requests that another worker has seen. Both may have seen the same callers, so the larger number
        holds.
        """
        self.requests += other.requests
        self.callers = max(self.callers, other.callers)
        self.suspicious += other.suspicious
        for name, number in other.largest.items():
            self.largest[name] = max(number, self.largest.get(name, 0))
        self.points = max(self.points, other.points)
        self.database_us = _mean(self.database_us, self.database_count, other.database_us, other.database_count)
        self.database_count += other.database_count


@dataclass(slots=True, kw_only=True)
class FieldSummary:
    """Requests of operations with this single root field: their number, and the medians of their points, list sizes,
    and time in the database in microseconds."""

    count: int
    points: int
    size: int
    database_us: int

    def merge(self, other: FieldSummary) -> None:
        """Add the requests that another worker has seen. Medians become their mean, weighted by the counts."""
        for name in ("points", "size", "database_us"):
            setattr(self, name, _mean(getattr(self, name), self.count, getattr(other, name), other.count))
        self.count += other.count


def _mean(first: int, times: int, second: int, more: int) -> int:
    return round((first * times + second * more) / (times + more)) if times + more else 0


@dataclass(slots=True, kw_only=True)
class UsageReport:
    """Everything that advice is based on. Times are Unix times; 0 if nothing was seen."""

    requests: int = 0
    began_at: float = 0.0
    ended_at: float = 0.0
    workers: int = 0
    callers: CallerCount = field(default_factory=CallerCount)
    measures: dict[str, MeasureUse] = field(default_factory=dict)
    rates: dict[str, RateSummary] = field(default_factory=dict)
    operations: dict[str, OperationSummary] = field(default_factory=dict)
    """By query_hash. A heartbeat has only the most frequent and most expensive operations."""
    fields: dict[str, FieldSummary] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Seconds from the first to the last request."""
        return max(0.0, self.ended_at - self.began_at)

    def merge(self, other: UsageReport) -> None:
        """Add the report of another worker."""
        self.requests += other.requests
        self.workers += other.workers
        began = [each for each in (self.began_at, other.began_at) if each]
        self.began_at, self.ended_at = min(began, default=0.0), max(self.ended_at, other.ended_at)
        self.callers.merge(other.callers)
        for name, use in other.measures.items():
            self.measures.setdefault(name, MeasureUse()).merge(use)
        for tier, rate in other.rates.items():
            self.rates.setdefault(tier, RateSummary()).merge(rate)
        for key, operation in other.operations.items():
            if key in self.operations:
                self.operations[key].merge(operation)
            elif len(self.operations) < MAX_SHOWN:
                self.operations[key] = operation
        for key, each in other.fields.items():
            if key in self.fields:
                self.fields[key].merge(each)
            elif len(self.fields) < MAX_FIELDS:
                self.fields[key] = each

    def with_tiers(self, kept: Iterable[str], others: str) -> UsageReport:
        """A copy in which the tiers outside of ``kept`` are joined under the name ``others``."""
        names = frozenset(kept)
        measures = {}
        for name, use in self.measures.items():
            folded: dict[str, QuantileSketch] = {}
            for tier, sketch in use.by_tier.items():
                merged(folded, {tier if tier in names else others: sketch})
            measures[name] = MeasureUse(folded, use.ordinary, use.shared, use.ordinary_callers, use.callers)
        rates: dict[str, RateSummary] = {}
        for tier, rate in self.rates.items():
            rates.setdefault(tier if tier in names else others, RateSummary()).merge(rate)
        return UsageReport(
            requests=self.requests, began_at=self.began_at, ended_at=self.ended_at, workers=self.workers,
            callers=self.callers, measures=measures, rates=rates, operations=self.operations, fields=self.fields,
        )  # fmt: skip


# --- as JSON ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """The most of each part that is written of a report: bins of a sketch, callers of a list, operations, fields, and
    tokens of callers."""

    bins: int = MAX_BINS
    callers: int = MOST
    operations: int = MAX_SHOWN
    fields: int = MAX_FIELDS
    tokens: int = 256


def as_json(report: UsageReport, detail: Detail = Detail()) -> dict[str, Any]:
    """The report as plain JSON data."""
    operations = sorted(report.operations.items(), key=lambda item: -_weight(item[1]))[: detail.operations]
    fields = sorted(report.fields.items(), key=lambda item: -item[1].count * item[1].database_us)[: detail.fields]
    return {
        "requests": report.requests,
        "began_at": round(report.began_at, 3),
        "ended_at": round(report.ended_at, 3),
        "callers": report.callers.tokens(detail.tokens),
        "measures": {name: _measure_as_json(use, detail) for name, use in report.measures.items()},
        "rates": {
            tier: [rate.peaks.as_json(detail.bins), rate.callers.as_json(detail.callers)]
            for tier, rate in report.rates.items()
        },
        "operations": {key: _operation_as_json(each) for key, each in operations},
        "fields": {name: [each.count, each.points, each.size, each.database_us] for name, each in fields},
    }


def _weight(operation: OperationSummary) -> int:
    """The rank of an operation in a report: requests, times points and microseconds in the database."""
    return operation.requests * (operation.points + operation.database_us)


def _measure_as_json(use: MeasureUse, detail: Detail) -> list[Any]:
    return [
        {tier: sketch.as_json(detail.bins) for tier, sketch in use.by_tier.items()},
        use.ordinary.as_json(detail.bins),
        use.shared,
        use.ordinary_callers.as_json(detail.callers),
        use.callers.as_json(detail.callers),
    ]


def _operation_as_json(each: OperationSummary) -> list[Any]:
    return [
        *(each.name, each.query_hash, each.requests, each.callers, each.suspicious, each.largest),
        *(each.points, each.database_count, each.database_us),
    ]


def from_json(found: Mapping[str, Any]) -> UsageReport:
    """The report of one worker from JSON data as :func:`as_json` makes it. ValueError for anything else, such as the
    form of another version."""
    try:
        return UsageReport(
            requests=_count(found["requests"]),
            began_at=float(found["began_at"]),
            ended_at=float(found["ended_at"]),
            workers=1,
            callers=CallerCount.from_json(found["callers"]),
            measures={str(name): _measure_of(*given) for name, given in found["measures"].items()},
            rates={
                str(tier): RateSummary(QuantileSketch.from_json(peaks), TopCallers.from_json(callers))
                for tier, (peaks, callers) in found["rates"].items()
            },
            operations={str(key): _operation_of(*given) for key, given in found["operations"].items()},
            fields={
                str(name): FieldSummary(
                    count=_count(count), points=_count(points), size=_count(size), database_us=_count(database_us)
                )
                for name, (count, points, size, database_us) in found["fields"].items()
            },
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"this is no report of usage: {error}") from None


def _count(given: object) -> int:
    if type(given) is not int or given < 0:
        raise ValueError(f"{str(given)[:40]} is no count")
    return given


def _measure_of(
    by_tier: Mapping[str, Any], ordinary: object, shared: object, ordinary_callers: object, callers: object
) -> MeasureUse:
    return MeasureUse(
        {str(tier): QuantileSketch.from_json(sketch) for tier, sketch in by_tier.items()},
        QuantileSketch.from_json(ordinary),
        _count(shared),
        TopCallers.from_json(ordinary_callers),
        TopCallers.from_json(callers),
    )


def _operation_of(
    name: object,
    query_hash: object,
    requests: object,
    callers: object,
    suspicious: object,
    largest: Mapping[str, Any],
    points: object,
    database_count: object,
    database_us: object,
) -> OperationSummary:
    return OperationSummary(
        name=str(name),
        query_hash=str(query_hash),
        requests=_count(requests),
        callers=_count(callers),
        suspicious=_count(suspicious),
        largest={str(measure): _count(number) for measure, number in largest.items()},
        points=_count(points),
        database_count=_count(database_count),
        database_us=_count(database_us),
    )

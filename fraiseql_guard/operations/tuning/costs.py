"""Cost points beside what the database really took: whether they rank operations alike, and which would fit better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.operations.tuning.usage_report import OperationSummary, UsageReport

ENOUGH_TIMES: Final = 20
"""Requests of an operation or a field whose median counts."""
ENOUGH_OPERATIONS: Final = 5
"""Operations that a correlation needs at least, and fields that a comparison does."""
_MISPRICED: Final = 2.0
"""A field is mispriced if its points are off by more than so many times."""
_MOST_POINTS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DearOperation:
    """One operation: how often it came, and its medians. ``callers`` are four at most."""

    name: str
    query_hash: str
    requests: int
    callers: int
    points: int
    database_count: int
    """Its requests with statements."""
    database_us: int
    """Their time in microseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostAdvice:
    """How well points tell what operations take of the database.

    ``correlation`` is Spearman's, from -1 to 1; None where too little is known, and then ``why`` says so. ``fitting``
    are weights that single fields would need, by Type.field; ``value`` is FRAISEQL_GUARD_FIELD_COSTS with them.
    """

    correlation: float | None
    operations: int
    why: str
    fitting: Mapping[str, int]
    value: str
    dearest: Sequence[DearOperation]
    """The operations that have taken the most of the database, or of points where its time is not known."""


def compare_costs(report: UsageReport, settings: Settings, *, top: int = 10) -> CostAdvice:
    """Compare the points of operations with their database time."""
    known = [each for each in report.operations.values() if each.database_count >= ENOUGH_TIMES]
    why, correlation = "", None
    if len(known) < ENOUGH_OPERATIONS:
        why = (
            f"too little is known of the database: {len(known)} operations have {ENOUGH_TIMES} requests with "
            f"statements, and {ENOUGH_OPERATIONS} are needed"
        )
    else:
        correlation = spearman([each.points for each in known], [each.database_us for each in known])
    fitting = {} if why else _fitting(report)
    written = {**settings.field_costs, **fitting} if fitting else {}
    return CostAdvice(
        correlation=correlation,
        operations=len(known),
        why=why,
        fitting=fitting,
        value=",".join(f"{name}={points}" for name, points in written.items()),
        dearest=[_dear(each) for each in sorted(report.operations.values(), key=_taken, reverse=True)[:top]],
    )


def _taken(operation: OperationSummary) -> tuple[int, int]:
    return operation.database_count * operation.database_us, operation.requests * operation.points


def _dear(each: OperationSummary) -> DearOperation:
    return DearOperation(
        name=each.name,
        query_hash=each.query_hash,
        requests=each.requests,
        callers=each.callers,
        points=each.points,
        database_count=each.database_count,
        database_us=each.database_us,
    )


def _fitting(report: UsageReport) -> Mapping[str, int]:
    """Weights of root fields that are priced too low: those with which the median request would have the points that
    its time is worth. One point is worth what it takes in the median of all fields."""
    known = {
        name: each
        for name, each in report.fields.items()
        if each.count >= ENOUGH_TIMES and each.points and each.database_us
    }
    if len(known) < ENOUGH_OPERATIONS:
        return {}
    worth = median(each.database_us / each.points for each in known.values())
    found: dict[str, int] = {}
    for name, each in known.items():
        points = each.database_us / worth
        if not points / _MISPRICED < each.points < points * _MISPRICED:
            # c = n * (w + children): the weight stands once for each item of a list.
            weight = 1 + round((points - each.points) / max(1, each.size))
            # Never below what it is without a weight: a cheaper field is no reason to admit larger requests.
            if weight > 1:
                found[name] = min(_MOST_POINTS, weight)
    return found


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """The rank correlation of two series, -1 to 1; 0 if one of them never changes."""
    ranks, others = _ranks(first), _ranks(second)
    middle = (len(ranks) + 1) / 2
    together = sum((one - middle) * (other - middle) for one, other in zip(ranks, others, strict=True))
    spread = sum((one - middle) ** 2 for one in ranks) * sum((other - middle) ** 2 for other in others)
    return round(together / spread**0.5, 3) if spread else 0.0


def _ranks(values: Sequence[float]) -> list[float]:
    """The rank of each value, from 1 on; equal values share the mean of their ranks."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    place = 0
    while place < len(order):
        end = place
        while end + 1 < len(order) and values[order[end + 1]] == values[order[place]]:
            end += 1
        for index in order[place : end + 1]:
            ranks[index] = (place + end) / 2 + 1
        place = end + 1
    return ranks

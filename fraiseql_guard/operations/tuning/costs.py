"""Compares cost points with the time in the database: whether both rank operations alike, and which points fit
better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.operations.tuning.usage_report import OperationSummary, UsageReport

ENOUGH_TIMES: Final = 20
"""Least requests of an operation or a field for a meaningful median."""
ENOUGH_OPERATIONS: Final = 5
"""Least operations for a correlation, and least fields for a comparison."""
_MISPRICED: Final = 2.0
"""A field is mispriced if its points are too low or too high by at least this factor."""
_MOST_POINTS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DearOperation:
    """One operation with its number of requests and its medians. ``callers`` is the number of its callers; 4 stands for
    4 or more."""

    name: str
    query_hash: str
    requests: int
    callers: int
    points: int
    database_count: int
    """Number of its requests with statements in the database."""
    database_us: int
    """Median of their time in the database, in microseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostAdvice:
    """How well the points of operations agree with their time in the database.

    ``correlation`` is Spearman's, from -1 to 1; None if too little is known, which ``why`` says. ``fitting`` has better
    weights by Type.field; ``value`` is that of FRAISEQL_GUARD_FIELD_COSTS with them, empty without any.
    """

    correlation: float | None
    operations: int
    why: str
    fitting: Mapping[str, int]
    value: str
    dearest: Sequence[DearOperation]
    """The operations that took the most time in the database, or the most points if no time is known."""


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
    """Better weights for root fields that are priced too low: with them, the median request of a field has the points
    that its time is worth. One point is worth its median time over all fields, in microseconds."""
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
            # Never below the default weight: a cheap field is no reason to admit larger requests.
            if weight > 1:
                found[name] = min(_MOST_POINTS, weight)
    return found


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank correlation of two series, -1 to 1; 0 if one of them is constant."""
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

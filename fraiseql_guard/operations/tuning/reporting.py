"""Makes a usage report of usage tables."""

from __future__ import annotations

from collections.abc import Iterable

from fraiseql_guard.operations.tuning.sketch import QuantileSketch
from fraiseql_guard.operations.tuning.usage import OperationUse, UsageTable
from fraiseql_guard.operations.tuning.usage_report import (
    FieldSummary,
    MeasureUse,
    OperationSummary,
    RateSummary,
    UsageReport,
)


def report_of(tables: Iterable[UsageTable]) -> UsageReport:
    """The report of all tables of one process, or of a log. Minutes that are not over count as well."""
    report = UsageReport()
    for table in tables:
        report.merge(_report_of(table))
    report.workers = 1
    return report


def _report_of(table: UsageTable) -> UsageReport:
    report = UsageReport(requests=table.total, began_at=table.began_at, ended_at=table.ended_at)
    report.callers.merge(table.callers)
    for key, operation in table.operations.items():
        _add(report, operation, learned=operation.ordinary, apart=True)
        report.operations[key] = _summary(operation)
    # Rare operations that were joined have no shared number, and limits are not learned from suspicious ones.
    _add(report, table.rest, learned=True, apart=False)
    _add(report, table.suspicious_rest, learned=False, apart=False)
    for tier, peaks in table.rates.now().items():
        report.rates[tier] = RateSummary(*peaks)
    for name, field in table.fields.items():
        report.fields[name] = FieldSummary(
            count=field.database.total,
            points=field.points.quantile(0.5),
            size=field.sizes.quantile(0.5),
            database_us=field.database.quantile(0.5),
        )
    return report


def _add(report: UsageReport, operation: OperationUse, *, learned: bool, apart: bool) -> None:
    """Add the use of an operation to the distributions. ``learned``: limits are learned from it; ``apart``: it is a
    single operation, not several that were joined."""
    for name, by_tier in operation.sketches.items():
        use = report.measures.setdefault(name, MeasureUse())
        for tier, sketch in by_tier.items():
            use.by_tier.setdefault(tier, QuantileSketch()).merge(sketch)
            if learned:
                use.ordinary.merge(sketch)
        if learned and apart:
            use.shared = max(use.shared, operation.shared_number(name))
        for caller, number in operation.callers.get(name, {}).items():
            use.callers.note(caller, number)
            if learned:
                use.ordinary_callers.note(caller, number)


def _summary(operation: OperationUse) -> OperationSummary:
    points = QuantileSketch()
    for sketch in operation.sketches.get("complexity", {}).values():
        points.merge(sketch)
    return OperationSummary(
        name=operation.name,
        query_hash=operation.query_hash,
        requests=operation.total,
        callers=operation.sharers,
        suspicious=operation.suspicious,
        largest={name: operation.largest(name) for name in operation.sketches},
        points=points.quantile(0.5),
        database_count=operation.database.total,
        database_us=operation.database.quantile(0.5),
    )

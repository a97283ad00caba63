"""The result of tuning: the advice for all limits, by the use of an app."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.operations.tuning.advice import advise, assignments
from fraiseql_guard.operations.tuning.costs import CostAdvice, compare_costs
from fraiseql_guard.operations.tuning.limit_advice import LimitAdvice
from fraiseql_guard.operations.tuning.usage_report import UsageReport


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningResult:
    """The advice for all limits and costs, with the use that it is based on."""

    requests: int
    callers: int
    """Estimated number of callers."""
    began_at: float
    """Unix time of the first request; 0 if none was seen."""
    ended_at: float
    operations: int
    """Number of operations that are known one by one."""
    limits: Sequence[LimitAdvice]
    costs: CostAdvice
    values: Mapping[str, str]
    """Values to set, by variable."""
    notes: Sequence[str] = ()
    """Sentences about missing data."""

    @property
    def seconds(self) -> float:
        """Seconds from the first to the last request."""
        return max(0.0, self.ended_at - self.began_at)


def tuning_of(report: UsageReport, settings: Settings, notes: Sequence[str] = ()) -> TuningResult:
    """The tuning result of a report, compared with the settings in force."""
    limits = advise(report, settings)
    return TuningResult(
        requests=report.requests,
        callers=report.callers.estimate(),
        began_at=report.began_at,
        ended_at=report.ended_at,
        operations=len(report.operations),
        limits=limits,
        costs=compare_costs(report, settings),
        values=assignments(limits, settings),
        notes=notes,
    )

"""What the use of an app says about its limits."""

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
    """What requests have asked for, by limit, and which values would fit."""

    requests: int
    callers: int
    """About so many."""
    began_at: float
    """0 if nothing was seen."""
    ended_at: float
    operations: int
    """How many are known by themselves."""
    limits: Sequence[LimitAdvice]
    costs: CostAdvice
    values: Mapping[str, str]
    """What to set, by variable."""
    notes: Sequence[str] = ()
    """Sentences that say what is missing."""

    @property
    def seconds(self) -> float:
        """How long a time it covers."""
        return max(0.0, self.ended_at - self.began_at)


def tuning_of(report: UsageReport, settings: Settings, notes: Sequence[str] = ()) -> TuningResult:
    """The result of what was seen, beside the settings in force."""
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

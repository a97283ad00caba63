"""What is said of one limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fraiseql_guard.operations.tuning.histogram import Histogram

QUANTILES: Final = ("p50", "p99", "p99.9")
PRESENT: Final = "present"
RECOMMENDED: Final = "recommended"
"""Marks in the histogram of a limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a value of a limit would refuse: requests (at most so many), and operations and callers of those that are
    known (at least so many)."""

    requests: int
    share: float
    operations: int | None
    callers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitAdvice:
    """One limit: what was seen, what its value would refuse, and which one is recommended.

    ``recommended`` is None where too little was seen, and ``why`` says so. Numbers are in ``unit``.
    """

    option: str
    variable: str
    """The environment variable of the option."""
    tier: str = ""
    """Whose rate it is, among those of the option ``tiers``."""
    title: str
    unit: str
    present: float
    shown: str
    """The present value as it is written."""
    recommended: float | None
    value: str
    """The recommended value as it is written in a variable; empty without one."""
    sets: str = ""
    """What the variable is to be set to: the recommended value, with all other tiers in that of the tiers; empty if the
    present value is as recommended."""
    why: str
    distribution: Mapping[str, Mapping[str, float]]
    """n, p50, p99, p99.9 and max: of all, and by tier."""
    histogram: Histogram
    at_present: Effect
    as_recommended: Effect | None = None

    @property
    def changes(self) -> bool:
        """Whether another value than the present one is recommended."""
        return bool(self.sets)

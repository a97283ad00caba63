"""The advice for one limit: its distribution, its recommended value, and the effects of both values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fraiseql_guard.operations.tuning.histogram import Histogram

QUANTILES: Final = ("p50", "p99", "p99.9")
PRESENT: Final = "present"
RECOMMENDED: Final = "recommended"
"""Names of marks in the histogram of a limit, beside the QUANTILES."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a value of a limit would refuse: at most so many ``requests`` (of a rate, minutes of callers), their
    ``share`` of all (0 to 1), and at least so many known ``operations`` (None for a rate) and ``callers``."""

    requests: int
    share: float
    operations: int | None
    callers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitAdvice:
    """One limit with its distribution, the effect of its present value, and the recommended value.

    ``recommended`` is None if too little was seen, which ``why`` says; else ``why`` is the reason of the value. Numbers
    are in ``unit``.
    """

    option: str
    variable: str
    """The environment variable of the option."""
    tier: str = ""
    """The tier, for a rate of the option ``tiers``; else empty."""
    title: str
    unit: str
    present: float
    shown: str
    """The present value as text for a variable."""
    recommended: float | None
    value: str
    """The recommended value as text for a variable; empty without one."""
    sets: str = ""
    """The whole value to set the variable to, for ``tiers`` with all other tiers; empty if nothing is to be changed."""
    why: str
    distribution: Mapping[str, Mapping[str, float]]
    """n, p50, p99, p99.9 and max, for ``all`` and for each tier."""
    histogram: Histogram
    at_present: Effect
    as_recommended: Effect | None = None

    @property
    def changes(self) -> bool:
        """Whether a value other than the present one is recommended."""
        return bool(self.sets)

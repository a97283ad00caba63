"""Samples the requests of one process, and adds them up for its heartbeat.

A sampled request costs about twenty microseconds, any other a quarter of one. Of more than 20 requests in a second
every second, third, ... is sampled, and stands for the others. Requests that are refused, or would be, have a sample of
their own. Observations are kept for half a day at least and a day at most, and not over a restart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.operations.tuning.observing import observation
from fraiseql_guard.operations.tuning.reporting import report_of
from fraiseql_guard.operations.tuning.usage import OTHER_TIERS, UsageTable
from fraiseql_guard.operations.tuning.usage_report import Detail, UsageReport, as_json
from fraiseql_guard.telemetry.recorder.measures import measures_of

MAX_BYTES: Final = 10_000
"""Most bytes of the usage report in a heartbeat."""
PER_SECOND: Final = 20
"""About how many requests are sampled in a second; and as many refused ones."""
KEPT_SECONDS: Final = 12 * 3600.0
_FRESH_SECONDS: Final = 10.0
"""For how long a report is written again before another is made, which takes milliseconds."""
_OPERATIONS: Final = 200
_DETAILS: Final = (
    (20, Detail(bins=48, callers=6, operations=20, fields=20, tokens=64)),
    (8, Detail(bins=32, callers=5, operations=15, fields=10, tokens=64)),
    (4, Detail(bins=24, callers=4, operations=10, fields=5, tokens=32)),
    (1, Detail(bins=16, callers=4, operations=5, fields=0, tokens=16)),
)
"""Number of tiers that are kept apart, and the detail: the first pair is used with which the report is small enough."""


class _Sample:
    """Chooses every n-th request (``step``), so that about PER_SECOND are chosen in a second."""

    __slots__ = ("began_at", "count", "looked", "skip", "step")

    def __init__(self) -> None:
        self.step = 1
        """How many requests a chosen request stands for."""
        self.skip = 1
        """Number of requests until the next chosen one."""
        self.count = self.looked = 0
        self.began_at = 0.0

    def chosen(self, now: float) -> int:
        """Return how many requests the chosen one stands for, and set the step to the next."""
        weight = self.step
        self.looked += 1
        elapsed = now - self.began_at
        if elapsed >= 1.0:
            # By the requests a second since the step was last set.
            self.step = max(1, int(self.count / elapsed / PER_SECOND))
            self.count, self.looked, self.began_at = 0, 0, now
        elif self.looked >= PER_SECOND:  # the load has grown: do not wait for the end of the second
            self.step, self.looked = 2 * self.step, 0
        self.skip = self.step
        return weight


class UsageWatch:
    """The usage of this process, by samples of its requests. ``clock`` counts seconds, ``now`` is Unix time."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, now: Callable[[], float] = time.time) -> None:
        self._clock, self._now = clock, now
        self._passed, self._refused = _Sample(), _Sample()
        self._table, self._before = UsageTable(_OPERATIONS), UsageTable(_OPERATIONS)
        self._turns_at = clock() + KEPT_SECONDS
        self._made_at = 0.0
        self._made: Mapping[str, Any] | None = None

    def note(self, ctx: RequestContext, seconds: float, times: int = 1) -> None:
        """Count a request that has ended after ``seconds``, or ``times`` requests like it that took ``seconds`` in
        all."""
        if not ctx.operation:
            return
        sample = self._passed if ctx.denial is None and not ctx.would_refuse else self._refused
        sample.count += times
        sample.skip -= 1
        if sample.skip > 0:
            return
        now = self._clock()
        weight = sample.chosen(now)
        if now >= self._turns_at:
            self._table, self._before = UsageTable(_OPERATIONS), self._table
            self._turns_at = now + KEPT_SECONDS
        measured = ctx.measured
        seen = observation(
            measures_of(ctx),
            at=ctx.ended_at or self._now(),
            duration_ms=seconds * 1000 / times,
            operation=measured.name if measured is not None else None,
            query_hash=ctx.query_hash,
            weight=weight * times,
            known=times,
        )
        if seen is not None:
            self._table.add(seen)

    def report(self) -> UsageReport:
        """The report of all requests so far."""
        return report_of((self._before, self._table))

    def for_heartbeat(self) -> Mapping[str, Any] | None:
        """The report as JSON data of at most MAX_BYTES, made anew every ten seconds; None if nothing was seen."""
        now = self._clock()
        if self._made is None or now >= self._made_at + _FRESH_SECONDS:
            self._made_at, self._made = now, self._bounded()
        return self._made

    def _bounded(self) -> Mapping[str, Any] | None:
        report = self.report()
        if not report.requests:
            return None
        busiest = sorted(report.rates, key=lambda tier: -report.rates[tier].peaks.total)
        for tiers, detail in _DETAILS:
            found = as_json(report.with_tiers(busiest[:tiers], OTHER_TIERS), detail)
            if len(orjson.dumps(found)) <= MAX_BYTES:
                return found
        return None

"""Watches the requests of one process, and sums them up for its heartbeat.

A request that is left out costs a tenth of a microsecond, one that is looked at about ten; of more than 50 in a second
every second, third, ... one is looked at, and stands for the others. Those that are refused, or would be, have a sample
of their own. What was seen is kept for half a day at least and a day at most; a restart begins anew.
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
"""Most bytes of a heartbeat that are about usage."""
PER_SECOND: Final = 50
"""Requests of a second that are looked at, about; and as many refused ones."""
KEPT_SECONDS: Final = 12 * 3600.0
_FRESH_SECONDS: Final = 10.0
"""How old a report may be that is written again: to make one takes milliseconds."""
_OPERATIONS: Final = 200
_DETAILS: Final = (
    (20, Detail(bins=48, callers=6, operations=20, fields=20, tokens=64)),
    (8, Detail(bins=32, callers=5, operations=15, fields=10, tokens=64)),
    (4, Detail(bins=24, callers=4, operations=10, fields=5, tokens=32)),
    (1, Detail(bins=16, callers=4, operations=5, fields=0, tokens=16)),
)
"""Tiers that are told apart, and the detail: the first of these with which a report is small enough."""


class _Sample:
    """Every so many-th request: so many that about PER_SECOND of each second are chosen."""

    __slots__ = ("_count", "_ends_at", "_skip", "step")

    def __init__(self) -> None:
        self.step = 1
        """How many requests a chosen one stands for."""
        self._skip = 0
        self._count = 0
        self._ends_at = 0.0

    def turn(self, now: float, times: int) -> None:
        """Count requests, and choose the step by the last second."""
        self._count += times
        if now >= self._ends_at:
            # Of a pause no more is known than of its last second.
            self.step = max(1, self._count // PER_SECOND)
            self._count, self._ends_at = 0, now + 1.0

    def chooses(self) -> bool:
        """Whether the next request is looked at."""
        self._skip += 1
        if self._skip < self.step:
            return False
        self._skip = 0
        return True


class UsageWatch:
    """What requests of this process have asked for. ``clock`` counts seconds, ``now`` is Unix time."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, now: Callable[[], float] = time.time) -> None:
        self._clock, self._now = clock, now
        self._samples = (_Sample(), _Sample())
        self._table, self._before = UsageTable(_OPERATIONS), UsageTable(_OPERATIONS)
        self._turns_at = clock() + KEPT_SECONDS
        self._made_at = 0.0
        self._made: Mapping[str, Any] | None = None

    def note(self, ctx: RequestContext, seconds: float, times: int = 1) -> None:
        """Count a request that has ended after so many seconds, or ``times`` like it, after so many together."""
        if not ctx.operation:
            return
        sample = self._samples[ctx.denial is not None or bool(ctx.would_refuse)]
        now = self._clock()
        sample.turn(now, times)
        if not sample.chooses():
            return
        if now >= self._turns_at:
            self._table, self._before = UsageTable(_OPERATIONS), self._table
            self._turns_at = now + KEPT_SECONDS
        measured = ctx.measured
        seen = observation(
            measures_of(ctx),
            at=self._now(),
            duration_ms=seconds * 1000 / times,
            operation=measured.name if measured is not None else None,
            query_hash=ctx.query_hash,
            weight=sample.step * times,
            known=times,
        )
        if seen is not None:
            self._table.add(seen)

    def report(self) -> UsageReport:
        """Everything, as it is now."""
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

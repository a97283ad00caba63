"""The limits that would fit what the fleet's requests ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fraiseql_guard.core.signals import KeyFamily
from fraiseql_guard.operations.operator.deps import OperatorDeps
from fraiseql_guard.operations.operator.records import Heartbeat
from fraiseql_guard.operations.operator.setting_overrides import setting_overrides
from fraiseql_guard.operations.tuning.advice import ENOUGH_CALLERS, ENOUGH_REQUESTS
from fraiseql_guard.operations.tuning.result import TuningResult, tuning_of
from fraiseql_guard.operations.tuning.usage_report import UsageReport, from_json


class LimitsAdvising:
    """The operator's method about the limits that fit."""

    def __init__(self, deps: OperatorDeps) -> None:
        self._deps = deps

    async def limits_advice(self) -> TuningResult:
        """Operator.limits_advice."""
        # The limits in force, as a worker reads what operators have set.
        settings = setting_overrides(await self._deps.control()).applied_to(self._deps.settings)
        beats = await self._deps.heartbeats()
        report, workers = await self._added_up(beats)
        notes = []
        if workers < len(beats):
            notes.append(
                f"{len(beats) - workers} of {len(beats)} workers tell of no request: they have served none since "
                "their start, or are of an older version"
            )
        if not report.requests:
            notes.append(
                f"no GraphQL request was seen yet: {ENOUGH_REQUESTS:,} ordinary ones of {ENOUGH_CALLERS} callers are "
                "needed"
            )
        # The distributions of a large fleet take 20 ms: requests go on meanwhile.
        return await asyncio.to_thread(tuning_of, report, settings, notes)

    async def _added_up(self, beats: Sequence[Heartbeat]) -> tuple[UsageReport, int]:
        """What the workers tell together, and how many of them do."""
        total, workers = UsageReport(), 0
        for beat in beats:
            if beat.usage is None:  # no request yet, or an older version
                continue
            try:
                total.merge(from_json(beat.usage))
            except ValueError:
                self._deps.store.unreadable.note(KeyFamily.HEARTBEATS, beat.worker.id, "tells of usage in another form")
                continue
            workers += 1
            await asyncio.sleep(0)
        return total, workers

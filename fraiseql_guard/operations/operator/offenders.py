"""The callers that were refused most, from the heartbeats of all workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.operations.operator.interface import Offender
from fraiseql_guard.operations.operator.records import CallerCounts, Heartbeat
from fraiseql_guard.operations.operator.targets import target_of


def offenders_among(beats: Iterable[Heartbeat], count: int) -> Sequence[Offender]:
    """The ``count`` callers with the most refusals, the worst first."""
    # The same caller may have been refused by several workers.
    seen: dict[tuple[str, str], list[CallerCounts]] = {}
    for beat in beats:
        for caller in beat.callers:
            seen.setdefault((caller.kind, caller.name), []).append(caller)
    found = [_offender(callers) for callers in seen.values()]
    worst = sorted(found, key=lambda each: (-each.refusals, -each.requests))
    return [each for each in worst if each.refusals][: max(0, count)]


def _offender(callers: Sequence[CallerCounts]) -> Offender:
    first, codes = callers[0], Counter[str]()
    for caller in callers:
        codes.update(caller.by_code)
    return Offender(
        target=target_of(Subject(first.kind, first.name, first.group)),  # type: ignore[arg-type]
        requests=sum(each.requests for each in callers),
        refusals=sum(each.refusals for each in callers),
        by_code=dict(codes.most_common()),
    )

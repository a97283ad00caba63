"""Observations as a log or a worker would bring them."""

from __future__ import annotations

from fraiseql_guard.operations.tuning.observing import Observation
from fraiseql_guard.operations.tuning.reporting import report_of
from fraiseql_guard.operations.tuning.usage import UsageTable
from fraiseql_guard.operations.tuning.usage_report import UsageReport

START = 1_700_000_000.0


def request_of(caller: object, operation: str = "Home", *, at: float = START, **changes: object) -> Observation:
    """One request; ``numbers`` by measure are among the keywords."""
    known = {name: changes.pop(name) for name in list(changes) if name in Observation.__dataclass_fields__}
    numbers = {"depth": 3, "complexity": 40} | {name: int(value) for name, value in changes.items()}
    given = {"tier": "free", "query_hash": f"hash of {operation}", "operation": operation} | known
    return Observation(at=at, caller=f"caller {caller}", numbers=numbers, **given)


def table_of(*seen: Observation, max_operations: int = 2_000) -> UsageTable:
    """A table that has seen them."""
    table = UsageTable(max_operations)
    for each in seen:
        table.add(each)
    return table


def report_on(*seen: Observation) -> UsageReport:
    """What a log with them comes to."""
    return report_of([table_of(*seen)])


def ordinary(count: int = 2_000, callers: int = 50, **changes: object) -> list[Observation]:
    """Enough ordinary requests: of one operation that all callers share, a second apart."""
    return [request_of(number % callers, at=START + number, **changes) for number in range(count)]

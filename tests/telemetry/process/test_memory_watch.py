"""A threshold is reported once for each time it is passed."""

import pytest

from fraiseql_guard.telemetry.process import Memory
from fraiseql_guard.telemetry.process.memory_watch import MemoryWatch


class Told:
    def __init__(self) -> None:
        self.events: list[str] = []

    def memory_used(self, memory: Memory) -> None:
        pass

    def memory_high(self, memory: Memory, threshold_percent: float) -> None:
        self.events.append(f"high {memory.used_bytes} of {threshold_percent}")

    def memory_critical(self, memory: Memory) -> None:
        self.events.append(f"critical {memory.used_bytes}")


@pytest.mark.parametrize(
    ("course", "events"),
    [
        ([50, 69], []),
        ([50, 70, 80, 85], ["high 70 of 70"]),
        ([70, 69, 70, 66, 75], ["high 70 of 70"]),  # around the threshold
        ([70, 65, 70], ["high 70 of 70", "high 70 of 70"]),  # well below it in between
        ([75, 92, 89, 95, 84, 91], ["high 75 of 70", "critical 92", "critical 91"]),
        ([99], ["high 99 of 70", "critical 99"]),
        ([None, 75, None, 75], ["high 75 of 70"]),
    ],
)
def test_once_for_each_crossing(course, events) -> None:
    looks = iter(course)

    def read() -> Memory | None:
        used = next(looks)
        return None if used is None else Memory(used, 100)

    told = Told()
    watch = MemoryWatch(high_percent=70, critical_percent=90, read=read)
    for used in course:
        watch.look(told)
        assert watch.percent == (used or 0)
    assert told.events == events

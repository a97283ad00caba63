"""Garbage is collected on demand, and what was found is told."""

import gc

from fraiseql_guard.host.garbage import collect_garbage


def test_cycles_are_found_and_counted(guarded) -> None:
    guard = guarded().guard
    gc.collect()
    for _ in range(100):
        cycle: list = []
        cycle.append(cycle)
    del cycle
    found = guard.collect_garbage()
    assert found.objects >= 100
    assert found.duration_seconds > 0
    assert found.freed_bytes is not None
    assert found.freed_bytes >= 0


def test_where_the_system_does_not_tell_the_freed_bytes_are_unknown(tmp_path) -> None:
    assert collect_garbage(tmp_path).freed_bytes is None

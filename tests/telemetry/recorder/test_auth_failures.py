"""Failures are remembered for their window, each is told once, and the memory is bounded."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from fraiseql_guard.telemetry.recorder.auth_failures import RecentFailures

STEP = st.tuples(st.sampled_from(["fail", "succeed"]), st.sampled_from("ab"), st.integers(0, 60))


@settings(deadline=None)
@given(st.lists(STEP, max_size=60))
def test_a_success_tells_the_failures_since_the_last_one(steps):
    memory, now, failures = RecentFailures(100), 0, {"a": [], "b": []}
    for what, who, pause in steps:
        now += pause
        if failures[who] and now - failures[who][-1] >= 100:
            failures[who] = []
        if what == "fail":
            memory.note(who, now)
            failures[who].append(now)
        else:
            assert memory.take(who, now) == len(failures[who])
            failures[who] = []


def test_the_memory_does_not_grow_with_the_callers():
    memory = RecentFailures(100)
    for number in range(30_000):
        memory.note(f"caller-{number}", 0.0)
    assert len(memory) <= 10_000
    assert memory.take("caller-29999", 1.0) == 1

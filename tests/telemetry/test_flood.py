"""The flood limits keep exact accounts in bounded memory."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from fraiseql_guard.telemetry.flood import LINES_PER_EVENT, LINES_PER_SUBJECT, FloodLimits


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 4)), max_size=300))
def test_every_line_is_written_or_owned_up_to(lines):
    flood = FloodLimits()
    answers = [flood.admit("event", subject, second) for subject, second in sorted(lines, key=lambda line: line[1])]
    final = [flood.admit("event", subject, 10.0) for subject in "abc"]
    written = [answer for answer in answers if answer is not None]
    assert len(written) + sum(written) + sum(answer or 0 for answer in final) == len(lines)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3)), max_size=300))
def test_no_second_has_more_lines_of_a_subject(lines):
    flood = FloodLimits()
    written: dict[tuple[str, int], int] = {}
    for subject, second in sorted(lines, key=lambda line: line[1]):
        if flood.admit("event", subject, second) is not None:
            written[subject, second] = written.get((subject, second), 0) + 1
    assert all(count <= LINES_PER_SUBJECT for count in written.values())


def test_memory_does_not_grow_with_the_subjects():
    flood = FloodLimits()
    for n in range(20_000):
        flood.admit("event", f"subject-{n}", 1.0)
    (state,) = flood._events.values()
    assert len(state.by_subject) <= LINES_PER_EVENT
    assert len(state.owed) <= 1000
    assert flood.admit("event", "somebody", 2.0) == 20_000 - LINES_PER_EVENT - 1000

"""Counts stay in bounds, and what is frequent is never forgotten."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.operations.log_analysis.counting import Timeline, TopCounter


@given(st.lists(st.tuples(st.integers(0, 40).map(str), st.integers(1, 5))), st.integers(1, 8))
def test_counts_are_right_within_the_stated_error(events, max_names):
    counter, exact = TopCounter(max_names), Counter()
    for name, amount in events:
        counter.add(name, amount)
        exact[name] += amount
    assert counter.total == exact.total()
    assert len(counter) <= 2 * max_names
    for name, amount in exact.items():
        assert amount - counter.error <= counter[name] <= amount
    assert counter.error * max_names <= counter.total
    top = counter.top(3)
    assert top == sorted(top, key=lambda each: -each[1])


def test_a_flood_of_names_does_not_hide_the_frequent_one():
    counter = TopCounter(10)
    for n in range(10_000):
        counter.add(f"stranger {n}")
        counter.add("attacker")
    assert counter.top(1)[0][0] == "attacker"
    assert counter["attacker"] > 9_000
    assert counter.share() > 0.4


def test_an_empty_counter():
    assert (TopCounter().share(), TopCounter().top(3), len(TopCounter())) == (0.0, [], 0)


def test_a_year_is_as_short_as_an_hour():
    timeline = Timeline()
    for day in range(1, 29):
        for month in range(1, 13):
            for hour in range(24):
                timeline.add(f"2026-{month:02}-{day:02}T{hour:02}:30:00.000Z", 2)
    assert timeline.unit == "day"
    assert len(timeline.moments) == 28 * 12
    assert sum(timeline.moments.values()) == 28 * 12 * 24 * 2
    assert list(timeline.moments) == sorted(timeline.moments)

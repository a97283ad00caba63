"""The benchmark's figures hold on a machine that others use too."""

from __future__ import annotations

import statistics
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.pairs import added, calmest, median_of, order

VALUES = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=300)


@given(VALUES)
def test_the_median_lies_in_its_interval_which_lies_in_the_values(values: list[float]) -> None:
    found = median_of(values)
    assert min(values) <= found.low <= found.value <= found.high <= max(values)
    assert found.value == statistics.median(values)


@given(VALUES, st.floats(-1e3, 1e3), st.data())
def test_what_slows_a_round_down_is_in_no_difference(values: list[float], more: float, data: st.DataObject) -> None:
    slowed = [value + data.draw(st.floats(0, 1e3)) for value in values]
    assert added([value + more for value in slowed], slowed).value == pytest.approx(more, abs=1e-6)


def test_a_few_spoilt_rounds_are_not_felt() -> None:
    base = [5.0] * 100
    found = added([5.3] * 90 + [500.0] * 10, base)
    assert (found.value, found.low, found.high) == pytest.approx((0.3, 0.3, 0.3))
    assert calmest([4.0] + [5.0] * 20) == 5.0  # no single lucky round


def test_without_values_there_is_no_figure() -> None:
    with pytest.raises(ValueError, match="no values"):
        median_of([])


@pytest.mark.parametrize("rows", [2, 5, 6])
def test_every_row_runs_at_every_place_equally_often(rows: int) -> None:
    places = Counter((place, row) for number in range(2 * rows) for place, row in enumerate(order(rows, number)))
    assert set(places.values()) == {2}
    assert len(places) == rows * rows

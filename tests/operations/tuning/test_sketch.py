"""Quantiles in bounded memory: within 2 % of the truth, and the same in whatever order they are merged."""

from __future__ import annotations

import math

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.operations.tuning.sketch import MAX_BINS, MAX_NUMBER, RELATIVE_ERROR, QuantileSketch
from tests.support.properties import examples

NUMBERS = st.integers(min_value=0, max_value=10**7) | st.integers(min_value=0, max_value=MAX_NUMBER)
SOME = st.lists(NUMBERS, max_size=60)
PARTS = (0.1, 0.5, 0.9, 0.99, 0.999, 1.0)


def sketch_of(numbers, max_bins=MAX_BINS):
    found = QuantileSketch(max_bins)
    for number in numbers:
        found.add(number)
    return found


def true_quantile(numbers, part):
    return sorted(numbers)[max(1, math.ceil(part * len(numbers) - 1e-9)) - 1]


@examples(200)
@given(st.lists(NUMBERS, min_size=1, max_size=200))
def test_a_quantile_errs_by_two_percent_at_most(numbers):
    found = sketch_of(numbers)
    for part in PARTS:
        truth = true_quantile(numbers, part)
        assert abs(found.quantile(part) - truth) <= truth * RELATIVE_ERROR + 0.5


@given(st.lists(st.integers(0, 24), min_size=1, max_size=100))
def test_small_numbers_have_no_error(numbers):
    found = sketch_of(numbers)
    assert [found.quantile(part) for part in PARTS] == [true_quantile(numbers, part) for part in PARTS]
    assert all(found.above(limit) == sum(each > limit for each in numbers) for limit in range(25))


@given(SOME, NUMBERS)
def test_what_is_above_a_number_is_never_said_to_be_less(numbers, limit):
    found, above = sketch_of(numbers), sum(each > limit for each in numbers)
    assert found.above(limit) >= above
    # Too many by those of one bin at most.
    assert found.above(limit) <= sum(each > limit / 1.05 for each in numbers)


@examples(200)
@given(SOME, SOME, SOME, st.integers(2, 40))
def test_the_order_of_merging_makes_no_difference(first, second, third, max_bins):
    def merged(*parts):
        found = QuantileSketch(max_bins)
        for part in parts:
            found.merge(part)
        return found

    one, two, three = (sketch_of(each, max_bins) for each in (first, second, third))
    left = merged(merged(one, two), three).as_json()
    assert left == merged(one, merged(two, three)).as_json()
    assert left == merged(three, one, two).as_json()
    assert left == sketch_of(first + second + third, max_bins).as_json()


@given(st.lists(NUMBERS, max_size=300), st.integers(1, 20))
def test_its_size_is_bounded_and_its_largest_numbers_stay_exact(numbers, max_bins):
    found = sketch_of(numbers, max_bins)
    assert len(found.as_json()) <= 3 * max_bins + 1
    assert found.total == len(numbers)
    assert found.largest == max(numbers, default=0)


def test_a_million_different_numbers_take_a_few_kilobytes():
    found = QuantileSketch()
    for number in range(0, 10**9, 10_000):
        found.add(number)
    assert len(orjson.dumps(found.as_json())) < 8_000
    assert abs(found.quantile(0.99) - 0.99e9) < 0.02e9


@given(SOME, st.integers(1, 1_000))
def test_it_comes_back_from_json_and_counts_weights(numbers, weight):
    found = QuantileSketch()
    for number in numbers:
        found.add(number, weight)
    again = QuantileSketch.from_json(orjson.loads(orjson.dumps(found.as_json())))
    assert (again.as_json(), again.total) == (found.as_json(), len(numbers) * weight)


@pytest.mark.parametrize(
    "foreign",
    [None, 5, "abc", [], [1, 2], [0, 1, 2, 3, 4], [-1], [0, 1, -5, 2], [0, 1, 2, 0], [0, 99_999, 1, 5], [0.5],
     [True], [0, *([1, 1, 1] * (MAX_BINS + 1))], {"a": 1}],
)  # fmt: skip
def test_what_is_no_sketch_is_refused(foreign):
    with pytest.raises(ValueError, match="sketch"):
        QuantileSketch.from_json(foreign)

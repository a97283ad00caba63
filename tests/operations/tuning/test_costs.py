"""Cost points beside the database's time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.operations.tuning.costs import compare_costs, spearman
from tests.operations.tuning.seen import report_on, request_of

SETTINGS = Settings.load({}, field_costs="User.posts=10")


def of_fields(*fields, times=30):
    """Requests for single root fields: name, points, database milliseconds, and perhaps the size of a list."""
    return report_on(
        *[
            request_of(n, f"Of {name}", fields=(name,), complexity=points, database_ms=ms, **dict(*more))
            for name, points, ms, *more in fields
            for n in range(times)
        ]
    )


EVEN = [(f"f{n}", n * 10, n * 5.0) for n in range(1, 8)]


def test_points_that_rank_operations_as_the_database_does():
    found = compare_costs(of_fields(*EVEN), SETTINGS)
    assert (found.correlation, found.operations, found.why, found.fitting) == (1.0, 7, "", {})
    assert found.dearest[0].name == "Of f7"


def test_a_field_that_is_far_too_cheap_gets_a_weight():
    found = compare_costs(of_fields(*EVEN, ("search", 10, 250.0)), SETTINGS)
    assert list(found.fitting) == ["Query.search"]
    assert 450 < found.fitting["Query.search"] < 550
    assert found.value == f"User.posts=10,Query.search={found.fitting['Query.search']}"


def test_the_weight_of_a_list_stands_once_for_each_item():
    found = compare_costs(of_fields(*EVEN, ("search", 10, 250.0, {"list_size": 10})), SETTINGS)
    assert 45 <= found.fitting["Query.search"] <= 55


def test_a_field_that_is_too_dear_stays_as_it_is():
    assert compare_costs(of_fields(*EVEN, ("cheap", 500, 1.0)), SETTINGS).fitting == {}


@pytest.mark.parametrize("report", [report_on(), of_fields(*EVEN[:4]), of_fields(*EVEN, times=19)])
def test_too_little_is_said_to_be_too_little(report):
    found = compare_costs(report, SETTINGS)
    assert (found.correlation, found.fitting, found.value) == (None, {}, "")
    assert found.why.startswith("too little is known of the database")


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=30))
def test_a_rank_correlation_is_between_minus_one_and_one(pairs):
    first, second = zip(*pairs, strict=True)
    found = spearman(first, second)
    assert -1 <= found <= 1
    assert found == spearman(second, first)
    assert spearman(first, first) in (0, 1)
    assert spearman(first, [-each for each in first]) in (0, -1)


def test_known_correlations():
    assert spearman([106, 100, 86, 101, 99, 103, 97, 113, 112, 110], [7, 27, 2, 50, 28, 29, 20, 12, 6, 17]) == -0.176
    assert spearman([1, 2, 2, 3], [1, 2, 3, 4]) == 0.949

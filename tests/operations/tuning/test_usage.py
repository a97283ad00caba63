"""Use is summed up in bounded memory, and several workers' sums come to the same as one's."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.operations.tuning.observing import BucketLevel, of_line
from fraiseql_guard.operations.tuning.reporting import report_of
from fraiseql_guard.operations.tuning.top_callers import CallerCount, TopCallers
from fraiseql_guard.operations.tuning.usage import MAX_TIERS, OTHER_TIERS
from fraiseql_guard.operations.tuning.usage_report import UsageReport, as_json, from_json
from tests.operations.tuning.seen import START, ordinary, report_on, request_of, table_of
from tests.support.properties import examples

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


def test_a_report_comes_back_from_json():
    found = report_on(*ordinary(300), request_of("x", "Other", database_ms=2.5, fields=("users",), complexity=9))
    again = from_json(orjson.loads(orjson.dumps(as_json(found))))
    assert as_json(again) == as_json(found)
    assert (again.requests, again.callers.estimate(), again.seconds) == (301, 51, 299)
    assert again.fields["Query.users"].database_us == 2_500


@examples(30)
@given(st.integers(1, 4))
def test_several_workers_have_seen_what_one_would_have(workers):
    seen = [request_of(n % 30, f"Operation {n % 7}", at=START + n, complexity=n % 90) for n in range(500)]
    total = UsageReport()
    for worker in range(workers):
        total.merge(from_json(as_json(report_on(*seen[worker::workers]))))
    one = report_on(*seen)
    assert total.workers == workers
    for name, use in one.measures.items():
        assert total.measures[name].everything.as_json() == use.everything.as_json()
        assert total.measures[name].ordinary.as_json() == use.ordinary.as_json()
    assert (total.requests, total.callers.estimate()) == (one.requests, one.callers.estimate())
    assert {key: each.requests for key, each in total.operations.items()} == {
        key: each.requests for key, each in one.operations.items()
    }


@examples(100)
@given(JSON, st.sampled_from(["requests", "began_at", "callers", "measures", "rates", "operations", "fields"]))
def test_another_programs_report_is_refused_and_raises_nothing_else(foreign, part):
    found = as_json(report_on(*ordinary(20)))
    found[part] = foreign
    try:
        as_json(from_json(found))
    except ValueError as error:
        assert "this is no report of usage" in str(error)  # noqa: PT017 - some are readable by chance


def test_a_flood_of_different_documents_takes_no_more_room_and_pushes_out_no_shared_one():
    flood = [request_of("attacker", f"Attack {n}", depth=50, code="QUERY_TOO_DEEP") for n in range(2_000)]
    table = table_of(*ordinary(100, callers=4), *flood, max_operations=50)
    assert len(table.operations) <= 100
    found = report_of([table])
    assert found.operations["hash of Home"].requests == 100
    assert found.measures["depth"].everything.total == 2_100
    # The attacks that became one are no more learned from than before.
    assert found.measures["depth"].ordinary.largest == 3


def test_tiers_are_bounded():
    found = report_on(*[request_of(n, tier=f"tier {n}") for n in range(MAX_TIERS + 10)])
    tiers = found.measures["depth"].by_tier
    assert len(tiers) == MAX_TIERS + 1
    assert tiers[OTHER_TIERS].total == 10


def test_callers_are_counted_about_right():
    count, half = CallerCount(), CallerCount()
    import hashlib

    for number in range(20_000):
        token = hashlib.blake2b(str(number).encode(), digest_size=6).hexdigest()
        (half if number % 2 else count).note(token)
    count.merge(half)
    assert 16_000 < count.estimate() < 24_000


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 100)), max_size=40))
def test_the_largest_of_each_caller_is_kept(pairs):
    found = TopCallers(8)
    for caller, number in pairs:
        found.note(caller, number)
    truth = {}
    for caller, number in pairs:
        truth[caller] = max(number, truth.get(caller, 0))
    assert dict(found.ranked()) == truth
    assert found.above(50) == sum(number > 50 for number in truth.values())


# --- rates ------------------------------------------------------------------------------------------------------------


def peaks_of(*seen):
    [rate] = report_on(*seen).rates.values()
    return rate


def test_sixty_seconds_anywhere_count_and_not_only_minutes_of_the_clock():
    # 30 requests before a minute ends, and 30 after it has.
    minute = START - START % 60
    seen = [request_of("x", at=minute + 30 + n) for n in range(60)]
    assert peaks_of(*seen).peaks.largest == 60


@given(st.lists(st.floats(0, 600), min_size=1, max_size=80))
def test_the_count_is_never_too_small(moments):
    moments.sort()
    found = peaks_of(*[request_of("x", at=START + each) for each in moments]).peaks.largest
    most = max(sum(begin <= each < begin + 60 for each in moments) for begin in moments)
    assert most <= found
    assert found <= max(sum(begin - 1 <= each < begin + 71 for each in moments) for begin in moments)


def test_what_a_caller_sends_to_other_workers_shows_in_the_level_of_its_bucket():
    # One of four requests is seen here; the bucket that all workers share has gone down by four.
    seen = [
        request_of("x", at=START + n, bucket=BucketLevel(used=4 * (n + 1) - n * 0.5, capacity=100, refill=0.5))
        for n in range(10)
    ]
    assert 38 <= peaks_of(*seen).peaks.largest <= 42


# --- lines of a log ---------------------------------------------------------------------------------------------------

MEASURES = {"caller": "abc", "tier": "pro", "kind": "query", "depth": 4, "complexity": 55, "fields": ["users"]}


def line(**changes):
    return {"duration_ms": 12.5, "operation": "Home", "query_hash": "f00", "measures": MEASURES} | changes


def test_a_line_is_read_with_its_weight():
    found = of_line(line(sample_rate=10), "2027-01-15T08:00:00.500Z", 4)
    assert (found.weight, found.known, found.tier, found.operation) == (50, 5, "pro", "Home")
    assert found.numbers == {"depth": 4, "complexity": 55, "query_ms": 13}
    assert found.at == 1_800_000_000.5


@pytest.mark.parametrize(
    "context",
    [{}, {"measures": None}, {"measures": 5}, {"measures": {}}, {"measures": {"caller": 5, "tier": "x"}}],
)
def test_a_line_without_measures_is_none(context):
    assert of_line(context, "2027-01-15T08:00:00Z", 0) is None


def test_numbers_of_another_program_are_left_out():
    odd = MEASURES | {"depth": -1, "complexity": "many", "offset": True, "fields": [5, "a"]}
    odd |= {"used": "x", "database_ms": []}
    found = of_line(line(measures=odd, duration_ms=None, sample_rate="10"), "yesterday", 0)
    assert (found.numbers, found.fields, found.bucket, found.database_ms, found.weight) == ({}, ("a",), None, None, 1)


def test_a_document_that_was_refused_unmeasured_tells_its_number_all_the_same():
    refused = {"caller": "abc", "tier": "pro", "code": "QUERY_TOO_DEEP", "enforced": True, "actual": 40}
    assert of_line(line(measures=refused), "2027-01-15T08:00:00Z", 0).numbers == {"depth": 40}

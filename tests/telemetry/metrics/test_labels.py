"""Floods of label values: bounded series, exact sums, and nothing hidden that need not be."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraiseql_guard.core import signals as s
from fraiseql_guard.core.signals import ANONYMOUS, OTHER, UNKNOWN
from fraiseql_guard.telemetry import Metrics
from fraiseql_guard.telemetry.metrics.labels import LabelBounds, LabelLimits, escape_label
from fraiseql_guard.telemetry.metrics.series import UNUSED_SECONDS, RecordedMetric
from tests.support.properties import examples
from tests.telemetry.metrics.scrape import Scrape

LIMIT = s.RATE_LIMIT_EXCEEDED


def scrape(metrics: Metrics) -> Scrape:
    return Scrape(metrics.render())


def test_a_flood_of_addresses_does_not_hide_the_users():
    metrics = Metrics()
    for n in range(1000):
        metrics.inc(LIMIT, f"user-{n % 3}", f"192.0.2.{n}")
    series = scrape(metrics).of(LIMIT)
    by_user = Counter()
    for (user, _), value in series.items():
        by_user[user] += value
    assert by_user == {"user-0": 334, "user-1": 333, "user-2": 333}
    assert len({ip for _, ip in series}) == 201
    assert series["user-0", OTHER] > 0


def test_a_flood_of_users_does_not_hide_the_address_it_comes_from():
    metrics = Metrics()
    for n in range(1000):
        metrics.inc(LIMIT, f"user-{n}", "192.0.2.1")
    series = scrape(metrics).of(LIMIT)
    assert {ip for _, ip in series} == {"192.0.2.1"}
    assert len({user for user, _ in series}) == 201
    assert series[OTHER, "192.0.2.1"] == 800


def test_a_flood_of_both_leaves_the_anonymous_and_earlier_callers_visible():
    metrics = Metrics()
    metrics.inc(LIMIT, "alice", "192.0.2.1")
    for n in range(2000):
        metrics.inc(LIMIT, f"user-{n}", f"10.0.{n // 256}.{n % 256}")
    metrics.inc(LIMIT, ANONYMOUS, "198.51.100.1")
    metrics.inc(LIMIT, "alice", "192.0.2.1")
    metrics.inc(LIMIT, "alice", "198.51.100.7")
    series = scrape(metrics).of(LIMIT)
    assert series["alice", "192.0.2.1"] == 2
    assert series["alice", OTHER] == 1
    assert series[ANONYMOUS, OTHER] == 1
    assert series[OTHER, OTHER] == 1801
    assert sum(series.values()) == 2004
    assert scrape(metrics).value(s.LABEL_OVERFLOW, LIMIT.name) == 1803


def test_pairs_are_limited_and_the_busier_side_of_a_pair_stays():
    metrics = Metrics()
    for user in range(30):
        for ip in range(30):
            metrics.inc(LIMIT, f"user-{user}", f"192.0.2.{ip}")
    series = scrape(metrics).of(LIMIT)
    assert sum(OTHER not in pair for pair in series) == 500
    assert sum(series.values()) == 900
    assert (OTHER, OTHER) not in series


def test_endpoints_and_tables_are_bounded_by_the_series_of_a_metric():
    metrics = Metrics()
    for n in range(3000):
        metrics.inc(s.HTTP_REQUESTS, f"/path/{n}", "200", "alice")
        metrics.observe(s.DB_QUERY_DURATION, 0.1, "select", f"table_{n}")
    found = scrape(metrics)
    assert len(found.of(s.HTTP_REQUESTS)) <= 1000
    assert sum(found.of(s.HTTP_REQUESTS).values()) == 3000
    assert sum(found.of(s.DB_QUERY_DURATION, "_count").values()) == 3000
    lines = [x for x in found.samples if x.name.startswith(s.DB_QUERY_DURATION.name)]
    assert len(lines) <= 1000


def test_a_flood_of_users_on_many_endpoints_does_not_hide_the_statuses():
    metrics = Metrics()
    for n in range(3000):
        metrics.inc(s.HTTP_REQUESTS, f"/path/{n % 20}", "200", f"user-{n // 20}")
    metrics.inc(s.HTTP_REQUESTS, "/path/1", "500", "user-9999")
    assert scrape(metrics).of(s.HTTP_REQUESTS)["/path/1", "500", OTHER] == 1


def test_a_histogram_has_fifty_users():
    metrics = Metrics()
    for n in range(100):
        metrics.observe(s.QUERY_DURATION, 0.1, f"user-{n}")
    counts = scrape(metrics).of(s.QUERY_DURATION, "_count")
    assert len(counts) == 51
    assert counts[OTHER,] == 50


@pytest.mark.parametrize(("workers", "users"), [(4, 50), (1000, 1)])
def test_the_workers_share_the_limits(workers, users):
    metrics = Metrics(workers=workers)
    for n in range(300):
        metrics.inc(s.QUERY_COMPLEXITY_SUM, f"user-{n}")
    series = scrape(metrics).of(s.QUERY_COMPLEXITY_SUM)
    assert len(series) == (users + 1 if workers == 4 else 1)
    assert sum(series.values()) == 300


names = st.sampled_from([ANONYMOUS, OTHER, UNKNOWN, *(f"n{n}" for n in range(12))])


@settings(deadline=None)
@given(st.lists(st.tuples(names, names, names), max_size=120), st.integers(1, 6), st.integers(1, 9), st.integers(1, 30))
def test_every_event_lands_in_one_of_a_bounded_number_of_series(events, values, pairs, series):
    bounds = LabelBounds(
        s.AUTH_FAILURES, LabelLimits(values=values, pairs=pairs, series=series, histogram_users=values)
    )
    counted = Counter(bounds.admit(event) for event in events)
    assert counted.total() == len(events)
    assert len(counted) <= max(1, series)
    for place in (1, 2):
        assert len({labels[place] for labels in counted} - {ANONYMOUS, OTHER, UNKNOWN}) <= values
    assert len({labels[1:] for labels in counted if OTHER not in labels[1:]}) <= pairs
    assert all(bounds.admit(labels) == labels for labels in counted), "a series stays what it is"
    for event, labels in zip(events, map(bounds.admit, events), strict=True):
        assert all(new in (old, OTHER) for old, new in zip(event, labels, strict=True))


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(max_size=200), st.text(max_size=200)), max_size=40))
def test_any_text_is_a_label_and_the_exposition_stays_readable(events):
    metrics = Metrics()
    for user, ip in events:
        metrics.inc(LIMIT, escape_label(user), escape_label(ip))
    assert sum(scrape(metrics).of(LIMIT).values()) == len(events)


@pytest.mark.parametrize("reserved", [ANONYMOUS, OTHER, UNKNOWN])
def test_a_user_cannot_call_himself_what_means_something_to_us(reserved):
    assert escape_label(reserved) == f"_{reserved}"


@settings(deadline=None)
@given(st.integers(0, 4), st.integers(0, 4), st.sampled_from([ANONYMOUS, OTHER, UNKNOWN, "other__", "alice"]))
def test_two_users_stay_two(one, two, name):
    first, second = "_" * one + name, "_" * two + name
    assert (escape_label(first) == escape_label(second)) == (first == second)
    assert escape_label(first) not in {ANONYMOUS, OTHER, UNKNOWN}


def test_text_that_turns_round_or_controls_a_terminal_is_replaced():
    assert escape_label("a\x1b[2J\u202eb\x9bc\ud83d") == "a\ufffd[2J\ufffdb\ufffdc\ufffd"


class Hours:
    """A clock that is moved by hand, and scraped every ten minutes meanwhile, as a Prometheus server would."""

    def __init__(self) -> None:
        self.now = 0.0
        self.metrics = Metrics(clock=lambda: self.now)

    def pass_by(self, seconds: float = UNUSED_SECONDS + 1200) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now = min(until, self.now + 600)
            self.metrics.render()

    def series(self, metric=LIMIT):
        return scrape(self.metrics).of(metric)


def flood(metrics, network):
    for n in range(1000):
        metrics.inc(LIMIT, f"user-{network}-{n}", f"10.{network}.{n // 256}.{n % 256}")


def test_callers_who_are_gone_make_room_and_nothing_else_is_counted_for_it():
    hours = Hours()
    flood(hours.metrics, 1)
    before = hours.series()
    hours.pass_by()
    assert hours.series() == before, "no series ends before its place is needed"
    hours.metrics.inc(LIMIT, "alice", "192.0.2.1")
    after = hours.series()
    assert after["alice", "192.0.2.1"] == 1
    assert after[OTHER, OTHER] == before[OTHER, OTHER], "what has ended is not counted anew: a rate would jump"
    assert {labels: value for labels, value in after.items() if labels in before}.items() <= before.items()
    flood(hours.metrics, 2)
    assert sum("user-2-" in user for user, _ in hours.series()) > 150
    assert len(hours.series()) <= 1000


def test_callers_who_are_still_here_stay():
    hours = Hours()
    flood(hours.metrics, 1)
    hours.metrics.inc(s.HTTP_REQUESTS, "/graphql", "200", "alice")
    for _ in range(12):
        hours.pass_by(600)
        hours.metrics.inc(LIMIT, "user-1-7", "10.1.0.7")
    flood(hours.metrics, 2)
    series = hours.series()
    assert series["user-1-7", "10.1.0.7"] == 13
    assert ("user-1-8", "10.1.0.8") not in series
    assert hours.series(s.HTTP_REQUESTS) == {("/graphql", "200", "alice"): 1}, "another metric has room enough"


def test_a_caller_who_comes_back_counts_from_zero_as_after_a_restart():
    hours = Hours()
    for _ in range(3):
        hours.metrics.inc(LIMIT, "alice", "192.0.2.1")
    hours.pass_by()
    flood(hours.metrics, 1)
    assert ("alice", "192.0.2.1") not in hours.series()
    hours.pass_by()
    hours.metrics.inc(LIMIT, "alice", "192.0.2.1")
    assert hours.series()["alice", "192.0.2.1"] == 1


def test_reserved_values_and_closed_series_never_end():
    hours = Hours()
    hours.metrics.inc(LIMIT, ANONYMOUS, OTHER)
    hours.metrics.inc(s.ERRORS, "INTERNAL_SERVER_ERROR", ANONYMOUS)
    for network in range(1, 4):
        flood(hours.metrics, network)
        for n in range(1500):
            hours.metrics.inc(s.ERRORS, "INTERNAL_SERVER_ERROR", f"user-{network}-{n}")
        hours.pass_by()
    assert hours.series()[ANONYMOUS, OTHER] == 1
    assert hours.series(s.ERRORS)["INTERNAL_SERVER_ERROR", ANONYMOUS] == 1


@examples(200)
@given(
    st.lists(st.one_of(st.tuples(names, names), st.sampled_from([600.0, 1800.0, UNUSED_SECONDS])), max_size=150),
    st.integers(1, 5),
    st.integers(1, 7),
)
def test_whatever_ends_the_growth_of_all_series_is_the_number_of_events(steps, values, pairs):
    """What Prometheus makes of it: a series that is lower than before, or was not there, has begun at 0."""
    now, known, grown, events = 0.0, {}, 0.0, 0
    family = RecordedMetric(LIMIT, LabelLimits(values=values, pairs=pairs, series=20, histogram_users=values))

    def look() -> float:
        found = {tuple(sample.labels[x] for x in LIMIT.labels): sample.value for sample in family.published().samples}
        before = {labels: known.get(labels, 0.0) for labels in found}
        growth = sum(value - before[labels] if value >= before[labels] else value for labels, value in found.items())
        known.clear()
        known.update(found)
        assert len({user for user, _ in found} - {ANONYMOUS, OTHER, UNKNOWN}) <= values
        assert len({pair for pair in found if OTHER not in pair}) <= pairs
        assert len(found) <= 20
        return growth

    for step in steps:
        if isinstance(step, float):
            now += step
            family.rest(now)
        else:
            events += 1
            family.open(step)[1](1)
        grown += look()
    assert grown == events

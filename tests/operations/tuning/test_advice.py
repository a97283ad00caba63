"""A limit is learned from what many callers do, and from nothing that a few do, however often."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.operations.tuning.advice import (
    ENOUGH_REQUESTS,
    REFUSED_SHARE,
    LimitAdvice,
    advise,
    assignments,
    round_up,
)
from tests.operations.tuning.seen import START, ordinary, report_on, request_of
from tests.support.properties import examples

SETTINGS = Settings.load({})


def of(option: str, *seen, settings: Settings = SETTINGS, tier: str = "") -> LimitAdvice:
    """The advice for one limit."""
    [found] = [each for each in advise(report_on(*seen), settings) if (each.option, each.tier) == (option, tier)]
    return found


@given(st.floats(0, 10**12))
def test_a_round_number_is_never_smaller_and_at_most_a_third_larger(number):
    assert number <= round_up(number) <= max(1, number * 1.34 + 1)
    assert round_up(round_up(number)) == round_up(number)


def test_the_smallest_round_value_that_all_share():
    assert of("max_query_depth", *ordinary(depth=7)).value == "7"
    found = of("max_query_complexity", *ordinary(complexity=143))
    assert (found.value, found.present, found.changes) == ("150", 1000, True)
    assert found.at_present.requests == found.as_recommended.requests == 0


@pytest.mark.parametrize("attackers", [1, 2, 3])
@pytest.mark.parametrize("each_sends", [1, 2_000])
def test_an_attack_of_a_few_moves_no_limit_however_often_it_comes(attackers, each_sends):
    attack = [
        request_of(f"attacker {who}", "Attack", depth=90, code="QUERY_TOO_DEEP", weight=each_sends)
        for who in range(attackers)
    ]
    found = of("max_query_depth", *ordinary(depth=5), *attack)
    assert found.value == "5"
    assert found.at_present.requests == attackers * each_sends
    assert (found.at_present.operations, found.at_present.callers) == (1, attackers)


def test_an_attack_that_no_limit_in_force_meets_moves_none_either():
    lax = Settings.load({}, max_query_depth=100)
    attack = [request_of("attacker", f"Attack {n}", depth=90) for n in range(500)]
    assert of("max_query_depth", *ordinary(depth=5), *attack, settings=lax).value == "5"


def test_a_large_number_in_an_operation_that_all_share_is_of_few_as_well():
    attack = [request_of(f"attacker {n % 3}", list_size=1_000) for n in range(300)]
    assert of("max_list_size", *ordinary(list_size=50), *attack).value == "50"


def test_what_four_callers_share_is_admitted_although_it_is_refused_today():
    new = [request_of(f"caller {n}", "Report", depth=14, code="QUERY_TOO_DEEP") for n in range(4)]
    found = of("max_query_depth", *ordinary(depth=5), *new)
    assert (found.value, found.at_present.requests, found.as_recommended.requests) == ("15", 4, 0)


def test_one_user_with_most_of_all_requests_counts_as_one():
    busy = [request_of("busy", "Export", complexity=900) for _ in range(20_000)]
    found = of("max_query_complexity", *ordinary(complexity=100), *busy)
    assert found.value == "100"
    assert found.as_recommended.requests == 20_000
    assert "20000 above it are of 1 caller" in found.why


@examples(60)
@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 5), st.integers(1, 3_000), st.integers(1, 20)),
        min_size=10,
        max_size=60,
    ),
    st.integers(0, 3),
)
def test_at_most_one_ordinary_request_in_a_thousand_is_refused(uses, attackers):
    """Ordinary are those of operations that more than three callers share: each of these sends each of them."""
    seen = [
        request_of(f"{caller}-{again}", f"Operation {number}", complexity=points, weight=weight)
        for caller, number, points, weight in uses
        for again in range(4)
    ]
    attack = [
        request_of(f"attacker {who}", "Attack", complexity=10**6, code="QUERY_TOO_COMPLEX", weight=10**6)
        for who in range(attackers)
    ]
    found = of("max_query_complexity", *ordinary(complexity=1), *seen, *attack)
    total = ENOUGH_REQUESTS * 2 + sum(each.weight for each in seen)
    refused = sum(each.weight for each in seen if each.numbers["complexity"] > found.recommended)
    assert refused <= REFUSED_SHARE * total
    assert found.recommended <= round_up(max(each.numbers["complexity"] for each in (*seen, *ordinary(1))))


def test_too_few_requests_or_callers_bring_no_recommendation():
    for few, why in ((ordinary(900), "too few requests"), (ordinary(2_000, callers=9), "too few callers")):
        found = of("max_query_depth", *few)
        assert (found.recommended, found.value, found.changes) == (None, "", False)
        assert found.why.startswith(why)
        assert found.distribution["all"]["n"] == len(few)


def test_nothing_seen_brings_nothing():
    assert advise(report_on(), SETTINGS) == []


def test_durations_get_room_to_grow_and_never_less_than_a_second():
    assert of("query_timeout", *ordinary(query_ms=40)).value == "1"
    assert of("query_timeout", *ordinary(query_ms=3_100)).value == "10"
    found = of("mutation_timeout", *ordinary(mutation_ms=3_100))
    assert (found.shown, found.value, found.distribution["all"]["max"]) == ("30", "10", 3.1)


def test_a_rate_is_twice_what_all_but_three_callers_need():
    settings = Settings.load({}, tiers="free=300/minute+2000/day,pro=500/minute")
    seen = []
    for minute in range(40):
        for caller in range(20):
            seen += [request_of(caller, at=START + minute * 120 + n) for n in range(6)]
    seen += [request_of(f"flood {who}", at=START + n / 10) for who in range(3) for n in range(3_000)]
    found = of("tiers", *sorted(seen, key=lambda each: each.at), settings=settings, tier="free")
    assert found.value == "12/minute+2000/day"
    assert found.as_recommended.callers == 3
    [found] = [each for each in advise(report_on(*seen), settings) if each.tier == "free"]
    assert assignments([found], settings) == {"FRAISEQL_GUARD_TIERS": "free=12/minute+2000/day,pro=500/minute"}


def test_rates_of_other_windows_are_left_alone():
    settings = Settings.load({}, rate_limit_default="50/second", rate_limit_authenticated="5000/hour")
    tiers = ("anonymous", "authenticated")
    seen = [request_of(n % 40, at=START + n, tier=tiers[n % 2]) for n in range(4_000)]
    assert {each.option for each in advise(report_on(*seen), settings)} == {"max_query_depth", "max_query_complexity"}


def test_only_what_differs_is_set():
    settings = Settings.load({}, max_query_depth=3)
    advice = advise(report_on(*ordinary(depth=3, complexity=40)), settings)
    assert assignments(advice, settings) == {"FRAISEQL_MAX_QUERY_COMPLEXITY": "40"}

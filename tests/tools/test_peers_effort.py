"""How much `benchmarks peers` measures: the short form, rounds that fit into the time, and progress in a log."""

from __future__ import annotations

import argparse

import pytest

from benchmarks.peers.costs import SERVED, WAYS, Costs, database_url
from benchmarks.peers.effort import Effort, Progress, effort, rounds_in_time
from benchmarks.peers.goals import goals
from benchmarks.peers.report import Findings
from benchmarks.peers.variants import OURS, VARIANTS
from fraiseql_guard.core.settings import Settings


def asked(**given: object) -> Effort:
    options = {"short": False, "rounds": None, "requests": None, "no_faults": False, **given}
    return effort(argparse.Namespace(**options), OURS)


def test_the_short_form_measures_less_and_takes_redis_from_ours_alone() -> None:
    long, short = asked(), asked(short=True)
    assert short.rounds * short.requests < long.rounds * long.requests / 10
    assert short.minutes < 5
    assert [each.name for each in VARIANTS if short.tests_faults_of(each.name)] == [OURS]
    assert all(long.tests_faults_of(each.name) for each in VARIANTS)


@pytest.mark.parametrize("short", [False, True])
def test_what_is_asked_for_by_number_holds_in_both_forms(short) -> None:
    chosen = asked(short=short, rounds=7, requests=50, no_faults=True)
    assert (chosen.rounds, chosen.requests) == (7, 50)
    assert not any(chosen.tests_faults_of(each.name) for each in VARIANTS)


def test_there_is_always_one_round_and_none_that_would_take_too_long() -> None:
    assert list(rounds_in_time(Effort(rounds=3))) == [1, 2, 3]
    assert list(rounds_in_time(Effort(rounds=3, minutes=0))) == [1]


def test_a_log_has_a_line_for_every_step_and_none_for_details(capsys) -> None:
    progress = Progress()
    progress.step("round 1 of 2")
    progress.detail("one of fifteen variants")
    progress.end()
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" round")[2] for line in lines] == [" 1 of 2"]


def test_what_failed_in_a_round_leaves_figures_that_can_be_judged() -> None:
    findings = Findings([each for each in VARIANTS if each.name == OURS], not_installed={})
    for way in WAYS:
        findings.costs[way][OURS] = Costs()
        findings.errors[way][OURS] = "503 instead of 200"
    findings.leave_out_failed()
    assert OURS not in findings.costs[SERVED]
    assert {goal.met for goal in goals(findings)} == {None}


def test_every_variant_has_a_database_that_our_settings_accept() -> None:
    urls = [database_url("redis://127.0.0.1:6379/0", number) for number in range(len(VARIANTS))]
    assert len({*urls}) == len(VARIANTS) <= 16
    assert [Settings.load(redis_url=url).redis_url.reveal() for url in urls] == urls

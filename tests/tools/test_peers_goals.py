"""Benchmarks beside other packages: what a run has found, against the goals, and how a variant is called directly."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.peers.costs import CONCURRENCIES, WAYS, Costs
from benchmarks.peers.goals import goals, verdicts
from benchmarks.peers.inside import count, started
from benchmarks.peers.report import Findings, table
from benchmarks.peers.variants import VARIANTS
from tests.support.asgi import EchoApp

CPU = {
    "bare app": 50.0, "ready refusal": 20.0, "physical limit": 60.0, "physical limit + headers": 66.0,
    "ours, the trip alone": 62.0, "ours": 70.0, "ours, in memory": 55.0, "ours, refusal": 24.0,
}  # fmt: skip


def found(cpu: dict[str, float] = CPU) -> Findings:
    findings = Findings([each for each in VARIANTS if each.name in CPU], not_installed={})
    for way in WAYS:
        for name, each in cpu.items():
            rounds = [each, each + 1, each - 1]
            costs = Costs(per_second=[1e6 / one for one in rounds], commands=1.0, reached=[1.0, 1.0, 1.0])
            costs.cpu = {concurrency: list(rounds) for concurrency in CONCURRENCIES}
            findings.costs[way][name] = costs
    return findings


def told(findings: Findings, *parts: str) -> list[str]:
    return [line.split()[0] for line in verdicts(goals(findings)) if all(part in line for part in parts)]


@pytest.mark.parametrize("way", WAYS)
def test_what_costs_at_most_a_quarter_more_than_the_limit_meets_the_goal(way) -> None:
    assert told(found(), way, "ours, the trip alone: CPU") == ["met", "met"]  # 12 against 10 us
    assert told(found(), way, "ours: CPU added") == ["missed", "missed"]  # 20 against 10 us
    assert told(found(), way, "ours, the trip alone: requests/s") == ["met"]
    assert told(found(), way, "ours: requests/s") == ["missed"]
    assert told(found(), way, "a refusal from memory") == ["met", "met"]
    assert told(found(CPU | {"ours, refusal": 26.0}), way, "a refusal from memory") == ["missed", "missed"]


def test_beside_the_limit_that_says_as_much_is_a_figure_and_no_goal() -> None:
    assert told(found(), "the same headers") == ["-"] * 4


def test_a_limit_that_cost_nothing_tells_nothing() -> None:
    assert told(found(CPU | {"physical limit": 50.0}), "CPU added") == ["-"] * 8


def test_what_was_not_measured_is_no_goal_met() -> None:
    findings = Findings([each for each in VARIANTS if each.name in CPU], not_installed={})
    assert {goal.met for goal in goals(findings)} == {None}


def test_a_variant_that_failed_in_one_way_stands_in_the_other_table() -> None:
    findings = found()
    served, called = WAYS
    findings.errors[called]["ours"] = "503 instead of 200"
    del findings.costs[called]["ours"]
    assert [line for line in table(findings, called) if "FAILED: 503 instead of 200" in line]
    assert not [line for line in table(findings, served) if "FAILED" in line]


async def test_every_request_of_an_app_that_is_called_directly_is_counted_by_its_status() -> None:
    app = EchoApp()
    result = await count(app, "/limited", connections=3, requests=10)
    assert (result.statuses, app.finished) == ({200: 10}, 10)
    assert {scope["path"] for scope in app.scopes} == {"/limited"}


async def test_an_app_is_started_before_it_is_called() -> None:
    heard: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        heard.append((await receive())["type"])
        await send({"type": "lifespan.startup.complete"})
        await receive()

    (await started(app)).cancel()
    assert heard == ["lifespan.startup"]

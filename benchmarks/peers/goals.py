"""Our figures against our goals, medians of the rounds: what a decision costs, and what the whole middleware does."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.peers.costs import CONCURRENCIES, SERVED, WAYS
from benchmarks.peers.report import NOTABLE, Findings
from benchmarks.peers.variants import LIMIT, LIMIT_TELLING, OURS, OURS_REFUSAL, OURS_TRIP, Variant

MOST_TIMES_THE_LIMIT = 1.25
LEAST_SHARE_OF_THE_LIMIT = 0.9
MOST_REFUSAL_MICROSECONDS = 5.0
MOST_COMMANDS = 1.0
_NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal: ``met`` is None if it was not measured, or is none."""

    text: str
    figure: str
    met: bool | None


def goals(findings: Findings) -> list[Goal]:
    """All of them. What the bare connection does, decide in Redis, is what ``ours, the trip alone`` does, with every
    safeguard; the whole middleware also describes the request and tells client and operator what was decided."""
    by_way = [goal for way in WAYS for goal in _in_one_way(findings, way)]
    ours = findings.costs[SERVED].get(OURS)
    commands = None if ours is None or ours.commands is None else [round(ours.commands, 2)]
    decided = Goal(
        f"decided by Redis at concurrency {CONCURRENCIES[-1]}: at least {1 - NOTABLE:.0%}", _NOT_MEASURED, None
    )
    if ours is not None:
        share = statistics.median(ours.reached)  # the other figures are those of the fallback if this is missed
        decided = Goal(decided.text, f"{share:.0%}", share >= 1 - NOTABLE)
    return [*by_way, _at_most("one Redis command an admission", commands, MOST_COMMANDS), decided]


def _in_one_way(findings: Findings, way: str) -> Iterator[Goal]:
    by_name = {variant.name: variant for variant in findings.variants if variant.name in findings.costs[way]}
    limit, telling, refusal = by_name.get(LIMIT), by_name.get(LIMIT_TELLING), by_name.get(OURS_REFUSAL)
    for name in (OURS_TRIP, OURS):
        mine = by_name.get(name)
        for each in CONCURRENCIES:
            text = f"{way}, {name}: CPU added at concurrency {each} at most {MOST_TIMES_THE_LIMIT} times the limit's"
            yield _times(findings, way, text, mine, limit, each)
        yield _throughput(findings, way, name, mine, limit)
    for each in CONCURRENCIES:
        text = f"({way}, {OURS}: CPU beside the limit that sends the same headers, at concurrency {each})"
        beside = _times(findings, way, text, by_name.get(OURS), telling, each)
        yield Goal(beside.text, beside.figure, None)  # no goal
    for each in CONCURRENCIES:
        text = f"{way}, a refusal from memory at concurrency {each}: at most {MOST_REFUSAL_MICROSECONDS:.0f} us"
        added = None if refusal is None else findings.added(way, refusal, each)
        yield _at_most(text, added, MOST_REFUSAL_MICROSECONDS, " us")


def _times(
    findings: Findings, way: str, text: str, mine: Variant | None, limit: Variant | None, concurrency: int
) -> Goal:
    added = [findings.added(way, one, concurrency) for one in (mine, limit) if one is not None]
    if len(added) < 2 or not all(added):
        return Goal(text, _NOT_MEASURED, None)
    ours, least = map(statistics.median, added)
    figure = f"{ours:.1f} us against {least:.1f} us"
    if least <= 0:
        return Goal(text, f"{figure}: this machine is too noisy to tell, run more rounds", None)
    return Goal(text, f"{figure}: {ours / least:.2f} times", ours <= least * MOST_TIMES_THE_LIMIT)


def _throughput(findings: Findings, way: str, name: str, mine: Variant | None, limit: Variant | None) -> Goal:
    text = f"{way}, {name}: requests/s at least {LEAST_SHARE_OF_THE_LIMIT} of the limit's"
    if mine is None or limit is None:
        return Goal(text, _NOT_MEASURED, None)
    costs = findings.costs[way]
    pairs = zip(costs[mine.name].per_second, costs[limit.name].per_second, strict=False)
    share = statistics.median(own / most for own, most in pairs)
    return Goal(text, f"{share:.2f}", share >= LEAST_SHARE_OF_THE_LIMIT)


def _at_most(text: str, values: list[float] | None, most: float, unit: str = "") -> Goal:
    if not values:
        return Goal(text, _NOT_MEASURED, None)
    figure = statistics.median(values)
    return Goal(text, f"{figure:.2f}{unit}", figure <= most)


def verdicts(found: list[Goal]) -> list[str]:
    """One line a goal."""
    words = {True: "met", False: "missed", None: "-"}
    return [f"  {words[goal.met]:8}{goal.text}: {goal.figure}" for goal in found]

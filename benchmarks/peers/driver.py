"""The run: options, rounds, and what is printed."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from benchmarks.pairs import order
from benchmarks.peers.costs import SERVED, WAYS, Costs, Round
from benchmarks.peers.effort import Effort, Progress, effort, rounds_in_time
from benchmarks.peers.environment import PeersEnvironmentError, prepare
from benchmarks.peers.faults import FAULTS, observe
from benchmarks.peers.goals import goals, verdicts
from benchmarks.peers.processes import VariantFailed
from benchmarks.peers.report import Findings, table
from benchmarks.peers.variants import OURS, VARIANTS, Variant, chosen
from benchmarks.results import Clock
from tests.support.redis_server import RedisServer


def main() -> int:
    """Measure, print the table and the verdicts; ``--json FILE`` writes them, and what there is after every round."""
    clock, options = Clock("peers"), _options()
    wanted = effort(options, OURS)
    heading = f"Python {platform.python_version()}, {os.cpu_count()} cores"

    def keep(findings: Findings, rounds: int) -> None:
        clock.save(options.json, _as_json(findings, rounds))

    try:
        findings, rounds = run(chosen(options.peer), wanted, keep)
    except PeersEnvironmentError as error:
        print(f"the environment of the servers cannot be made: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(f"{heading}, {rounds} interleaved rounds: medians (lowest..highest); statuses while Redis is away for 3 s,")
    print("and the slowest answer\n")
    for way in WAYS:
        print("\n".join(table(findings, way)) + "\n")
    print("Ours against the goals:\n" + "\n".join(verdicts(goals(findings))))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks peers", description=__doc__)
    parser.add_argument("--short", action="store_true", help="less than five minutes; Redis is taken from ours alone")
    parser.add_argument("--rounds", type=_positive, help="5; with --short as many of 3 as there is time for")
    parser.add_argument("--requests", type=_positive, help="a round and variant at concurrency 64: 10000; --short 1500")
    parser.add_argument(
        "--peer",
        action="append",
        metavar="NAME",
        choices=[variant.name for variant in VARIANTS],
        help=f"this one, and what it is compared with (repeatable): {', '.join(each.name for each in VARIANTS)}",
    )
    parser.add_argument("--no-faults", action="store_true", help="costs alone: leave Redis running")
    parser.add_argument("--json", metavar="FILE", help="written after every round, and at the end")
    return parser.parse_args()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def run(variants: list[Variant], wanted: Effort, keep: Callable[[Findings, int], None]) -> tuple[Findings, int]:
    """All rounds of all variants in each way, then the faults; and how many rounds there were. One variant that fails
    is reported and left out of what follows there. ``keep`` is called after every round, and after the faults."""
    findings, progress, rounds = Findings(variants, not_installed=prepare(variants)), Progress(), 0
    with RedisServer() as server:
        for number in rounds_in_time(wanted):
            for way, kind in WAYS.items():
                with Round(kind, server.url, wanted) as one_round:
                    _measure(findings, way, one_round, wanted, progress, f"round {number} of {wanted.rounds}, {way}")
            rounds = number
            keep(findings, rounds)
        for variant in variants:
            for fault in FAULTS if variant.faults and wanted.tests_faults_of(variant.name) else ():
                progress.step(f"Redis is {fault}: {variant.name}")
                _attempt(findings, SERVED, variant, lambda v=variant, f=fault: _note(findings, v, f, server))
    progress.end()
    findings.leave_out_failed()
    keep(findings, rounds)
    return findings, rounds


def _measure(findings: Findings, way: str, one_round: Round, wanted: Effort, progress: Progress, what: str) -> None:
    all_costs, running = (
        findings.costs[way],
        [each for each in findings.variants if each.name not in findings.errors[way]],
    )
    progress.step(f"{what}: starting {len(running)} variants")
    for variant in running:
        progress.detail(f"{what}: starting {variant.name}")
        costs = all_costs.setdefault(variant.name, Costs())
        _attempt(findings, way, variant, lambda v=variant, c=costs: one_round.start(v, c))
    for number in range(wanted.slices):
        progress.step(f"{what}: slice {number + 1} of {wanted.slices}")
        for variant in [running[place] for place in order(len(running), number)]:
            progress.detail(f"{what}: slice {number + 1} of {wanted.slices}, {variant.name}")
            _attempt(findings, way, variant, lambda v=variant: one_round.turn(v.name))
            if variant.name in findings.errors[way]:
                one_round.give_up(variant.name)
    for variant in running:
        one_round.add_to(all_costs[variant.name], variant.name)
    findings.leave_out_failed()


def _note(findings: Findings, variant: Variant, fault: str, server: RedisServer) -> None:
    findings.seen.setdefault(variant.name, {})[fault] = observe(variant, fault, server)


def _attempt(findings: Findings, way: str, variant: Variant, step: Callable[[], None]) -> None:
    if variant.name in findings.errors[way]:
        return
    try:
        step()
    except VariantFailed as error:
        findings.errors[way][variant.name] = str(error)


def _as_json(findings: Findings, rounds: int) -> dict[str, Any]:
    return {
        "rounds": rounds,
        "variants": {
            variant.name: {
                "base": variant.base,
                "errors": {
                    way: errors[variant.name] for way, errors in findings.errors.items() if variant.name in errors
                },
                "costs": {way: asdict(of[variant.name]) for way, of in findings.costs.items() if variant.name in of},
                "faults": {fault: asdict(seen) for fault, seen in findings.seen.get(variant.name, {}).items()},
            }
            for variant in findings.variants
        },
        "goals": [asdict(goal) for goal in goals(findings)],
    }

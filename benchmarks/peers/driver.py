"""The run: options, rounds, and what is printed."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.pairs import order
from benchmarks.peers.costs import SERVED, SLICES, WAYS, Costs, Round
from benchmarks.peers.environment import PeersEnvironmentError, prepare
from benchmarks.peers.faults import FAULTS, observe
from benchmarks.peers.goals import Goal, goals, verdicts
from benchmarks.peers.processes import VariantFailed
from benchmarks.peers.report import Findings, table
from benchmarks.peers.variants import VARIANTS, Variant, chosen
from tests.support.redis_server import RedisServer


def main() -> int:
    """Measure, print the table and the verdicts; ``--json FILE`` writes them."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit ends the children, a signal would not
    try:
        findings = run(chosen(options.peer), options.rounds, options.requests, faults=not options.no_faults)
    except PeersEnvironmentError as error:
        print(f"the environment of the servers cannot be made: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    found = goals(findings)
    heading = f"Python {platform.python_version()}, {os.cpu_count()} cores, {options.rounds} interleaved rounds"
    print(f"{heading}: medians (lowest..highest); statuses while Redis is away for 3 s, and the slowest answer\n")
    for way in WAYS:
        print("\n".join(table(findings, way)) + "\n")
    print("Ours against the goals:\n" + "\n".join(verdicts(found)))
    if options.json:
        Path(options.json).write_text(json.dumps(_as_json(findings, found, heading), indent=2), encoding="utf-8")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks peers", description=__doc__)
    parser.add_argument("--rounds", type=_positive, default=5)
    parser.add_argument("--requests", type=_positive, default=10_000, help="a round and variant at concurrency 64")
    parser.add_argument(
        "--peer",
        action="append",
        metavar="NAME",
        choices=[variant.name for variant in VARIANTS],
        help=f"this one, and what it is compared with (repeatable): {', '.join(each.name for each in VARIANTS)}",
    )
    parser.add_argument("--no-faults", action="store_true", help="costs alone: leave Redis running")
    parser.add_argument("--json", metavar="FILE")
    return parser.parse_args()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def run(variants: list[Variant], rounds: int, requests: int, *, faults: bool) -> Findings:
    """All rounds of all variants in each way, then the faults. One that fails is reported and left out of what follows
    there."""
    findings = Findings(variants, not_installed=prepare(variants))
    with RedisServer() as server:
        for number in range(rounds):
            for way, kind in WAYS.items():
                with Round(kind, server.url, requests) as one_round:
                    _measure(findings, way, one_round, f"round {number + 1} of {rounds}, {way}")
        for variant in variants if faults else ():
            for fault in FAULTS if variant.faults else ():
                _say(f"Redis is {fault}: {variant.name}")
                _attempt(findings, SERVED, variant, lambda v=variant, f=fault: _note(findings, v, f, server))
    _say("")
    for way, errors in findings.errors.items():
        for name in errors:
            findings.costs[way].pop(name, None)
    return findings


def _measure(findings: Findings, way: str, one_round: Round, what: str) -> None:
    all_costs = findings.costs[way]
    for variant in findings.variants:
        _say(f"{what}: starting {variant.name}")
        costs = all_costs.setdefault(variant.name, Costs())
        _attempt(findings, way, variant, lambda v=variant, c=costs: one_round.start(v, c))
    for number in range(SLICES):
        for variant in [findings.variants[place] for place in order(len(findings.variants), number)]:
            _say(f"{what}, {number + 1} of {SLICES}: {variant.name}")
            _attempt(findings, way, variant, lambda v=variant: one_round.turn(v.name))
            if variant.name in findings.errors[way]:
                one_round.give_up(variant.name)
    for variant in findings.variants:
        one_round.add_to(all_costs[variant.name], variant.name)


def _note(findings: Findings, variant: Variant, fault: str, server: RedisServer) -> None:
    findings.seen.setdefault(variant.name, {})[fault] = observe(variant, fault, server)


def _attempt(findings: Findings, way: str, variant: Variant, step: Callable[[], None]) -> None:
    if variant.name in findings.errors[way]:
        return
    try:
        step()
    except VariantFailed as error:
        findings.errors[way][variant.name] = str(error)


def _say(what: str) -> None:
    """Progress, on a terminal alone."""
    if sys.stderr.isatty():
        print(f"\r{what:60}", end="" if what else "\r", file=sys.stderr, flush=True)


def _as_json(findings: Findings, found: list[Goal], heading: str) -> dict[str, Any]:
    return {
        "run": heading,
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
        "goals": [asdict(goal) for goal in found],
    }

"""CPU until a hostile request is refused, for attacks of growing size, beside what else people use.

Every attack repeats one pattern, from 1 KiB to the body limit; ``edge`` is the largest one that still reaches the
parser. Measured are the reader alone (with the example's schema and without), the whole guard, and as peers, on the
same bodies and schema: graphql-core's parser, its parser and validation, Strawberry's and Graphene's rules (at our
limits), and graphql-armor's (with its own). CPU is that of the process that works, and a peer may spend only so much.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.hostile_attacks import FAMILIES
from benchmarks.hostile_ours import GUARD, READER, SCHEMALESS, Case, Ours, cases, remembered
from benchmarks.hostile_peers import HERE, TOO_LONG, Bounded, Figure, Peer, PeerError, armor_peer, python_peer
from benchmarks.hostile_report import Row, goals, show, summary
from benchmarks.results import Clock
from fraiseql_guard.core.settings import Settings

Measured = dict[Case, dict[str, Figure]]


def peers(settings: Settings) -> Mapping[str, Callable[[], Peer]]:
    """By name; asking for one may install it."""
    limits = (settings.max_query_depth, settings.max_aliases, settings.max_tokens)
    strawberry, graphene = HERE / "hostile_strawberry.txt", HERE / "hostile_graphene.txt"
    return {
        "parse": lambda: python_peer("parse", "core_parse", limits),
        "validate": lambda: python_peer("validate", "core_validate", limits),
        "strawberry": lambda: python_peer("strawberry", "strawberry", limits, strawberry),
        "graphene": lambda: python_peer("graphene", "graphene", limits, graphene),
        "armor": lambda: armor_peer("armor"),
    }


async def ours(settings: Settings, given: Sequence[Case], rounds: int) -> tuple[Measured, dict[Case, str]]:
    """Our own figures, and the codes."""
    figures: Measured = {}
    codes: dict[Case, str] = {}
    subject = Ours(settings)
    for case in given:
        figures[case], codes[case] = await subject.measure(case, rounds)
    await subject.aclose()
    return figures, codes


def theirs(peer: Peer, given: Sequence[Case], limit_seconds: float) -> dict[Case, Figure]:
    """A peer's figures. What took too long at one size is not tried at a larger one."""
    figures: dict[Case, Figure] = {}
    given_up: set[str] = set()
    running = Bounded(peer, limit_seconds)
    try:
        with tempfile.TemporaryDirectory() as folder:
            body = Path(folder, "body")
            for case in given:
                if case.attack.name in given_up:
                    continue
                body.write_bytes(case.bodies(1)[0])
                figures[case] = running.measure(body)
                if figures[case].outcome == TOO_LONG:
                    given_up.add(case.attack.name)
    finally:
        running.end()
    return figures


def compare(given: Sequence[Case], figures: Measured, options: argparse.Namespace, settings: Settings) -> list[str]:
    """Add the peers' figures; the names of those that could be measured."""
    columns = []
    for name, make in peers(settings).items():
        if name not in options.peers:
            continue
        print(f"measuring {name}", file=sys.stderr)
        try:
            found = theirs(make(), given, options.limit)
        except PeerError as problem:
            print(f"{name} is not shown: {problem}")
            continue
        columns.append(name)
        for case, figure in found.items():
            figures[case][name] = figure
    return columns


def arguments(settings: Settings) -> argparse.Namespace:
    """The command line."""
    known = list(peers(settings))
    parser = argparse.ArgumentParser(prog="python -m benchmarks hostile", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="requests of ours a row; the median counts")
    parser.add_argument("--limit", type=float, default=1.0, help="CPU seconds that a peer may spend on one request")
    parser.add_argument("--peers", nargs="*", choices=known, default=known, metavar="PEER", help=", ".join(known))
    parser.add_argument("--families", nargs="+", choices=list(FAMILIES), default=list(FAMILIES), metavar="FAMILY")
    parser.add_argument("--json", metavar="FILE")
    return parser.parse_args()


def main() -> int:
    """Print the table and the goals; ``--json FILE`` writes them."""
    clock, settings = Clock("hostile"), Settings.load({})
    options = arguments(settings)
    print("measuring ours", file=sys.stderr)
    given = [case for case in cases(settings) if case.attack.family in options.families]
    figures, codes = asyncio.run(ours(settings, given, options.rounds))
    columns = [READER, SCHEMALESS, GUARD, *compare(given, figures, options, settings)]
    rows = [
        Row(case.attack.family, case.attack.name, case.size, case.bytes, codes[case], figures[case]) for case in given
    ]
    print(f"Python {platform.python_version()}, median of {options.rounds}, peers stopped at {options.limit:g} s")
    show(rows, columns)
    again = remembered(settings)
    reached = list(goals(rows, again))
    print()
    for goal in reached:
        print(f"{'met' if goal.met else 'missed':7} {goal.text}")
    found = {"summary": summary(rows, columns), "limit_ms": options.limit * 1e3, "remembered_us": again}
    clock.save(options.json, {**found, "goals": reached, "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())

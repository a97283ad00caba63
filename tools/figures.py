"""The house in figures: its rooms and what they import, the files that a request enters, its lines, complexity, names.

    python -m tools.figures --json before.json
    python -m tools.figures --against before.json
    python -m tools.figures --read after.json --against before.json

prints the figures of the package, writes them, and shows them beside others: of today, or of two files alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import fraiseql_guard
from tools.figures_requests import KINDS, files_entered
from tools.figures_source import Figures, figures_of

PACKAGE = Path(fraiseql_guard.__file__).parent


def measure(package: Path = PACKAGE, *, redis_url: str | None = None) -> Figures:
    """All figures of the package that is imported here."""
    found = figures_of(package)
    for name, kind in KINDS.items():
        first, again = asyncio.run(files_entered(kind, package, redis_url=redis_url))
        found.count(f"files that a request enters, {name}", first)
        found.count(f"files that a request enters, {name}, again", again)
    return found


def report(found: Figures, before: Figures | None = None) -> Iterator[str]:
    """One line a figure; with its value before, if there is one to compare with."""
    for what in dict.fromkeys([*(before.numbers if before else ()), *found.numbers]):
        now = found.numbers.get(what)
        if before is None:
            yield f"{what:76}{_shown(now):>10}"
        else:
            then = before.numbers.get(what)
            more = f"{now - then:+,g}" if now is not None and then is not None and now != then else ""
            yield f"{what:76}{_shown(then):>10}{_shown(now):>10}{_rounded(more):>10}"


def changes(found: Figures, before: Figures) -> Iterator[str]:
    """What is behind the figures now and was not before (+), and the other way round (-)."""
    for what, names in found.names.items():
        then = before.names.get(what, [])
        lines = [f"  + {name}" for name in names if name not in then]
        lines += [f"  - {name}" for name in then if name not in names]
        if lines:
            yield from (f"{what}:", *lines)


def _shown(number: float | None) -> str:
    return "-" if number is None else f"{number:,g}" if number < 1e5 else f"{number:,.0f}"


def _rounded(difference: str) -> str:
    """Without the digits that come of subtracting fractions."""
    return f"{round(float(difference.replace(',', '')), 2):+,g}" if difference else ""


def read(file: Path) -> Figures:
    """Figures that were written before. ValueError if they were not."""
    content = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not {"numbers", "names"} <= content.keys():
        raise ValueError(f"{file} holds no figures")
    return Figures(content["numbers"], content["names"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures; 2 and a sentence on standard error if a file cannot be read."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.figures", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures, and the names behind them")
    parser.add_argument("--against", metavar="FILE", type=Path, help="compare with figures that were written before")
    parser.add_argument("--read", metavar="FILE", type=Path, help="take the figures from a file; measure nothing")
    parser.add_argument("--names", action="store_true", help="also print the names behind the figures")
    parser.add_argument("--redis", metavar="URL", help="the store of the requests that are followed (default: memory)")
    options = parser.parse_args(arguments)
    try:
        before = read(options.against) if options.against else None
        found = read(options.read) if options.read else measure(redis_url=options.redis)
    except (OSError, ValueError) as error:
        print(f"the figures cannot be read: {error}", file=sys.stderr)
        return 2
    print("\n".join(report(found, before)))
    if before is not None:
        print("\n".join(["", *changes(found, before)]))
    elif options.names:
        print("\n".join(["", *changes(found, Figures())]))
    if options.json:
        options.json.write_text(json.dumps(asdict(found), indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""``python -m tools.audit.run``: graphql-http's audit suite against the Starlette example, bare and guarded.

The guard must be invisible to a client that does nothing wrong: every audit has the same result with it as without.
Prints both lists; 1 if a result differs, 2 if the suite cannot run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from examples.process import ExampleServer
from tools.audit.npm import NpmError, install

HERE: Final = Path(__file__).resolve().parent
PACKAGE: Final = "examples.starlette_blog"
ENVIRONMENT: Final = {
    "FRAISEQL_RATE_LIMIT_DEFAULT": "1000000/minute",  # the suite asks often, and parse errors cost ten tokens each
    "FRAISEQL_GUARD_INTROSPECTION": "allow",  # it asks for __type, which the defaults deny outside of development
}
SECONDS: Final = 120.0
RANKS: Final = {"error": 0, "warn": 1, "notice": 2, "ok": 3}


@dataclass(frozen=True, slots=True)
class Result:
    """One audit. ``status``: ok, notice (a MAY), warn (a SHOULD) or error (a MUST); ``http`` only where it failed."""

    id: str
    name: str
    status: str
    reason: str | None
    http: int | None


def audited(*, bare: bool, folder: Path) -> list[Result]:
    """Results against the example, a process of its own on a free loopback port."""
    environment = {} if bare else ENVIRONMENT
    server = ExampleServer(PACKAGE, folder, environment, ["--bare"] if bare else [])
    node_folder = install(HERE / "package.json", [HERE / "audit.mjs"], "audit")
    with server:
        command = ["node", "audit.mjs", f"{server.url}/graphql"]
        done = subprocess.run(command, cwd=node_folder, capture_output=True, text=True, check=False, timeout=SECONDS)
    if done.returncode != 0:
        raise NpmError(f"the audit suite failed: {done.stderr.strip()[-800:]}")
    return [Result(**item) for item in json.loads(done.stdout)]


def differences(bare: Sequence[Result], guarded: Sequence[Result]) -> list[tuple[Result, Result]]:
    """The audits whose status differs."""
    other = {item.id: item for item in guarded}
    return [(item, other[item.id]) for item in bare if item.status != other[item.id].status]


def show(bare: Sequence[Result], guarded: Sequence[Result]) -> None:
    """Both lists side by side; the reason where one of them failed."""
    other = {item.id: item for item in guarded}
    print(f"{'audit':6}{'bare':>10}{'guarded':>12}  ")
    for left in bare:
        right = other[left.id]
        mark = {True: "better", False: "WORSE", None: ""}[_better(left, right)]
        print(f"{left.id:6}{_cell(left):>10}{_cell(right):>12}  {mark:7}{left.name}")
    for title, results in (("bare", bare), ("guarded", guarded)):
        counts = ", ".join(f"{sum(item.status == status for item in results)} {status}" for status in reversed(RANKS))
        print(f"{title + ':':9}{counts} of {len(results)}")


def _better(left: Result, right: Result) -> bool | None:
    return None if left.status == right.status else RANKS[right.status] > RANKS[left.status]


def _cell(result: Result) -> str:
    return result.status if result.http is None else f"{result.status} {result.http}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite twice and compare."""
    parser = argparse.ArgumentParser(prog="python -m tools.audit.run", description=__doc__)
    parser.add_argument("--json", metavar="FILE", help="write both lists")
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            bare = audited(bare=True, folder=Path(one))
            guarded = audited(bare=False, folder=Path(two))
    except (NpmError, subprocess.TimeoutExpired, RuntimeError) as problem:
        print(f"audit: {problem}", file=sys.stderr)
        return 2
    show(bare, guarded)
    if options.json:
        lists = {"bare": bare, "guarded": guarded}
        text = json.dumps(lists, default=lambda item: {name: getattr(item, name) for name in item.__slots__}, indent=2)
        Path(options.json).write_text(text, encoding="utf-8")
    if not (different := differences(bare, guarded)):
        print("met: every audit has the same result with the guard as without")
        return 0
    print(f"missed: {len(different)} audits differ between the bare and the guarded example:")
    for left, right in different:
        reason = right.reason or left.reason
        print(f"  {left.id}: {_cell(left)} bare, {_cell(right)} guarded ({reason}): {left.name}")
    return 1


if __name__ == "__main__":
    sys.exit(main())

"""``python -m examples.drills [NAME...] [--json]``: run drills, one after the other; all of them if none is named."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from types import FrameType
from typing import Any

from rich.console import Console

from examples.drills.definitions import DRILLS, Drill
from examples.drills.engine import DrillError, run
from examples.drills.scene import set_up
from examples.drills.timeline import Timeline
from tools.components import ComponentError

_INTERRUPTED = 130


def rehearse(drill: Drill, console: Console | None) -> dict[str, Any]:
    """Run one drill on a scene of its own, and say what became of it."""
    timeline = Timeline(console)
    told: dict[str, Any] = {"drill": drill.name, "runbook": drill.runbook.value, "alert": drill.alert}
    try:
        with set_up(drill.environment) as scene:
            passed = asyncio.run(run(drill, scene, timeline))
    except (DrillError, ComponentError, RuntimeError, OSError) as problem:
        if console is not None:
            console.print(f"  NOT AS PLANNED: {problem}", style="bold red", markup=False, soft_wrap=True)
        return {**told, "passed": False, "problem": str(problem), "timeline": timeline.as_json()}
    users = passed.goodput
    if console is not None:
        console.print(
            f"  recovered {passed.seconds} s after the first request of the attack; "
            f"ordinary users: {users.served} of {users.sent} requests served ({users.ratio:.1%})",
            style="bold green",
            soft_wrap=True,
        )
    served = {"sent": users.sent, "served": users.served, "ratio": round(users.ratio, 4)}
    return {
        **told,
        "passed": True,
        "seconds": passed.seconds,
        "ordinary_users": served,
        "timeline": timeline.as_json(),
    }


def main() -> int:
    """0 if every drill went as its runbook says, else 1."""
    parser = argparse.ArgumentParser(prog="fraiseql-guard drill", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(DRILLS))
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in DRILLS]
    if unknown:
        print(f"{unknown[0]!r} is no drill. Accepted: {', '.join(DRILLS)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _exit)
    console = None if arguments.json else Console(highlight=False)
    told = []
    try:
        for name in arguments.names or DRILLS:
            drill = DRILLS[name]
            if console is not None:
                heading = f"\n{drill.runbook.spoken} (docs/runbooks/{drill.runbook.value}.md)"
                console.print(heading, style="bold", soft_wrap=True)
            told.append(rehearse(drill, console))
    except KeyboardInterrupt:
        print("interrupted; everything that was started has ended", file=sys.stderr)
        return _INTERRUPTED
    if console is None:
        print(json.dumps(told, indent=2))
    return int(not all(each["passed"] for each in told))


def _exit(_number: int, _frame: FrameType | None) -> None:
    sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())

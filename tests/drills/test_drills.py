"""Each runbook's incident is produced on a real FraiseQL: its alert fires, its command ends it, no other suffers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from examples.drills.crowd import Goodput
from examples.drills.definitions import DRILLS, Listed, Ranked
from examples.drills.engine import DrillError, judge
from fraiseql_guard.operations.runbooks.model import Runbook
from fraiseql_guard.operations.runbooks.render import ALERTS
from tests.operations.runbooks.pages import PAGES
from tests.support.processes import needs_fraiseql

pytestmark = [*needs_fraiseql, pytest.mark.redis]

COMMAND = [str(Path(sys.executable).with_name("fraiseql-guard")), "drill"]
PAGE = {page.stem: page.read_text(encoding="utf-8") for page in PAGES}


@pytest.mark.parametrize("name", DRILLS)
def test_the_incident_ends_as_the_runbook_says(name: str) -> None:
    ended = subprocess.run([*COMMAND, name, "--json"], capture_output=True, text=True, timeout=240, check=False)
    (told,) = json.loads(ended.stdout)
    assert (ended.returncode, told.get("problem")) == (0, None), told
    assert told["ordinary_users"]["ratio"] >= 0.95
    assert told["ordinary_users"]["sent"] > 20
    steps = [moment["what"] for moment in told["timeline"] if moment["what"] not in ("", "deployment")]
    assert steps[:3] == ["attack", "alert", "look"]
    assert steps[-2:] == ["verified", "resolved"]
    assert steps.count("action") == len(DRILLS[name].actions)


def test_every_runbook_is_drilled() -> None:
    assert list(dict.fromkeys(drill.runbook for drill in DRILLS.values())) == list(Runbook)


@pytest.mark.parametrize("drill", DRILLS.values(), ids=DRILLS)
def test_a_drill_does_what_its_page_says_and_nothing_else(drill) -> None:
    page = PAGE[drill.runbook.value]
    assert drill.alert in {alert.name for alert in ALERTS if alert.runbook is drill.runbook}
    assert f"```promql\n{drill.verify}\n```" in page
    if isinstance(drill.look, Ranked):
        assert drill.look.expression in page
    elif isinstance(drill.look, Listed):
        assert f"\nfraiseql-guard {drill.look.command}\n" in page
    else:
        assert f"--event {drill.look.event.name}" in page
    for action in drill.actions:
        before, _, after = action.partition("{")
        # Behind a prompt where it has to be filled in before it is typed, such as the number of a process.
        assert re.search(rf"^(\$ )?fraiseql-guard {re.escape(before)}", page, re.MULTILINE)
        assert after.partition("}")[2] in page


def processes() -> set[str]:
    """All of this machine: number and command line."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found.add(f"{entry.name} {(entry / 'cmdline').read_bytes().replace(bytes(1), b' ').decode()}")
            except OSError:
                continue
    return found


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not one of pytest's: with the name of a worker in its path, PostgreSQL's socket has no room in the 107 bytes."""
    with TemporaryDirectory(prefix="interrupted-") as path:
        yield Path(path)


def test_an_interrupted_drill_ends_all_that_it_has_started(folder: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(folder)}
    drill = subprocess.Popen(
        [*COMMAND, "rate-limiting"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C in a terminal reaches all of its processes
    )
    told = []
    for line in drill.stdout or ():
        told.append(line)
        if " attack " in line:
            break
    else:
        pytest.fail(f"ended before it was interrupted: {''.join(told)} {drill.communicate()}")
    mine = {each for each in processes() if str(folder) in each}
    assert len(mine) >= 3
    os.killpg(drill.pid, signal.SIGINT)
    _, said = drill.communicate(timeout=60)
    assert (drill.returncode, said) == (130, "interrupted; everything that was started has ended\n")

    def left() -> list[str]:
        return [*(each for each in processes() if str(folder) in each), *map(str, folder.iterdir())]

    deadline = time.monotonic() + 60  # PostgreSQL's keeper hears of it last, and then clears its folder away
    while left() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left() == []


@pytest.mark.parametrize("goodput", [Goodput(), Goodput(sent=100, served=94, first_failure="429 slow down")])
def test_a_drill_fails_if_ordinary_users_are_not_served(goodput: Goodput) -> None:
    with pytest.raises(DrillError, match=r"94 of 100 requests.*429 slow down|no ordinary user asked"):
        judge(goodput)
    judge(Goodput(sent=100, served=95, first_failure="429 slow down"))


def test_a_name_that_is_none_is_told() -> None:
    ended = subprocess.run([*COMMAND, "flood"], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stderr == f"'flood' is no drill. Accepted: {', '.join(DRILLS)}\n"
    assert ended.stdout == ""

"""Of several workers one speaks, also when the one that spoke has died, hangs or was forked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fraiseql_guard.host.lease import FRESH_SECONDS, Alone, Shared


def test_one_alone_remembers_what_it_has_said() -> None:
    alone = Alone()
    assert alone.recall() == ""
    alone.leave("high")
    alone.release()
    assert alone.recall() == "high"


def test_one_speaks_and_the_next_knows_what_was_said(tmp_path: Path) -> None:
    first, second = Shared(tmp_path), Shared(tmp_path)
    assert first.recall() == ""
    first.leave("high")
    assert second.recall() is None
    assert first.recall() == "high"
    first.leave("critical high")
    assert second.recall() is None
    first.release()
    assert second.recall() == "critical high"
    second.leave("")
    assert first.recall() is None
    second.release()
    assert first.recall() == ""


def test_one_that_is_killed_makes_room_at_once(tmp_path: Path) -> None:
    script = "import sys, time; from pathlib import Path; from fraiseql_guard.host.lease import Shared\n"
    script += "s = Shared(Path(sys.argv[1])); s.recall(); s.leave('high'); print('.', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        mine = Shared(tmp_path)
        assert mine.recall() is None
        other.send_signal(signal.SIGKILL)
    assert mine.recall() == "high"
    mine.release()


def test_what_a_service_said_that_ended_long_ago_is_forgotten(tmp_path: Path) -> None:
    before = Shared(tmp_path)
    before.recall()
    before.leave("high")
    before.release()
    assert Shared(tmp_path, clock=lambda: time.time() + FRESH_SECONDS + 1).recall() == ""


def test_while_the_speaker_hangs_the_others_speak_and_do_not_repeat_it(tmp_path: Path) -> None:
    now = [0.0]
    speaker, other = Shared(tmp_path), Shared(tmp_path, clock=lambda: time.time() + now[0])
    speaker.recall()
    speaker.leave("high")
    assert other.recall() is None
    now[0] = FRESH_SECONDS + 1
    assert other.recall() == "high"
    other.leave("critical high")
    assert other.recall() == "critical high"
    now[0] = 0.0
    assert other.recall() is None  # it is back
    speaker.release()


def test_a_fork_does_not_speak_in_its_parents_name(tmp_path: Path) -> None:
    lease = Shared(tmp_path)
    assert lease.recall() == ""
    child = os.fork()
    if child == 0:
        os._exit(0 if lease.recall() is None else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert lease.recall() == ""
    lease.release()


@pytest.mark.parametrize("place", ["missing", "a file"])
def test_where_nothing_can_be_locked_every_worker_speaks(tmp_path: Path, place: str) -> None:
    if place == "a file":
        (tmp_path / place).touch()
    one, other = Shared(tmp_path / place), Shared(tmp_path / place)
    one.leave("high")
    assert (one.recall(), other.recall()) == ("high", "")
    one.release()


def test_a_link_that_somebody_has_put_there_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    (tmp_path / "fraiseql_guard_memory.said").symlink_to(victim)
    lease = Shared(tmp_path)
    assert lease.recall() == ""
    lease.leave("high")
    assert victim.read_text() == "untouched"

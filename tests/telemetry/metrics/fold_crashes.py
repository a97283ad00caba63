"""Kills a process that folds before every single step of it, and looks each time at what a scrape would say.

Run as a script, so that it can fork: prints "ok", or ends with an error.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
from itertools import count
from pathlib import Path

from prometheus_client.mmap_dict import mmap_key

from fraiseql_guard.telemetry.metrics import value_files
from fraiseql_guard.telemetry.metrics.folding import READ_WAIT_SECONDS, Folder
from fraiseql_guard.telemetry.metrics.multiprocess import Workers
from fraiseql_guard.telemetry.metrics.process_locks import ALIVE, PREFIX, find_processes, pid_space

STEPS = frozenset({"open", "os.rename", "os.remove", "os.link"})
DEAD = 4_200_000  # above the greatest pid that Linux has (2 ** 22)
KINDS = ("counter", "summary", "gauge_sum", "gauge_max")
Seen = dict[str, float]


def prepare(folder: Path, workers: range) -> None:
    """What so many dead workers have left."""
    for number in workers:
        pid = DEAD + number
        (folder / f"{PREFIX}{pid}_{pid_space()}_{number:08x}{ALIVE}").touch()
        for kind in (*KINDS, "gauge_livesum", "gauge_all"):
            key = mmap_key(kind, kind, ["n"], ["always"], "H").encode()
            own = mmap_key(kind, kind, ["n"], [str(number)], "H").encode()
            entries = [(key, (0.1 * (number + 1), 1.0)), (own, (1.0, 1.0))]
            (folder / f"{kind}_{pid}.db").write_bytes(value_files.packed(entries))


def seen(folder: Path, *, read_wait_seconds: float = READ_WAIT_SECONDS) -> Seen:
    """All samples that are no matter of the living; AssertionError if anything is damaged."""
    damage: list[int] = []
    workers = Workers(folder, on_damage=lambda: damage.append(1), looks_only=True, read_wait_seconds=read_wait_seconds)
    found = {
        f"{sample.name} {sorted(sample.labels.items())}": sample.value
        for family in workers.look().merged
        for sample in family.samples
        if family.name in KINDS
    }
    assert not damage
    return found


def fold(folder: Path, *, dies_at: int = 0) -> bool:
    """In a child, which is killed before that step; whether it came to its end."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    steps = count(1)

    def hook(event: str, _: object) -> None:
        if event in STEPS and next(steps) == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    Folder(folder, on_damage=lambda name: os._exit(3)).fold(find_processes(folder).dead)
    os._exit(0)


def try_all(chance: random.Random) -> int:
    """Every step once, each followed by a second death somewhere, by more dead workers, and by a whole fold."""
    for step in count(1):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            prepare(folder, range(3))
            expected = seen(folder)
            done = fold(folder, dies_at=step)
            assert seen(folder) == expected, f"killed at {step}"
            second = chance.randrange(1, 60)
            fold(folder, dies_at=second)
            assert seen(folder) == expected, f"killed at {step}, then at {second}"
            prepare(folder, range(3, 5))
            expected = seen(folder)
            assert fold(folder)
            assert fold(folder)
            assert seen(folder) == expected, f"after being killed at {step} and {second}"
            left = {path.name.partition("_")[0] for path in folder.glob("*.db") if "_folded" not in path.name}
            assert left == {"gauge"}, left  # those of the mode "all"
            assert len(list(folder.glob("*~*"))) == 0
            if done:
                return step
    raise AssertionError


if __name__ == "__main__":
    assert try_all(random.Random(int(sys.argv[1]))) > 20
    print("ok")

"""What dead workers counted moves into one file: nothing is lost or doubled, whichever process is killed, and when."""

from __future__ import annotations

import os
import subprocess
import sys
from fcntl import LOCK_EX, LOCK_SH, flock

import pytest
from prometheus_client.multiprocess import MultiProcessCollector

from fraiseql_guard.core import signals as s
from fraiseql_guard.telemetry.metrics.folding import MOST_CALLERS_SERIES, Folder
from fraiseql_guard.telemetry.metrics.multiprocess import VARIABLE
from fraiseql_guard.telemetry.metrics.process_locks import ALIVE, PREFIX, find_processes, pid_space
from tests.telemetry.metrics.fold_crashes import DEAD, KINDS, prepare, seen
from tests.telemetry.metrics.scrape import ROOT
from tests.telemetry.metrics.test_multiprocess import Worker, workers  # noqa: F401 - a fixture


def run(script, *arguments, directory):
    done = subprocess.run(
        [sys.executable, "-m", script, *arguments],
        env={**os.environ, VARIABLE: str(directory)},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


def fold(folder, **how):
    Folder(folder, on_damage=lambda name: pytest.fail(name)).fold(find_processes(folder).dead, **how)


def names(folder):
    return sorted(path.name for path in folder.glob("*.db"))


@pytest.mark.parametrize("seed", ["1", "2"])
def test_a_folder_that_is_killed_before_any_of_its_steps_changes_no_sum(tmp_path, seed):
    run("tests.telemetry.metrics.fold_crashes", seed, directory=tmp_path)


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_workers_that_are_killed_at_any_moment_lose_no_more_than_what_they_were_about_to_count(tmp_path, seed):
    run("tests.telemetry.metrics.fold_storm", seed, directory=tmp_path)


def test_prometheus_client_reads_what_was_folded(tmp_path):
    prepare(tmp_path, range(20))
    before = seen(tmp_path)
    fold(tmp_path)
    theirs = {
        f"{sample.name} {sorted(sample.labels.items())}": sample.value
        for family in MultiProcessCollector.merge(map(str, tmp_path.glob("*.db")))
        for sample in family.samples
        if family.name in KINDS
    }
    assert theirs == pytest.approx(before)
    assert seen(tmp_path) == before
    assert [name for name in names(tmp_path) if not name.startswith("gauge_all")] == [
        f"{kind}_folded.db" for kind in sorted(KINDS)
    ]


def test_gauges_of_the_mode_all_are_kept_of_the_last_dead_workers(tmp_path):
    prepare(tmp_path, range(50))
    for number, path in enumerate(sorted(tmp_path.glob(f"{PREFIX}*{ALIVE}"))):
        os.utime(path, (number, number))
    fold(tmp_path)
    kept = [f"gauge_all_{DEAD + number}.db" for number in range(18, 50)]
    assert [name for name in names(tmp_path) if name.startswith("gauge_all")] == kept
    assert len(list(tmp_path.glob(f"*{ALIVE}"))) == len(kept)


def test_many_dead_workers_are_folded_a_part_at_a_time(tmp_path):
    prepare(tmp_path, range(10))
    before = seen(tmp_path)
    for _ in range(3):
        fold(tmp_path, most=4)
        assert seen(tmp_path) == before
    assert not list(tmp_path.glob("counter_4*"))


def test_callers_of_dead_workers_do_not_make_a_scrape_grow(workers, tmp_path):  # noqa: F811
    living, dying = workers
    first, rounds = "203.0.113.1", 12
    living.do(f"metrics.inc(s.RATE_LIMIT_EXCEEDED, 'anonymous', '{first}')")
    for number in range(rounds):
        dying.do(f"metrics.inc(s.RATE_LIMIT_EXCEEDED, 'anonymous', '{first}')")
        caller = f"f'10.{number}.0.{{each}}'"
        dying.do(f"[metrics.inc(s.RATE_LIMIT_EXCEEDED, 'anonymous', {caller}) for each in range(95)]")
        dying.do("metrics.inc(s.QUERIES)")
        dying.end()
        living.scrape()
        dying = Worker(tmp_path)
    workers[1] = dying
    scrape = living.scrape()
    callers = {labels[1]: value for labels, value in scrape.of(s.RATE_LIMIT_EXCEEDED).items()}
    assert callers[first] == 1 + rounds  # a living worker has it: it never goes back
    assert len(callers) <= MOST_CALLERS_SERIES + 2 < rounds * 95
    assert {f"10.{rounds - 1}.0.{each}" for each in range(95)} <= set(callers)  # the last are kept
    assert "10.0.0.0" not in callers
    assert scrape.value(s.QUERIES) == rounds


def test_workers_of_another_container_are_left_to_their_own(tmp_path):
    prepare(tmp_path, range(2))
    for path in tmp_path.glob(f"*{ALIVE}"):
        path.rename(path.with_name(path.name.replace(pid_space(), "0" * 8)))
    before = names(tmp_path)
    fold(tmp_path)
    assert names(tmp_path) == before


def test_a_living_worker_of_another_container_has_its_gauges(workers, tmp_path):  # noqa: F811
    one, two = workers
    for worker in workers:
        worker.do("metrics.set(s.DB_CONNECTIONS_ACTIVE, 4)")
        worker.do("metrics.inc(s.QUERIES)")
    two_pid = two.process.pid
    # As another container's: a pid that is no process here, and a pid space that is not ours. The lock is still held.
    for path in [*tmp_path.glob(f"*_{two_pid}.db"), *tmp_path.glob(f"{PREFIX}{two_pid}_*")]:
        path.rename(tmp_path / path.name.replace(f"_{two_pid}", f"_{DEAD}").replace(pid_space(), "0" * 8))
    scrape = one.scrape()
    assert scrape.value(s.DB_CONNECTIONS_ACTIVE) == 8
    assert {x.labels["pid"] for x in scrape.samples if "pid" in x.labels} == {str(one.process.pid)}
    two.end()
    scrape = one.scrape()
    assert scrape.value(s.DB_CONNECTIONS_ACTIVE) == 4
    assert scrape.value(s.QUERIES) == 2
    assert f"counter_{DEAD}.db" in names(tmp_path)


def test_a_pid_that_a_living_process_of_another_container_has_as_well_is_said(tmp_path):
    script = (
        "import os, fcntl\n"
        "from fraiseql_guard.telemetry import Metrics\n"
        f"path = f'{tmp_path}/{PREFIX}{{os.getpid()}}_00000000_1{ALIVE}'\n"
        "file = open(path, 'w'); fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print(Metrics().shares_its_pid)\n"
    )
    for held in (True, False):
        text = script if held else script.replace("fcntl.flock(file, fcntl.LOCK_EX)", "file.close()")
        done = subprocess.run(
            [sys.executable, "-c", text], env={**os.environ, VARIABLE: str(tmp_path)}, cwd=ROOT, capture_output=True
        )
        assert done.stdout.decode().strip() == str(held), done.stderr


def test_while_another_process_reads_nothing_is_folded(tmp_path):
    prepare(tmp_path, range(2))
    fold(tmp_path)
    prepare(tmp_path, range(2, 4))
    before = names(tmp_path)
    with (tmp_path / f"{PREFIX}folding.lock").open() as lock:
        flock(lock, LOCK_SH)
        fold(tmp_path)
        assert names(tmp_path) == before
    fold(tmp_path)
    assert names(tmp_path) != before


def test_a_folder_that_hangs_does_not_keep_anybody_from_reading(tmp_path):
    prepare(tmp_path, range(2))
    fold(tmp_path)
    before = seen(tmp_path)
    with (tmp_path / f"{PREFIX}folding.lock").open() as lock:
        flock(lock, LOCK_EX)
        assert seen(tmp_path, read_wait_seconds=0.05) == before


def test_a_new_worker_folds_what_its_predecessor_left(tmp_path):
    prepare(tmp_path, range(3))
    worker = Worker(tmp_path)
    try:
        assert not [name for name in names(tmp_path) if str(DEAD) in name and "gauge_all" not in name]
    finally:
        worker.end()

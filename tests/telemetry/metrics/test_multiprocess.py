"""Several workers behind one metrics path: the operator sees the sum of the living, and of what the dead counted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from fraiseql_guard.core import signals as s
from fraiseql_guard.telemetry.metrics.multiprocess import VARIABLE
from tests.telemetry.metrics.scrape import ROOT, Scrape, promtool_complaints


class Worker:
    def __init__(self, directory, *, script="tests.telemetry.metrics.worker"):
        self.process = subprocess.Popen(
            [sys.executable, "-m", script],
            env={**os.environ, VARIABLE: str(directory)},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._answer() == b"ready"

    def do(self, statement):
        self._say(statement)
        assert self._answer() == b"done"

    def render(self):
        self._say("render")
        return self.process.stdout.read(int(self._answer()))

    def scrape(self):
        return Scrape(self.render())

    def kill(self):
        """Without a wait(): a parent that does not look leaves a zombie."""
        self.process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)

    def end(self):
        self.process.kill()
        self.process.communicate()

    def _say(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def _answer(self):
        return self.process.stdout.readline().strip()


@pytest.fixture
def workers(tmp_path):
    both = []
    try:
        both += [Worker(tmp_path), Worker(tmp_path)]
        yield both
    finally:
        for worker in both:
            worker.end()


def test_counters_and_histograms_are_summed_whichever_worker_is_scraped(workers):
    one, two = workers
    one.do("metrics.inc(s.HTTP_REQUESTS, '/graphql', '200', 'alice')")
    two.do("metrics.inc(s.HTTP_REQUESTS, '/graphql', '200', 'alice', amount=2)")
    one.do("metrics.inc(s.QUERIES_SUCCESS)")
    one.do("metrics.observe(s.QUERY_COMPLEXITY, 40)")
    two.do("metrics.observe(s.QUERY_COMPLEXITY, 60)")
    two.do("metrics.inc(s.QUERY_COMPLEXITY_SUM, 'alice', amount=100)")
    for worker in workers:
        scrape = worker.scrape()
        assert scrape.value(s.HTTP_REQUESTS, "/graphql", "200", "alice") == 3
        assert scrape.value(s.QUERIES_SUCCESS) == 1
        assert scrape.value(s.QUERY_COMPLEXITY, suffix="_sum") == 100
        assert scrape.value(s.QUERY_COMPLEXITY, suffix="_count") == 2
        assert scrape.value(s.QUERY_COMPLEXITY_SUM, "alice") == 100


def test_several_workers_show_the_types_and_series_that_one_would(workers):
    one, two = workers
    one.do("metrics.inc(s.QUERIES_SUCCESS)")
    two.do("metrics.observe(s.QUERY_COMPLEXITY, 60)")
    for worker in workers:
        scrape = worker.scrape()
        assert scrape.of(s.REFUSALS) == dict.fromkeys(s.REFUSALS.closed, 0)
        assert scrape.types[s.QUERY_COMPLEXITY.name] == "histogram"
        assert scrape.types[s.QUERIES_SUCCESS.name] == "counter"
        assert s.DB_CONNECTIONS_ACTIVE.name not in scrape.types
    promtool_complaints(one.render())


def test_pool_gauges_add_up_and_flags_do_not(workers):
    one, two = workers
    for worker in workers:
        worker.do("metrics.set(s.DB_CONNECTIONS_TOTAL, 10)")
        worker.do("metrics.set(s.STORE_BREAKER_OPEN, 1)")
    scrape = one.scrape()
    assert scrape.value(s.DB_CONNECTIONS_TOTAL) == 20
    assert scrape.value(s.STORE_BREAKER_OPEN) == 1
    two.do("metrics.set(s.STORE_BREAKER_OPEN, 0)")
    assert one.scrape().value(s.STORE_BREAKER_OPEN) == 1


def test_process_metrics_of_every_living_worker_with_its_pid(workers):
    pids = {str(worker.process.pid) for worker in workers}
    found = {
        sample.labels["pid"]
        for sample in workers[0].scrape().samples
        if sample.name in (s.PROCESS_RESIDENT_MEMORY.name, s.PROCESS_CPU.name)
    }
    assert found == pids


def test_collections_of_both_are_counted(workers):
    one, two = workers
    one.render()
    for _ in range(5):
        two.do("__import__('gc').collect()")
    before = one.scrape().of(s.GC_COLLECTIONS)
    two.do("metrics.observe(s.RESPONSE_TIME, 0.1)")
    after = one.scrape().of(s.GC_COLLECTIONS)
    assert after["2",] >= before["2",] + 5


def test_a_killed_worker_keeps_its_counts_and_loses_its_gauges_and_process_metrics(workers):
    one, two = workers
    for worker in workers:
        worker.do("metrics.inc(s.QUERIES)")
        worker.do("metrics.set(s.DB_CONNECTIONS_ACTIVE, 4)")
    two.kill()  # a zombie for now
    for _ in range(2):
        scrape = one.scrape()
        assert scrape.value(s.QUERIES) == 2
        assert scrape.value(s.DB_CONNECTIONS_ACTIVE) == 4
        assert {x.labels["pid"] for x in scrape.samples if "pid" in x.labels} == {str(one.process.pid)}
        two.process.wait()


def test_a_pid_that_passed_to_another_process_is_not_a_worker(workers, tmp_path):
    one, two = workers
    two.do("metrics.inc(s.QUERIES, amount=3)")
    two.do("metrics.set(s.DB_CONNECTIONS_ACTIVE, 4)")
    one.do("metrics.set(s.DB_CONNECTIONS_ACTIVE, 1)")
    pid = two.process.pid
    two.end()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        for path in [*tmp_path.glob(f"*_{pid}.db"), *tmp_path.glob(f"fraiseql_guard_{pid}_*.alive")]:
            path.rename(tmp_path / path.name.replace(f"_{pid}", f"_{other.pid}"))
        scrape = one.scrape()
        assert scrape.value(s.DB_CONNECTIONS_ACTIVE) == 1
        assert scrape.value(s.QUERIES) == 3
        assert {x.labels["pid"] for x in scrape.samples if "pid" in x.labels} == {str(one.process.pid)}
        assert (tmp_path / f"counter_{other.pid}.db").exists()  # it may be about to go on in there
        other.communicate(b"\n")
    assert one.scrape().value(s.QUERIES) == 3
    assert not (tmp_path / f"counter_{other.pid}.db").exists()


def test_a_process_without_a_guard_is_a_worker_until_its_pid_has_passed_on(workers, tmp_path):
    one, two = workers
    two.do("metrics.set(s.DB_CONNECTIONS_ACTIVE, 4)")
    one.do("metrics.set(s.DB_CONNECTIONS_ACTIVE, 1)")
    (life,) = tmp_path.glob(f"fraiseql_guard_{two.process.pid}_*.alive")
    life.unlink()
    assert one.scrape().value(s.DB_CONNECTIONS_ACTIVE) == 5
    for path in tmp_path.glob(f"*_{two.process.pid}.db"):
        os.utime(path, (1, 1))  # as if it was written long before the process with this pid began
    assert one.scrape().value(s.DB_CONNECTIONS_ACTIVE) == 1


@pytest.mark.parametrize("size", [0, 3, 100, 5000])
def test_one_truncated_file_costs_that_file_and_is_counted_once(workers, tmp_path, size):
    one, two = workers
    one.do("metrics.inc(s.QUERIES)")
    pid = two.process.pid
    two.end()
    os.truncate(tmp_path / f"counter_{pid}.db", size)
    for _ in range(2):
        scrape = one.scrape()
        assert scrape.value(s.QUERIES) == 1
    assert scrape.value(s.FAULTS, "metrics_file") == 1


def test_rubbish_in_a_file_does_not_break_the_scrape(workers, tmp_path):
    (tmp_path / "histogram_99999999.db").write_bytes(b"\x40\0\0\0\0\0\0\0" + b"\x10\0\0\0not json at all\xff" * 4)
    workers[0].do("metrics.inc(s.QUERIES)")
    assert workers[0].scrape().value(s.QUERIES) == 1


def test_sums_are_exact_when_labels_overflow_in_every_worker(workers):
    for worker in workers:
        for_all = "for n in range(700): metrics.inc(s.RATE_LIMIT_EXCEEDED, f'user-{n}', f'10.0.{n % 9}.{n % 256}')"
        worker.do(for_all)
    series = workers[0].scrape().of(s.RATE_LIMIT_EXCEEDED)
    assert sum(series.values()) == 1400
    assert len(series) <= 1000
    assert len({user for user, _ in series}) <= 201


GO_BY = "clock.now += 4200; metrics.render()"
FLOOD = "for n in range(300): metrics.inc(s.RATE_LIMIT_EXCEEDED, f'user-{at}-{n}', f'10.{at}.0.{n % 256}')"


def test_a_caller_who_is_gone_from_all_workers_makes_room_and_goes_on_when_back(workers):
    one, two = workers
    for worker in workers:
        worker.do("metrics.inc(s.RATE_LIMIT_EXCEEDED, 'alice', '192.0.2.1', amount=5)")
    for _ in range(2):
        one.do(GO_BY)
    one.do(FLOOD.replace("{at}", "1"))
    found = one.scrape().of(s.RATE_LIMIT_EXCEEDED)
    assert found["alice", "192.0.2.1"] == 10, "the other worker still has her"
    for _ in range(2):
        two.do(GO_BY)
    two.do(FLOOD.replace("{at}", "1"))
    for worker in workers:
        found = worker.scrape().of(s.RATE_LIMIT_EXCEEDED)
        assert ("alice", "192.0.2.1") not in found
        assert not any(":" in sample.name for sample in worker.scrape().samples)
    for _ in range(2):
        one.do(GO_BY)
    one.do("metrics.inc(s.RATE_LIMIT_EXCEEDED, 'alice', '192.0.2.1')")
    assert two.scrape().value(s.RATE_LIMIT_EXCEEDED, "alice", "192.0.2.1") == 11, "no step back, and none forward"


def test_floods_of_days_leave_a_bounded_number_of_series(workers):
    one, _ = workers
    for at in range(12):
        one.do(FLOOD.replace("{at}", str(at)))
        for _ in range(2):
            one.do(GO_BY)
    found = one.scrape().of(s.RATE_LIMIT_EXCEEDED)
    assert len(found) <= 1000
    assert any(user.startswith("user-11-") for user, _ in found)


FORKING = """
import os, sys
from fraiseql_guard.core import signals as s
from fraiseql_guard.telemetry import Metrics
metrics = Metrics(workers=2)
metrics.inc(s.QUERIES)
for _ in range(2):
    if os.fork() == 0:
        metrics.inc(s.QUERIES, amount=10)
        os._exit(0)
for _ in range(2):
    os.wait()
sys.stdout.buffer.write(metrics.render())
"""


def test_workers_forked_after_the_start_count_for_themselves(tmp_path):
    body = run(FORKING, tmp_path)
    assert Scrape(body).value(s.QUERIES) == 21


APP_METRICS = """
import sys
from prometheus_client import CollectorRegistry, Counter
from fraiseql_guard.core import signals as s
from fraiseql_guard.telemetry import Metrics
registry = CollectorRegistry()
Counter("orders", "Orders.", registry=registry).inc(3)
metrics = Metrics(registry if "injected" in sys.argv else None)
sys.stdout.buffer.write(metrics.render())
"""


def test_the_app_s_metrics_are_exported_with_an_injected_registry_only(tmp_path):
    run(APP_METRICS, tmp_path)  # a worker that has gone
    assert b"orders" not in run(APP_METRICS, tmp_path)
    body = run(APP_METRICS, tmp_path, "injected")
    assert b"\norders_total 9.0\n" in body
    assert b":counter" not in body
    Scrape(body)


def test_a_missing_directory_stops_the_start_and_says_so(tmp_path):
    script = "from fraiseql_guard.telemetry import Metrics\ntry: Metrics()\nexcept ValueError as e: print(e)"
    assert f"{VARIABLE}='{tmp_path}/none' is not a directory".encode() in run(script, tmp_path / "none")


def run(script, directory, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, VARIABLE: str(directory)},
        cwd=ROOT,
        capture_output=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout

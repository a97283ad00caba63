"""The log's last metre: full pipes, full disks, rotation, closed streams and forks."""

from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fraiseql_guard.core import signals as s
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.telemetry import EventLog, Metrics
from fraiseql_guard.telemetry.log.sinks import FileSink, StreamSink
from fraiseql_guard.telemetry.log.writer import LineWriter
from tests.telemetry.metrics.scrape import ROOT, Scrape


def numbers(text):
    return [json.loads(line)["context"]["n"] for line in text.splitlines()]


def run(script, *, stderr=subprocess.PIPE, **options):
    return subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, timeout=30, **options
    )


PREAMBLE = """
import os, sys, time
from fraiseql_guard.core import signals as s
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.telemetry import EventLog, Metrics
metrics = Metrics()
log = EventLog(Settings.load({}), metrics)
def failures():
    return float(metrics.render().decode().partition(f"\\n{s.LOG_FAILURES.name} ")[2].partition("\\n")[0])
"""


def test_lines_keep_their_order_and_are_all_there_when_the_process_ends():
    script = PREAMBLE + "for n in range(3000): log.emit(s.RATE_LIMIT_ABUSE, {}, n=n)"
    assert numbers(run(script).stderr) == list(range(3000))


def test_a_pipe_that_is_not_read_does_not_hold_the_process():
    reader, writer = os.pipe()
    try:
        script = PREAMBLE + "for n in range(40_000): log.emit(s.RATE_LIMIT_ABUSE, {}, n=n)\nprint(failures())"
        done = run(script, stderr=writer)
        assert done.returncode == 0
        assert float(done.stdout) > 10_000
        os.close(writer)
        with os.fdopen(os.dup(reader)) as unread:
            assert numbers(unread.read().rpartition("\n")[0])[:100] == list(range(100))
    finally:
        os.close(reader)


def test_a_pipe_that_does_not_wait_loses_lines_and_spoils_none(monkeypatch):
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    failed = []
    with os.fdopen(writer, "w") as stream, os.fdopen(reader) as read:
        monkeypatch.setattr(sys, "stderr", stream)
        lines = LineWriter(StreamSink(), on_failure=failed.append)
        for n in range(2000):
            lines.put(b'{"context": {"n": %d, "padding": "%s"}}\n' % (n, b"x" * 300))
            if n % 100 == 99:
                assert lines.flush(5)
        lines.close(5)
        monkeypatch.undo()
        stream.close()
        found = numbers(read.read())
    assert found[:100] == list(range(100))
    assert len(found) + sum(failed) == 2000


def test_a_closed_standard_error_is_counted_and_nothing_else():
    for close in ("sys.stderr.close()", "os.close(2)", "sys.stderr = None"):
        script = PREAMBLE + close + "\nfor n in range(10): log.emit(s.RATE_LIMIT_ABUSE, {})\n"
        done = run(script + "log.flush(5)\nprint(failures())")
        assert (done.returncode, done.stdout) == (0, b"10.0\n"), close


def test_a_reader_that_left_is_counted():
    reader, writer = os.pipe()
    os.close(reader)
    done = run(PREAMBLE + "log.emit(s.RATE_LIMIT_ABUSE, {})\nlog.flush(5)\nprint(failures())", stderr=writer)
    os.close(writer)
    assert (done.returncode, done.stdout) == (0, b"1.0\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_counted(tmp_path):
    metrics = Metrics()
    log = EventLog(Settings.load({}, log_file=Path("/dev/full")), metrics)
    log.emit(s.RATE_LIMIT_ABUSE, {})
    log.close()
    assert Scrape(metrics.render()).value(s.LOG_FAILURES) == 1


def test_after_half_a_line_a_new_one_begins(tmp_path, monkeypatch):
    sink = FileSink(tmp_path / "app.log")
    write, room = os.write, [10]

    def full_disk(descriptor, data):
        if not room[0]:
            raise OSError(errno.ENOSPC, "no space left")
        written = write(descriptor, bytes(data)[: room[0]])
        room[0] -= written
        return written

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full_disk)
        with pytest.raises(OSError, match="no space"):
            sink.write(b'{"n": "half a line"}\n')
        with pytest.raises(OSError, match="no space"):
            sink.write(b'{"n": "nothing"}\n')
    sink.write(b'{"n": 3}\n')
    sink.write(b'{"n": 4}\n')
    assert (tmp_path / "app.log").read_text().splitlines() == ['{"n": "hal', '{"n": 3}', '{"n": 4}']
    sink.close()


class TestRotation:
    @pytest.fixture
    def sink(self, tmp_path):
        self.now = 0.0
        self.path = tmp_path / "app.log"
        sink = FileSink(self.path, clock=lambda: self.now)
        yield sink
        sink.close()

    def test_a_renamed_file_is_followed_within_a_second(self, sink):
        sink.write(b"1\n")
        old = self.path.rename(self.path.with_suffix(".1"))
        sink.write(b"2\n")
        self.now = 1.0
        sink.write(b"3\n")
        assert (old.read_text(), self.path.read_text()) == ("1\n2\n", "3\n")

    def test_a_truncated_file_goes_on_from_its_beginning(self, sink):
        sink.write(b"1\n")
        os.truncate(self.path, 0)
        sink.write(b"2\n")
        assert self.path.read_text() == "2\n"

    def test_a_directory_that_is_gone_for_a_while_costs_lines_only(self, sink):
        sink.write(b"1\n")
        away = self.path.parent.rename(self.path.parent.with_name("away"))
        self.now = 1.0
        for _ in range(2):
            with pytest.raises(OSError, match=r"No such file|could not be opened"):
                sink.write(b"2\n")
        away.rename(self.path.parent)
        self.now = 2.0
        sink.write(b"3\n")
        assert self.path.read_text() == "1\n3\n"

    def test_others_may_not_read_the_file(self, sink):
        sink.write(b"1\n")
        assert self.path.stat().st_mode & 0o007 == 0


def test_forked_workers_write_their_own_lines_and_none_twice():
    script = (
        PREAMBLE
        + """
for n in range(100): log.emit(s.RATE_LIMIT_ABUSE, {}, n=n)
children = []
for child in (1, 2):
    pid = os.fork()
    if pid == 0:
        for n in range(100): log.emit(s.RATE_LIMIT_ABUSE, {}, n=child * 1000 + n)
        log.close()
        os._exit(0)
    children.append(pid)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
"""
    )
    done = run(script, env={**os.environ, "PYTHONWARNINGS": "ignore::DeprecationWarning"})
    found = numbers(done.stderr)
    assert sorted(found) == [*range(100), *range(1000, 1100), *range(2000, 2100)]
    assert [n for n in found if n >= 2000] == list(range(2000, 2100))


def test_lines_of_many_threads_are_whole():
    stream = io.StringIO()
    log = EventLog(Settings.load({}), stream=stream)
    threads = [
        threading.Thread(target=lambda start=start: [log.emit(s.STARTED, {}, n=start + n) for n in range(200)])
        for start in range(0, 2000, 200)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert sorted(numbers(stream.getvalue())) == list(range(2000))


def log_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "fraiseql-guard-log" and thread.is_alive()}


def test_a_closed_log_starts_again_with_the_next_line():
    others = log_threads()  # of guards that other tests have left to themselves
    stream = io.StringIO()
    log = EventLog(Settings.load({}), stream=stream)
    for n in range(3):
        log.emit(s.STARTED, {}, n=n)
        log.close()
        log.close()
    assert numbers(stream.getvalue()) == [0, 1, 2]
    assert log_threads() <= others


def test_standard_error_is_the_one_of_the_moment(capsys):
    log = EventLog(Settings.load({}))
    log.emit(s.STARTED, {}, n=1)
    log.close()
    assert numbers(capsys.readouterr().err) == [1]


def test_a_pipe_shared_by_workers_gets_whole_lines_at_once(tmp_path):
    reader, writer = os.pipe()
    fcntl.fcntl(writer, getattr(fcntl, "F_SETPIPE_SZ", 1031), 1 << 20)
    script = PREAMBLE + "for n in range(300): log.emit(s.STARTED, {}, n=n, padding='x' * 150)"
    processes = [subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stderr=writer) for _ in range(2)]
    os.close(writer)
    with os.fdopen(reader) as lines:
        found = numbers(lines.read())
    assert [process.wait() for process in processes] == [0, 0]
    assert sorted(found) == sorted([*range(300)] * 2)

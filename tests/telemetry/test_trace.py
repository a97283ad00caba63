"""Which trace a log line belongs to."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from fraiseql_guard.telemetry.trace import request_id, trace_id

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


def test_a_valid_traceparent_is_followed():
    assert trace_id(f"00-{TRACE}-{SPAN}-01") == TRACE
    assert trace_id(f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like") == TRACE


@pytest.mark.parametrize(
    "traceparent",
    [
        None,
        "",
        "nonsense",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE}-{SPAN}",
        f" 00-{TRACE}-{SPAN}-01",
    ],
)
def test_anything_else_begins_a_trace_of_its_own(traceparent):
    one, two = trace_id(traceparent), trace_id(traceparent)
    assert re.fullmatch(r"[0-9a-f]{32}", one)
    assert one not in (two, TRACE)


def test_the_active_span_comes_first():
    trace = pytest.importorskip("opentelemetry.trace")
    context = trace.SpanContext(int("a" * 32, 16), 1, is_remote=False)
    with trace.use_span(trace.NonRecordingSpan(context)):
        assert trace_id(f"00-{TRACE}-{SPAN}-01") == "a" * 32
    assert trace_id(f"00-{TRACE}-{SPAN}-01") == TRACE


def test_without_a_span_the_traceparent_is_enough():
    assert trace_id(f"00-{TRACE}-{SPAN}-01", "") == TRACE


def test_request_ids_are_ours_and_never_twice():
    ids = {request_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch(r"[0-9a-f]{32}", one) for one in ids)


def test_processes_that_fork_do_not_share_ids():
    program = (
        "import os\n"
        "from fraiseql_guard.telemetry.trace import request_id\n"
        "request_id()\n"
        "ours, theirs = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    os.write(theirs, ' '.join(request_id() for _ in range(300)).encode())\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "child = set(os.read(ours, 65536).decode().split())\n"
        "mine = {request_id() for _ in range(300)}\n"
        "print(len(child), len(mine), len(child & mine))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["300", "300", "0"]

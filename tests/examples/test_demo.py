"""The demo keeps its promise, and says so when the guard does not keep its own."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from examples.demo.blogs import FRAISEQL_BLOG, STARLETTE_BLOG, choose_blog
from examples.demo.stage import ExpectationError, describe, expect
from examples.process import PROJECT, parse_samples, sum_of
from fraiseql_guard.core.signals import QUERY_TOO_DEEP, RATE_LIMITED


def refusal(status: int, code: str, **numbers: object) -> httpx.Response:
    extensions = {"code": code, "requestId": "r", **numbers}
    return httpx.Response(status, json={"errors": [{"message": "no", "extensions": extensions}]})


def test_the_example_follows_the_python() -> None:
    blog, sentence = choose_blog()
    assert blog is (FRAISEQL_BLOG if sys.version_info[:2] == (3, 13) else STARLETTE_BLOG)
    assert "example" in sentence


def test_samples_keep_the_names_of_the_exposition() -> None:
    samples = parse_samples('# HELP a b\na_total{x="1",y="q\\"{}"} 2\na_total{x="2",y=""} 3.5\nb_success 1\n')
    assert sum_of(samples, "a_total") == 5.5
    assert sum_of(samples, "a_total", x="1") == 2
    assert sum_of(samples, "b_success") == 1
    assert sum_of(samples, "missing") == 0


def test_refusals_are_described_by_their_numbers() -> None:
    assert describe(refusal(400, "QUERY_TOO_DEEP", limit=10, actual=15)) == "400 QUERY_TOO_DEEP, limit 10, actual 15"
    assert describe(refusal(401, "UNAUTHENTICATED", limit=None)) == "401 UNAUTHENTICATED"


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, json={"data": {}}),
        refusal(400, "QUERY_TOO_COMPLEX"),
        refusal(500, "QUERY_TOO_DEEP"),
        httpx.Response(400, json={"errors": [{"extensions": {"code": "QUERY_TOO_DEEP"}}]}),
        httpx.Response(400, json={}),
    ],
)
def test_another_answer_than_the_promised_one_is_noticed(answer: httpx.Response) -> None:
    with pytest.raises(ExpectationError, match="QUERY_TOO_DEEP"):
        expect(answer, QUERY_TOO_DEEP)


def test_errors_behind_a_200_are_noticed() -> None:
    with pytest.raises(ExpectationError):
        expect(httpx.Response(200, json={"data": None, "errors": [{"message": "no"}]}))
    expect(httpx.Response(200, json={"data": {}}))
    expect(refusal(429, "RATE_LIMITED"), RATE_LIMITED)


def run_curl(command: str) -> str:
    """Do what curl would: not every machine has it."""
    words = shlex.split(command.partition(" | ")[0])
    options = {flag: value for flag, value in pairwise(words) if flag == "-d"}
    headers = dict(value.split(": ", 1) for flag, value in pairwise(words) if flag == "-H")
    url = next(word for word in words if word.startswith("http"))
    method = "POST" if "-d" in options else "GET"
    return httpx.request(method, url, headers=headers, content=options.get("-d"), timeout=30, trust_env=False).text


def run_demo(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "examples.demo", *arguments],
        cwd=PROJECT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_demo_shows_every_refusal() -> None:
    output, errors = (demo := run_demo()).communicate(timeout=240)
    assert demo.returncode == 0, output + errors
    for status in ("400 QUERY_TOO_DEEP", "400 QUERY_TOO_COMPLEX", "401 UNAUTHENTICATED", "403 BLOCKED"):
        assert status in output
    assert "429 RATE_LIMITED" in output
    assert "504 QUERY_TIMEOUT" in output
    assert ("pg_stat_activity: 0 statements" in output) is (sys.version_info[:2] == (3, 13))
    assert "\x1b[" not in output, "colours are for terminals"
    assert errors == ""


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Not pytest's own: its path is too long for a socket, and another user (PostgreSQL under root) may not enter."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def test_the_served_example_stays_until_it_is_ended(short_folder: Path) -> None:
    demo = run_demo("--serve", TMPDIR=str(short_folder))
    lines = []
    for line in demo.stdout:
        lines.append(line.rstrip("\n"))
        if line.startswith("The token is good"):
            break
    curls = [line.strip() for line in lines if line.lstrip().startswith("curl ")]
    outputs = [run_curl(curl) for curl in curls]
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=60)
    assert len(curls) == 3
    assert '"data"' in outputs[0]
    assert "QUERY_TOO_COMPLEX" in outputs[1]
    assert "QUERY_TOO_COMPLEX" in outputs[2]
    assert demo.returncode == 0
    deadline = time.monotonic() + 60
    while list(short_folder.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not list(short_folder.iterdir())

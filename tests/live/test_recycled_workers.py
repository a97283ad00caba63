"""Workers of gunicorn and uvicorn that end after a few requests, again and again, on one directory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from fraiseql_guard.core import signals as s
from fraiseql_guard.telemetry.metrics.multiprocess import VARIABLE
from tests.support.ports import free_port
from tests.support.workers import TOLD_BY_NOW
from tests.telemetry.metrics.scrape import ROOT, Scrape

WORKERS, RECYCLED, REQUESTS_EACH = 2, 12, 10
MOST_FILES = 8 * (WORKERS + 3) + 6
"""Four types of metric, a life and the new ones of the next workers; the folded files, the locks."""


@contextmanager
def served(server: str, folder: Path, *, meeting: bool, log: Path):
    """A URL of the guarded app below WORKERS workers of ``server``."""
    port = free_port()
    app = "tests.live.recycled_app:app"
    if server == "gunicorn":
        command = ["gunicorn", app, "-k", "asgi", "-b", f"127.0.0.1:{port}", "-w", str(WORKERS)]
        command += ["--max-requests", str(REQUESTS_EACH), "--graceful-timeout", "5", "--no-control-socket"]
    else:
        command = ["uvicorn", app, "--port", str(port), "--workers", str(WORKERS)]
        command += ["--limit-max-requests", str(REQUESTS_EACH), "--log-level", "warning"]
    environ = {**os.environ, "FRAISEQL_GUARD_LOG_FILE": str(log), "PYTHONPATH": str(ROOT)}
    if meeting:
        environ[VARIABLE] = str(folder)
    with (log.parent / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env=environ,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its own group, which we have started
            process.wait()


class Client:
    """Asks until it is answered: a worker that ends closes connections."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.answers = 0

    def get(self, path: str) -> str:
        deadline = time.monotonic() + 90
        while True:
            try:
                answer = httpx.get(f"{self._url}{path}", timeout=10, trust_env=False, headers={"connection": "close"})
                answer.raise_for_status()
            except httpx.TransportError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
                continue
            self.answers += path == "/pid"
            return answer.text


def requests_counted(scrape: Scrape) -> float:
    return sum(value for labels, value in scrape.of(s.HTTP_REQUESTS).items() if "/metrics" not in labels)


@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"])
def test_sums_never_go_down_nor_double_and_files_stay_few(tmp_path, server) -> None:
    folder = tmp_path / "metrics"
    folder.mkdir()
    with served(server, folder, meeting=True, log=tmp_path / "app.log") as url:
        client, pids, before = Client(url), set(), 0.0
        while len(pids) < RECYCLED:
            pids.update(client.get("/pid") for _ in range(REQUESTS_EACH // 2))
            now = requests_counted(Scrape(client.get("/metrics").encode()))
            assert before <= now
            before = now
            assert len(list(folder.iterdir())) <= MOST_FILES, sorted(folder.iterdir())
        time.sleep(TOLD_BY_NOW)
        counted = requests_counted(Scrape(client.get("/metrics").encode()))
        # Whether a request whose connection a worker closed at its end was counted, its client cannot know.
        assert client.answers <= counted <= client.answers * 1.1
        assert (folder / "counter_folded.db").exists()


@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"])
def test_workers_that_count_for_themselves_are_said_at_the_start(tmp_path, server) -> None:
    log = tmp_path / "app.log"
    with served(server, tmp_path, meeting=False, log=log) as url:
        Client(url).get("/pid")
    # The last lines are written at the end.
    details = [json.loads(line)["context"].get("detail", "") for line in log.read_text().splitlines()]
    (sentence,) = {detail for detail in details if VARIABLE in detail}
    # Where setproctitle is installed, gunicorn puts a title in the place of the command line.
    seen = (f"{server} --workers {WORKERS}", f"{WORKERS} processes of {server}")
    assert sentence.startswith(tuple(f"{how} and {VARIABLE} is not set" for how in seen))
    assert f"Set {VARIABLE} to an empty directory" in sentence

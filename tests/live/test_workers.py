"""Four real workers behind one port: what the operator scrapes is right whichever answers, and whichever dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from fraiseql_guard.core import signals as s
from fraiseql_guard.telemetry.metrics.multiprocess import VARIABLE
from tests.support.machine import MIB, Machine
from tests.support.ports import free_port
from tests.support.workers import TOLD_BY_NOW
from tests.telemetry.metrics.scrape import ROOT, Scrape

WORKERS = 4
LIMIT = 1000 * MIB
CACHE_BYTES = 10_000_000
OWN_CACHES = 2_000_000  # what the guard's own caches hold at most in this test, in one worker


class Service:
    """uvicorn with four workers; it replaces one that dies."""

    def __init__(self, folder: Path) -> None:
        self.container = Machine(folder / "machine")
        self.container.member_of("/", version=2)
        self.use(40)
        self._metrics = folder / "metrics"
        self._metrics.mkdir()
        self._log = folder / "app.log"
        self._output = folder / "uvicorn.log"
        self.port = free_port()

    def __enter__(self) -> Service:
        environment = {
            **os.environ,
            VARIABLE: str(self._metrics),
            "CONTAINER_ROOT": str(self.container.root),
            "CACHE_BYTES": str(CACHE_BYTES),
            "FRAISEQL_GUARD_LOG_FILE": str(self._log),
        }
        command = [sys.executable, "-m", "uvicorn", "tests.live.workers_app:app", "--workers", str(WORKERS)]
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [*command, "--port", str(self.port)], cwd=ROOT, env=environment, stdout=output, stderr=output
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def use(self, percent: int) -> None:
        """Fill the container."""
        self.container.group_v2("", LIMIT * percent // 100, LIMIT)

    def get(self, path: str) -> bytes:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=10, trust_env=False).content

    def scrape(self) -> Scrape:
        time.sleep(TOLD_BY_NOW)  # what the other workers have counted
        return Scrape(self.get("/metrics"))

    def pids(self) -> set[str]:
        """Workers that answer now. The kernel deals connections out as it likes, and may pass one over for long."""
        found: set[str] = set()
        for _ in range(100 * WORKERS):
            found.add(self.get("/pid").decode())
            if len(found) == WORKERS:
                break
        return found

    def events(self, name: str) -> int:
        lines = [json.loads(line) for line in self._log.read_text().splitlines()] if self._log.exists() else []
        return sum(line["event"] == name for line in lines)

    def wait_for(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while True:
            try:
                if condition():
                    return
            except httpx.TransportError:
                pass  # not there yet, or it was just killed
            assert time.monotonic() < end, self._output.read_text()
            time.sleep(0.2)


@pytest.fixture
def service(tmp_path):
    with Service(tmp_path) as service:
        service.wait_for(lambda: len(service.pids()) == WORKERS)
        yield service


def seen(scrape: Scrape) -> set[str]:
    """The workers of which the process metrics tell."""
    return {each.labels["pid"] for each in scrape.samples if each.name == s.PROCESS_RESIDENT_MEMORY.name}


def caches_of_all(scrape: Scrape) -> bool:
    size = scrape.value(s.CACHE_SIZE) or 0
    return WORKERS * CACHE_BYTES <= size <= WORKERS * (CACHE_BYTES + OWN_CACHES)


def test_memory_and_process_metrics_are_those_of_the_living(service):
    before = service.pids()
    for _ in range(2 * WORKERS):  # whichever worker is asked
        scrape = service.scrape()
        assert scrape.value(s.MEMORY_USED) == 400 * MIB  # the container's, not four times that
        assert scrape.value(s.MEMORY_LIMIT) == LIMIT
        assert scrape.value(s.MEMORY_RATIO) == pytest.approx(0.4)
        assert seen(scrape) == before
        assert caches_of_all(scrape)
    counted = service.scrape().of(s.HTTP_REQUESTS)

    victim = min(before)
    os.kill(int(victim), signal.SIGKILL)
    service.wait_for(lambda: victim not in seen(service.scrape()))
    service.wait_for(lambda: len(service.pids()) == WORKERS)
    after = service.pids()
    assert victim not in after
    assert len(after - before) == 1
    for _ in range(2 * WORKERS):
        scrape = service.scrape()
        assert seen(scrape) == after
        assert scrape.value(s.MEMORY_USED) == 400 * MIB
        assert caches_of_all(scrape)
    assert sum(service.scrape().of(s.HTTP_REQUESTS).values()) > sum(counted.values())  # what the dead counted stays


def test_each_worker_says_once_that_memory_is_short_and_so_does_one_that_starts_then(service):
    def said() -> tuple[int, int]:
        return service.events("system.high_memory"), service.events("system.memory_critical")

    service.use(80)
    service.wait_for(lambda: said() == (WORKERS, 0))
    time.sleep(5)  # more looks
    assert said() == (WORKERS, 0)
    os.kill(int(min(service.pids())), signal.SIGKILL)
    service.wait_for(lambda: len(service.pids()) == WORKERS)
    service.wait_for(lambda: said() == (WORKERS + 1, 0))
    service.use(95)
    service.wait_for(lambda: said() == (WORKERS + 1, WORKERS))
    service.use(20)
    service.wait_for(lambda: (service.scrape().value(s.MEMORY_RATIO) or 1) == pytest.approx(0.2))
    time.sleep(5)
    service.use(75)
    service.wait_for(lambda: said() == (2 * WORKERS + 1, WORKERS))
    time.sleep(5)
    assert said() == (2 * WORKERS + 1, WORKERS)

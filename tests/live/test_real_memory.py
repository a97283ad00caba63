"""Memory that a process really holds, as the kernel's control group really counts it, brings the runbook's events.

The limit is told to the app, everything else is real. A group with a limit of its own would have to be made inside the
one that this machine's process manager has put us into (or outside, where it would lose sight of us), and filling it
ends with the kernel's killer choosing among its members: that is not a test's to do unasked. Run in a container that
has a limit, this test reads that container's group; the limit files of both versions are in
tests/telemetry/process/test_memory.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from examples.process import PROJECT
from fraiseql_guard.telemetry.process.cgroup import levels
from tests.support.machine import MIB
from tests.support.ports import free_port

pytestmark = pytest.mark.skipif(not levels(), reason="no control group counts this process")

ATTEMPTS = 5
"""Others in our control group may start or end something large meanwhile: then all begins anew."""
PATIENCE_SECONDS = 180
"""A busy machine may take a minute to hand out gigabytes."""
LEAST = 400 * MIB
"""What the container is half full with at least, so that others in our control group do not decide the test."""


class Hungry:
    """The app on a real server."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "app.log"
        self.held = 0
        self._others: list[int] = []
        self._url = f"http://127.0.0.1:{free_port()}"
        command = [sys.executable, "-m", "uvicorn", "tests.live.hungry_app:app", "--port", self._url.rpartition(":")[2]]
        environment = {**os.environ, "FRAISEQL_GUARD_LOG_FILE": str(self._log)}
        with (folder / "output.txt").open("wb") as output:
            self._process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=output, stderr=output)

    def tell(self, what: str, size: int) -> int:
        """Returns the bytes in use."""
        self.held = size if what == "hold" else self.held
        used = int(httpx.get(f"{self._url}/{what}/{size}", timeout=PATIENCE_SECONDS, trust_env=False).text)
        self._others.append(used - self.held)
        return used

    def was_disturbed(self, size: int) -> bool:
        """Whether others in our control group took or gave back so much that the shares in use mean nothing."""
        self.tell("hold", 0)
        return max(self._others) - min(self._others) > size * 4 // 100

    def metric(self, name: str) -> float:
        text = httpx.get(f"{self._url}/metrics", timeout=30, trust_env=False).text
        return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self._log.read_text().splitlines()] if self._log.exists() else []
        return [line["context"] for line in lines if line["event"] == name]

    def wait_for(self, condition: Callable[[], Any]) -> Any:
        end = time.monotonic() + 60
        while True:
            try:
                if found := condition():
                    return found
            except httpx.TransportError:
                pass
            assert time.monotonic() < end
            time.sleep(0.2)

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(20)


@contextmanager
def started(folder: Path) -> Iterator[Hungry]:
    folder.mkdir()
    made = Hungry(folder)
    try:
        made.wait_for(lambda: made.tell("hold", 0))
        yield made
    finally:
        made.end()


def test_memory_that_is_really_held_passes_both_thresholds_once_each_time(tmp_path: Path) -> None:
    for attempt in range(ATTEMPTS):
        with started(tmp_path / str(attempt)) as hungry:
            half = 0
            try:
                half = hungry.tell("hold", max(0, LEAST - hungry.tell("hold", 0)))
                hold_more_and_less(hungry, half)
            except (AssertionError, ValueError):
                if attempt == ATTEMPTS - 1 or not hungry.was_disturbed(2 * half):
                    raise
            else:
                return


def hold_more_and_less(hungry: Hungry, half: int) -> None:
    missing = hungry.held
    size = 2 * half
    hungry.tell("container", size)
    assert hungry.metric("fraiseql_guard_memory_usage_ratio") == pytest.approx(0.5, abs=0.1)
    assert hungry.events("system.high_memory") == []

    hungry.tell("hold", missing + size * 28 // 100)
    (high,) = hungry.wait_for(lambda: hungry.events("system.high_memory"))
    assert (high["memory_limit_bytes"], high["threshold_percent"]) == (size, 70)
    assert 70 <= high["memory_usage_percent"] < 90
    assert high["memory_used_bytes"] == pytest.approx(size * 0.78, rel=0.1)
    assert hungry.events("system.memory_critical") == []

    hungry.tell("hold", missing + size * 48 // 100)
    (critical,) = hungry.wait_for(lambda: hungry.events("system.memory_critical"))
    assert critical["memory_usage_percent"] >= 90
    assert critical["swap_used_bytes"] >= 0

    hungry.tell("hold", missing)
    hungry.wait_for(lambda: hungry.metric("fraiseql_guard_memory_usage_ratio") < 0.6)
    hungry.tell("hold", missing + size * 28 // 100)
    hungry.wait_for(lambda: len(hungry.events("system.high_memory")) == 2)
    assert len(hungry.events("system.memory_critical")) == 1

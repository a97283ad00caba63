"""The start of docs/workers.md, run as it stands there: two workers of uvicorn, one set of metrics, a reload."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from examples.process import PROJECT
from fraiseql_guard.testing import Samples, samples_of
from tests.support.pages import blocks
from tests.support.ports import free_port
from tests.support.socket_servers import APP, PARENT
from tests.support.waiting import until_now

# Servers are installed for the Python that development uses.
pytestmark = pytest.mark.skipif(sys.version_info[:2] != (3, 13), reason="the servers are tested on CPython 3.13")

PAGE = "docs/workers.md"
DEEP = "{a" * 12 + "}" * 12
MIB = 1 << 20


class Service:
    """What the block of the page starts; only its address, its app and its directory are others."""

    def __init__(self, folder: Path) -> None:
        self.metrics, self.log, self._output = folder / "metrics", folder / "guard.log", folder / "output.txt"
        self.port = free_port()
        (script,) = blocks(PAGE, "sh")
        text = str(script).replace("/run/guard-metrics", str(self.metrics)).replace("0.0.0.0", "127.0.0.1")
        text = text.replace("8000", str(self.port)).replace("main:app", "tests.support.socket_target:app")
        text = text.replace("exec uvicorn", f"exec {sys.executable} -m uvicorn")
        environment = {
            **os.environ,
            "FRAISEQL_GUARD_LOG_FILE": str(self.log),
            APP: "tests.live.http_app:guarded_app",
            PARENT: str(os.getpid()),
            "PYTHONPATH": str(PROJECT),
        }
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                ["sh", "-c", text], cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, start_new_session=True,
            )  # fmt: skip

    def get(self, path: str) -> str:
        url = f"http://127.0.0.1:{self.port}{path}"
        return httpx.get(url, timeout=30, trust_env=False, headers={"connection": "close"}).raise_for_status().text

    def refuse(self) -> None:
        url = f"http://127.0.0.1:{self.port}/graphql"
        answer = httpx.post(url, json={"query": DEEP}, timeout=30, trust_env=False, headers={"connection": "close"})
        assert answer.status_code == 400

    def samples(self) -> Samples:
        return samples_of(self.get("/metrics"))

    def refused(self) -> float:
        found = self.samples()["fraiseql_guard_refusals_total"]
        return sum(sample.value for sample in found if sample.labels["code"] == "QUERY_TOO_DEEP")

    def workers(self) -> dict[str, float]:
        """The memory of each."""
        assert self.process.poll() is None, self._output.read_text()
        with contextlib.suppress(httpx.HTTPError):
            return {each.labels["pid"]: each.value for each in self.samples()["process_resident_memory_bytes"]}
        return {}

    def warnings(self) -> list[str]:
        lines = map(json.loads, self.log.read_text().splitlines())
        return [line["context"]["detail"] for line in lines if line["event"] == "guard.configuration"]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "counter_1.db").write_bytes(b"what an earlier start has left")
    started = Service(tmp_path)
    try:
        until_now(lambda: len(started.workers()) == 2)
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.process.pid, signal.SIGKILL)  # its own group, which we have started
        started.process.wait()


def test_two_workers_show_one_sum_and_a_reload_loses_nothing(service: Service) -> None:
    for _ in range(8):
        service.refuse()
    until_now(lambda: service.refused() == 8)
    assert not (service.metrics / "counter_1.db").exists()
    warnings = " ".join(service.warnings())
    assert "MULTIPROC" not in warnings
    assert "FRAISEQL_REDIS_URL is not set" in warnings
    before = service.workers()
    assert all(20 * MIB < size < 200 * MIB for size in before.values())  # bytes, and not those of all workers

    service.process.send_signal(signal.SIGHUP)
    until_now(lambda: len(after := service.workers()) == 2 and not set(after) & set(before))
    service.refuse()
    until_now(lambda: service.refused() == 9)

    service.process.terminate()
    assert service.process.wait(30) in {0, -signal.SIGTERM}


def test_a_worker_takes_no_more_memory_for_the_guard_than_the_page_says() -> None:
    def needs(modules: str) -> int:
        code = f"import resource, {modules}; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
        return int(done.stdout) * 1024

    (said,) = re.findall(r"at most (\d+) MB for the code of the guard", (PROJECT / PAGE).read_text(encoding="utf-8"))
    host = "uvicorn, starlette.applications"
    assert needs(f"{host}, fraiseql_guard") - needs(host) <= int(said) * MIB


def test_the_warning_is_the_one_that_is_written() -> None:
    """tests/live/test_recycled_workers.py sees it at the start of real servers, in these words."""
    text = (PROJECT / PAGE).read_text(encoding="utf-8")
    assert re.search(r"^\| `uvicorn --workers 2 and PROMETHEUS_MULTIPROC_DIR is not set", text, re.MULTILINE)

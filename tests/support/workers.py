"""The Starlette example on a real uvicorn with several worker processes, whose metrics and log lines meet."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from examples.process import PROJECT, Samples, parse_samples
from fraiseql_guard.telemetry.recorder.deferred_records import TELL_SECONDS
from tests.support.ports import free_port

TOLD_BY_NOW = 3 * TELL_SECONDS
"""After so many seconds every worker has counted what it was asked for."""


class Workers:
    """``uvicorn --workers``: starts on entering, ends on leaving. All files are in ``folder``."""

    def __init__(self, folder: Path, environment: Mapping[str, str], *, workers: int = 2) -> None:
        self._folder = folder
        self._workers = workers
        self._log_file = folder / "app.log"
        metrics = folder / "metrics"
        metrics.mkdir()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FRAISEQL_")}
        self._environment = {
            **inherited,
            "FRAISEQL_GUARD_LOG_FILE": str(self._log_file),
            "PROMETHEUS_MULTIPROC_DIR": str(metrics),
            "WEB_CONCURRENCY": str(workers),
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "uvicorn", "examples.starlette_blog.app:app", "--host", "127.0.0.1"]
        command += ["--port", str(port), "--workers", str(self._workers), "--lifespan", "on"]
        command += ["--no-proxy-headers", "--no-access-log", "--log-level", "warning"]
        with (self._folder / "output.txt").open("wb") as output:
            self._process = subprocess.Popen(
                command, cwd=PROJECT, env=self._environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        try:
            self._wait()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def samples(self) -> Samples:
        """/metrics, summed over all workers by whichever of them answers; the others have told theirs by then."""
        time.sleep(TOLD_BY_NOW)
        answer = httpx.get(f"{self.url}/metrics", timeout=20, trust_env=False)
        answer.raise_for_status()
        return parse_samples(answer.text)

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The contexts of the log lines of one event, of all workers."""
        lines = [json.loads(line) for line in self._log_file.read_text().splitlines(keepends=True) if line[-1] == "\n"]
        return [line["context"] for line in lines if line["event"] == event]

    def _wait(self) -> None:
        """Until every worker has started."""
        deadline = time.monotonic() + 60
        while not self._log_file.exists() or len(self.lines("guard.started")) < self._workers:
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"uvicorn does not start: {(self._folder / 'output.txt').read_text()[-2000:]}")
            time.sleep(0.05)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its own group, which we have started
            process.wait()

"""An example server as a process of its own, seen as an operator sees it: its URL, its metrics, its log file."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx

from examples.serving import DATABASE, LISTENING

PROJECT = Path(__file__).resolve().parents[1]
OURS = "FRAISEQL_"
LOG_FILE = "FRAISEQL_GUARD_LOG_FILE"
START_SECONDS = 60.0
END_SECONDS = 20.0

Labels = frozenset[tuple[str, str]]
Samples = dict[tuple[str, Labels], float]
"""Every sample of an exposition, by name and labels."""

_SAMPLE = re.compile(r"^(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class ExampleServer:
    """Runs ``python -m PACKAGE.serve`` from :meth:`start` to :meth:`end`, on a free port, logging into ``folder``.

    Variables of this process that look like ours are not handed on: ``environment`` says what is set.
    """

    def __init__(
        self, package: str, folder: Path, environment: Mapping[str, str], arguments: Iterable[str] = ()
    ) -> None:
        self._package = package
        self._arguments = tuple(arguments)
        self.log_file = Path(environment.get(LOG_FILE, folder / "app.log"))
        self.stdout_file = folder / "stdout.txt"
        self.stderr_file = folder / "stderr.txt"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        self._environment = {**inherited, **environment, LOG_FILE: str(self.log_file)}
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> ExampleServer:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.end()

    @property
    def pid(self) -> int:
        """Of the running server."""
        if self._process is None:
            raise RuntimeError("the server was not started")
        return self._process.pid

    @property
    def database_url(self) -> str | None:
        """Of the example's PostgreSQL, if it has one."""
        return self.said(DATABASE)

    def start(self) -> None:
        """Return when the server listens; RuntimeError with its last words if it does not."""
        command = [sys.executable, "-m", f"{self._package}.serve", "--port", "0", "--end-with", str(os.getpid())]
        with self.stdout_file.open("wb") as stdout, self.stderr_file.open("wb") as stderr:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [*command, *self._arguments],
                cwd=PROJECT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        try:
            self.url = self._wait_for_line(LISTENING)
        except BaseException:
            self.end()
            raise

    def wait(self) -> int:
        """Wait until the server ends by itself; its exit status."""
        if self._process is None:
            raise RuntimeError("the server was not started")
        return self._process.wait()

    def end(self) -> int:
        """Ask the server to end, wait until it has, and return its exit status."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        return self._process.wait()

    def said(self, beginning: str) -> str | None:
        """The rest of the first line of standard output with that beginning."""
        lines = self.stdout_file.read_text().splitlines(keepends=True)
        return next((line[len(beginning) :].rstrip() for line in lines if _is_whole(line, beginning)), None)

    def samples(self) -> Samples:
        """Read /metrics, as Prometheus would from the same machine."""
        answer = httpx.get(f"{self.url}/metrics", timeout=10, trust_env=False)
        answer.raise_for_status()
        return parse_samples(answer.text)

    def log_lines(self) -> list[dict[str, Any]]:
        """The log so far; the last line only once it is whole."""
        if not self.log_file.exists():
            return []
        lines = self.log_file.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def _wait_for_line(self, beginning: str) -> str:
        deadline = time.monotonic() + START_SECONDS
        while (found := self.said(beginning)) is None:
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"{self._package} did not start:\n{self.stderr_file.read_text()[-4000:]}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self._package} did not say '{beginning}' in {START_SECONDS:g} s")
            time.sleep(0.02)
        return found


def parse_samples(exposition: str) -> Samples:
    """Samples of the Prometheus text format (which the standard client's parser would rename)."""
    matches = (_SAMPLE.match(line) for line in exposition.splitlines() if line and not line.startswith("#"))
    return {
        (match["name"], frozenset(_LABEL.findall(match["labels"] or ""))): float(match["value"])
        for match in matches
        if match
    }


def sum_of(samples: Samples, name: str, **labels: str) -> float:
    """Sum over all samples of that name that have at least those labels."""
    wanted = set(labels.items())
    return sum(value for (sample, present), value in samples.items() if sample == name and wanted <= present)


def _is_whole(line: str, beginning: str) -> bool:
    return line.startswith(beginning) and line.endswith("\n")

"""The processes of a run: servers and their load. Each is ended by its own pid, whatever happens."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from benchmarks.peers.environment import ROOT, python
from benchmarks.peers.load import Order, Result
from benchmarks.peers.variants import Variant

_START_SECONDS = 20.0
_END_SECONDS = 3.0


class VariantFailed(Exception):  # noqa: N818 - it is reported in the table, not raised to anyone
    """A variant does not run, or does not do what it is there for."""


class Server:
    """One variant in its process: starts on entering, ends on leaving."""

    def __init__(self, variant: Variant, redis_url: str, *, per_hour: int) -> None:
        self._command = [str(python()), "-m", "benchmarks.peers.serve", variant.module, redis_url, str(per_hour)]
        self._folder = tempfile.TemporaryDirectory(prefix="fg-peers-")
        self._errors = Path(self._folder.name) / "errors"
        self.port = 0

    def __enter__(self) -> Self:
        with self._errors.open("wb") as errors:
            # Nothing of the caller's environment configures a peer, and what one writes goes with the folder.
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder.name,
                env={"PYTHONPATH": str(ROOT), "PATH": os.defpath, "HOME": self._folder.name},
                stdout=subprocess.PIPE,
                stderr=errors,
                stdin=subprocess.DEVNULL,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        end(self._process)
        self._folder.cleanup()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def _wait_until_ready(self) -> None:
        output: IO[bytes] | None = self._process.stdout
        line = output.readline() if output is not None else b""
        deadline = time.monotonic() + _START_SECONDS
        while line and self._process.poll() is None and time.monotonic() < deadline:
            self.port = int(line)
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)  # uvicorn listens once the app's startup is complete
            else:
                return
        raise VariantFailed(f"does not start: {self.last_words()}")

    def last_words(self) -> str:
        """The last line that it wrote to its standard error."""
        text = self._errors.read_text(encoding="utf-8", errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1] if lines else "no error was written"


class Load:
    """A load in its process: ``result`` waits for its end."""

    def __init__(self, order: Order) -> None:
        self._process = subprocess.Popen(
            [str(python()), "-m", "benchmarks.peers.load"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._order = json.dumps(asdict(order))
        try:
            if self._process.stdin is not None:
                self._process.stdin.write(self._order)
                self._process.stdin.close()
                self._process.stdin = None  # communicate() must not close it again
        except BaseException:
            end(self._process)
            raise

    def result(self) -> Result:
        """What came back."""
        try:
            output, errors = self._process.communicate()
        finally:
            end(self._process)
        if self._process.returncode:
            raise VariantFailed(f"the load ended: {errors.strip().splitlines()[-1:]}")
        read = Result(**json.loads(output))
        read.statuses = {int(status): count for status, count in read.statuses.items()}  # JSON's keys are text
        return read


def end(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    """Ask it to end, then make it."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()

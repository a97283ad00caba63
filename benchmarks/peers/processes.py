"""The processes of a run: variants, served or called directly, and the load. Each is ended by its own pid, whatever
happens."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Self

from benchmarks.peers.environment import ROOT, python
from benchmarks.peers.load import Order, Result
from benchmarks.peers.variants import Variant

_START_SECONDS = 20.0
_END_SECONDS = 3.0
_SILENT_SECONDS = 60.0

PATH = "/limited"
"""Where every variant is limited."""


class VariantFailed(Exception):  # noqa: N818 - it is reported in the table, not raised to anyone
    """A variant does not run, or does not do what it is there for."""


class _Child:
    """A module of ours in a process of its own."""

    def __init__(self, module: str, variant: Variant, redis_url: str, per_hour: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="fg-peers-")
        self._errors = Path(self._folder.name) / "errors"
        with self._errors.open("wb") as errors:
            # Nothing of the caller's environment configures a peer, and what one writes goes with the folder.
            self.process = subprocess.Popen(
                [str(python()), "-m", module, variant.module, redis_url, str(per_hour)],
                cwd=self._folder.name,
                env={"PYTHONPATH": str(ROOT), "PATH": os.defpath, "HOME": self._folder.name},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )

    def line(self, order: str = "") -> bytes:
        """Its next line, after an order if there is one; nothing if it has ended, or says none for too long."""
        stdin, stdout = self.process.stdin, self.process.stdout
        if stdin is None or stdout is None:
            return b""
        if order:
            with contextlib.suppress(BrokenPipeError):  # then there is no line either
                stdin.write(order.encode() + b"\n")
                stdin.flush()
        return stdout.readline() if select.select([stdout], [], [], _SILENT_SECONDS)[0] else b""

    def end(self) -> None:
        """End it, and throw away what it has written."""
        end(self.process)
        self._folder.cleanup()

    def last_words(self) -> str:
        """The last line that it wrote to its standard error."""
        text = self._errors.read_text(encoding="utf-8", errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1] if lines else "no error was written"


class Server:
    """One variant under uvicorn: starts on entering, ends on leaving."""

    def __init__(self, variant: Variant, redis_url: str, *, per_hour: int) -> None:
        self._variant = variant
        self._start = lambda: _Child("benchmarks.peers.serve", variant, redis_url, per_hour)
        self.port = 0

    def __enter__(self) -> Self:
        self._child = self._start()
        try:
            self._wait_until_ready()
        except BaseException:
            self._child.end()
            raise
        return self

    def __exit__(self, *reason: object) -> None:
        self._child.end()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._child.process.pid

    def ask(self, connections: int, requests: int, *, warm_up: int = 0) -> Result:
        """So many requests, as fast as they are answered; VariantFailed if one is answered otherwise than it should."""
        order = Order(
            port=self.port, path=PATH, pid=self.pid, connections=connections, warm_up=warm_up, requests=requests
        )
        return _checked(Load(order).result(), self._variant, requests, self._child)

    def _wait_until_ready(self) -> None:
        line = self._child.line()
        deadline = time.monotonic() + _START_SECONDS
        while line and self._child.process.poll() is None and time.monotonic() < deadline:
            self.port = int(line)
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)  # uvicorn listens once the app's startup is complete
            else:
                return
        raise VariantFailed(f"does not start: {self._child.last_words()}")


class Called:
    """One variant called directly in its process: starts on entering, ends on leaving."""

    def __init__(self, variant: Variant, redis_url: str, *, per_hour: int) -> None:
        self._variant = variant
        self._start = lambda: _Child("benchmarks.peers.inside", variant, redis_url, per_hour)

    def __enter__(self) -> Self:
        self._child = self._start()
        if not self._child.line():
            words = self._child.last_words()
            self._child.end()
            raise VariantFailed(f"does not start: {words}")
        return self

    def __exit__(self, *reason: object) -> None:
        self._child.end()

    def ask(self, connections: int, requests: int, *, warm_up: int = 0) -> Result:
        """As :meth:`Server.ask`."""
        order = {"path": PATH, "connections": connections, "warm_up": warm_up, "requests": requests}
        line = self._child.line(json.dumps(order))
        if not line:
            raise VariantFailed(f"does not answer: {self._child.last_words()}")
        return _checked(_read(line), self._variant, requests, self._child)


def _checked(result: Result, variant: Variant, requests: int, child: _Child) -> Result:
    if result.statuses != {variant.status: requests}:
        raise VariantFailed(f"{dict(result.statuses)} instead of {variant.status}: {child.last_words()}")
    return result


def _read(output: str | bytes) -> Result:
    read = Result(**json.loads(output))
    read.statuses = {int(status): count for status, count in read.statuses.items()}  # JSON's keys are text
    return read


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
        return _read(output)


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

"""The peers of ``python -m benchmarks hostile``: each in a process of its own with a limit on its CPU.

Some of them explode, so a peer that exceeds the limit is ended (by the kernel, or by us after a wall time) and started
anew for the next attack. A peer that cannot be installed or started is shown with its error.
"""

from __future__ import annotations

import json
import math
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tools.audit.npm import CACHE, NpmError, install

HERE: Final = Path(__file__).resolve().parent
SCHEMA: Final = HERE.parent / "examples" / "starlette_blog" / "schema.graphql"
FOLDER: Final = CACHE / "benchmarks"
WALL_FACTOR: Final = 8
"""Shared cores: how much longer than its CPU limit a peer may take by the clock."""
START_SECONDS: Final = 60.0
INSTALL_SECONDS: Final = 600.0
TOO_LONG: Final = "too long"


class PeerError(Exception):
    """A peer cannot be measured; the text says why."""


@dataclass(frozen=True, slots=True)
class Figure:
    """CPU milliseconds of one request, and ``refused``, ``admitted``, ``too long`` or how it broke."""

    ms: float
    outcome: str


@dataclass(frozen=True, slots=True)
class Peer:
    """How to start one."""

    title: str
    command: tuple[str, ...]


def python_peer(title: str, check: str, limits: Sequence[int], requirements: Path | None = None) -> Peer:
    """A check of hostile_worker.py, in this environment or in one with those requirements."""
    python = sys.executable if requirements is None else str(_environment(requirements))
    worker = str(HERE / "hostile_worker.py")
    return Peer(title, (python, worker, check, str(SCHEMA), *map(str, limits)))


def armor_peer(title: str) -> Peer:
    """graphql-armor on node, if npm gives it."""
    try:
        folder = install(HERE / "hostile_armor.json", [HERE / "hostile_armor.mjs"], "benchmarks/armor")
    except NpmError as problem:
        raise PeerError(str(problem)) from None
    return Peer(title, ("node", str(folder / "hostile_armor.mjs"), str(SCHEMA)))


def _environment(requirements: Path) -> Path:
    """The Python of a virtual environment with exactly these requirements, made anew if they have changed."""
    folder = FOLDER / requirements.stem
    python, stamp = folder / "bin" / "python", folder / ".installed"
    wanted = requirements.read_text(encoding="utf-8")
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    _run(sys.executable, "-m", "venv", str(folder))
    pip = "-m pip install --quiet --disable-pip-version-check --requirement".split()
    _run(str(python), *pip, str(requirements))
    stamp.write_text(wanted, encoding="utf-8")
    return python


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise PeerError(f"its environment cannot be made: {problem}") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no reason was given"]
        raise PeerError(f"its environment cannot be made: {lines[-1]}")


class Bounded:
    """A running peer: :meth:`measure` bodies until :meth:`end`."""

    def __init__(self, peer: Peer, limit_seconds: float) -> None:
        self._peer = peer
        self._limit = limit_seconds
        self._process: subprocess.Popen[str] | None = None
        self._used = 0.0
        self._errors = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115 - closed by end()
        self._start()

    def measure(self, body: Path) -> Figure:
        """Let it look at one request; afterwards it runs, whatever became of it."""
        process = self._process or self._start()
        self._bound(process)
        assert process.stdin is not None
        process.stdin.write(f"{body}\n")
        process.stdin.flush()
        answer = self._answer(process, self._limit * WALL_FACTOR)
        if answer is not None:
            self._used = answer["cpu"]
            return Figure(answer["ms"], answer["outcome"])
        status = self._stop()
        if status in (None, -signal.SIGXCPU):
            return Figure(self._limit * 1e3, TOO_LONG)
        return Figure(math.nan, f"died ({status})")

    def end(self) -> None:
        """End the process."""
        self._stop()
        self._errors.close()

    def _start(self) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._peer.command, stdin=pipe, stdout=pipe, stderr=self._errors, text=True)
        ready = self._answer(self._process, START_SECONDS)
        if ready is None:
            self._stop()
            self._errors.seek(0)
            lines = self._errors.read().strip().splitlines() or ["it gave no reason"]
            raise PeerError(f"it does not start: {lines[-1]}")
        self._used = ready["cpu"]
        return self._process

    def _bound(self, process: subprocess.Popen[str]) -> None:
        """A soft limit in whole seconds above what it has used: the kernel ends it there with SIGXCPU."""
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        soft = math.floor(self._used) + math.ceil(self._limit) + 1
        if hasattr(resource, "prlimit"):  # Linux; elsewhere the wall time bounds it alone
            resource.prlimit(process.pid, resource.RLIMIT_CPU, (soft, hard))
            resource.prlimit(process.pid, resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))

    def _answer(self, process: subprocess.Popen[str], seconds: float) -> dict[str, Any] | None:
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], seconds)
        line = process.stdout.readline() if readable else ""
        return json.loads(line) if line.endswith("\n") else None

    def _stop(self) -> int | None:
        """Its status if it had ended by itself, None if we had to end it."""
        process, self._process = self._process, None
        if process is None:
            return None
        try:
            status: int | None = process.wait(0.5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            status = None
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        return status

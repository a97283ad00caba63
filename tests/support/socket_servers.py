"""ASGI servers that speak WebSocket, each as a process of its own on a free loopback port.

``with serving("uvicorn", APP, folder) as server`` starts one. ``APP`` names a function without arguments that makes an
ASGI app, as "module:function"; tests/support/socket_apps.py has some.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from examples.process import PROJECT
from fraiseql_guard.testing import Samples, samples_of
from tests.support.ports import free_port

STRAWBERRY: Final = "tests.support.socket_apps:strawberry_app"
ARIADNE: Final = "tests.support.socket_apps:ariadne_app"
ECHO: Final = "tests.support.socket_apps:echo_app"
CLOSING: Final = "tests.support.socket_apps:closing_app"
GUARDED_STRAWBERRY: Final = "tests.support.socket_apps:guarded_strawberry_app"
GUARDED_ARIADNE: Final = "tests.support.socket_apps:guarded_ariadne_app"
GUARDED_ECHO: Final = "tests.support.socket_apps:guarded_echo_app"
GUARDED_CLOSING: Final = "tests.support.socket_apps:guarded_closing_app"

ROOMY: Final = {
    "FRAISEQL_RATE_LIMIT_DEFAULT": "1000000/minute",
    "FRAISEQL_RATE_LIMIT_AUTHENTICATED": "1000000/minute",
    "FRAISEQL_GUARD_RATE_LIMIT_SOCKETS": "100000/minute",
    "FRAISEQL_GUARD_MAX_SOCKETS_PER_CALLER": "1000",
    "FRAISEQL_GUARD_MAX_SUBSCRIPTIONS_PER_CALLER": "2000",
    "FRAISEQL_GUARD_SOCKET_MESSAGES": "100000/second",
    "FRAISEQL_GUARD_LOG_FILE": "",
}
"""Limits that tests of other things do not meet."""
APP: Final = "SOCKET_APP"
"""Variable that tells tests/support/socket_target.py which app to make: not every server calls a function for it."""
PARENT: Final = "SOCKET_APP_PARENT"
"""Variable with the process whose end is the server's too."""
_TARGET: Final = "tests.support.socket_target:app"
_START_SECONDS: Final = 60.0
_END_SECONDS: Final = 15.0


def _uvicorn(port: int, sockets: str) -> list[str]:
    where = ["--host", "127.0.0.1", "--port", str(port), "--ws", sockets]
    quiet = ["--no-proxy-headers", "--no-access-log", "--log-level", "warning", "--timeout-graceful-shutdown", "2"]
    return ["uvicorn", _TARGET, *where, *quiet]


def _gunicorn(port: int, worker: str) -> list[str]:
    where = ["--bind", f"127.0.0.1:{port}", "--worker-class", worker, "--forwarded-allow-ips", ""]
    return ["gunicorn", _TARGET, *where, "--log-level", "warning", "--graceful-timeout", "2", "--no-control-socket"]


COMMANDS: Final = {
    "uvicorn": lambda port: _uvicorn(port, "websockets-sansio"),
    "uvicorn-wsproto": lambda port: _uvicorn(port, "wsproto"),
    "hypercorn": lambda port: ["hypercorn", _TARGET, "--bind", f"127.0.0.1:{port}", "--graceful-timeout", "1"],
    "granian": lambda port: [
        "granian", _TARGET, "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port),
        "--no-access-log", "--log-level", "warning", "--workers-kill-timeout", "2",
    ],
    "gunicorn": lambda port: _gunicorn(port, "uvicorn_worker.UvicornWorker"),
    "gunicorn-asgi": lambda port: _gunicorn(port, "asgi"),
    "daphne": lambda port: ["daphne", _TARGET, "--bind", "127.0.0.1", "--port", str(port), "--verbosity", "0"],
}  # fmt: skip
"""The command of each server. hypercorn's answers HTTP/1.1 and, to clients that begin so, HTTP/2."""
SERVERS: Final = tuple(name for name in COMMANDS if not name.startswith("gunicorn"))
"""Those whose WebSockets are tested; gunicorn's workers are uvicorn's, or young."""


@dataclass(frozen=True, slots=True)
class SocketServer:
    """A server that listens."""

    name: str
    pid: int
    port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ws(self, path: str = "/graphql") -> str:
        """The URL of its sockets."""
        return f"ws://127.0.0.1:{self.port}{path}"

    def probe(self) -> dict[str, Any]:
        """What the app tells about itself."""
        return httpx.get(f"{self.url}/probe", timeout=20, trust_env=False).raise_for_status().json()

    def samples(self) -> Samples:
        """What its guard shows to Prometheus."""
        page = httpx.get(f"{self.url}/metrics", timeout=20, trust_env=False).raise_for_status().text
        return samples_of(page)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry these labels."""
        return sum(each.value for each in self.samples().get(name, ()) if labels.items() <= each.labels.items())

    def output(self) -> str:
        """What the server has written so far."""
        return (self.folder / f"{self.name}-{self.port}.txt").read_text(errors="replace")


@contextlib.contextmanager
def serving(
    name: str, app: str, folder: Path, environment: Mapping[str, str] | None = None, *, options: Sequence[str] = ()
) -> Iterator[SocketServer]:
    """A server of SERVERS that serves ``app``; it ends with the block.

    It sees ``environment`` and no other FRAISEQL_* variable. ``options`` are added to its command line.
    """
    port = free_port()
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("FRAISEQL_")}
    server_output = folder / f"{name}-{port}.txt"
    with server_output.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *COMMANDS[name](port), *options],
            cwd=PROJECT,
            env={**inherited, **(environment or {}), APP: app, PARENT: str(os.getpid()), "PYTHONPATH": str(PROJECT)},
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    try:
        _wait(process, port, server_output)
        yield SocketServer(name, process.pid, port, folder)
    finally:
        _end(process)


def _wait(process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    """Until the server takes connections."""
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"the server does not start: {output.read_text(errors='replace')[-2000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # its own group, which we have started
        process.wait()

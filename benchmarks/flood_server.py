"""The server of the flood: the blog on uvicorn, bare or behind the guard, configured by FRAISEQL_* variables.

``python -m benchmarks.flood_server guard|bare`` prints its port, and serves until it is ended.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import uvicorn

from benchmarks.listeners import loopback
from benchmarks.peers.clock import cpu_seconds

APPS = {"guard": "examples.starlette_blog.app:app", "bare": "examples.starlette_blog.bare:bare_app"}
_START_SECONDS = 60.0


class Server:
    """A process with one of the apps: starts on entering, ends on leaving. The log goes to a file of its own."""

    def __init__(self, app: str, environ: Mapping[str, str], log: Path) -> None:
        self.app = app
        self._environ = {**environ, "FRAISEQL_GUARD_LOG_FILE": str(log)}
        self._log = log
        self.port = 0

    def __enter__(self) -> Self:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FRAISEQL_")}
        self._process: Any = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.flood_server", self.app],
            env={**kept, **self._environ}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            self.port = int(self._process.stdout.readline() or 0)
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *reason: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def rss_bytes(self) -> int:
        """What the process has resident."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0

    def cpu_seconds(self) -> float:
        """What the process has used of the processor."""
        return cpu_seconds(self._process.pid)

    def starved_seconds(self) -> float:
        """How long its threads could have run and had no processor."""
        tasks = Path(f"/proc/{self._process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[1]) for task in tasks) / 1e9

    def log_bytes(self) -> int:
        """How long the log is."""
        return self._log.stat().st_size if self._log.exists() else 0

    def label_values(self) -> int:
        """Different values of all labels of the guard's metrics; 0 where it does not tell."""
        found: set[str] = set()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as answer:
                text = answer.read().decode()
        except OSError:
            return 0
        for line in text.splitlines():
            if line.startswith("fraiseql_") and "{" in line:
                found.update(line[line.index("{") + 1 : line.rindex("}")].split(","))
        return len(found)

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5):
                    return
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError("the server does not start") from None
                time.sleep(0.05)


def main() -> None:
    """Serve until a signal."""
    with loopback() as listening:
        listening.listen(4096)
        print(listening.getsockname()[1], flush=True)
        module, _, name = APPS[sys.argv[1]].partition(":")
        app = getattr(importlib.import_module(module), name)
        config = uvicorn.Config(app, log_config=None, access_log=False, proxy_headers=False)
        asyncio.run(uvicorn.Server(config).serve(sockets=[listening]))


if __name__ == "__main__":
    main()

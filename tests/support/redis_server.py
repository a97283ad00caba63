"""A real redis-server of the tests' own: on a free loopback port, in a temporary folder, without persistence."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.ports import free_port
from tools.components import locate


class RedisServer:
    """Starts on entering, ends on leaving. ``arguments`` are given to redis-server (``--requirepass``, ``secret``).

    ``configuration`` becomes a file that the server may rewrite, as a Sentinel does. ``program`` may be another that
    starts alike, ``valkey-server``.
    """

    def __init__(
        self, *arguments: str, configuration: str = "", start_seconds: float = 20.0, program: str = "redis-server"
    ) -> None:
        self._program = program
        self._arguments = arguments
        self._configuration = configuration
        self._start_seconds = start_seconds
        self._folder = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        """redis:// on the loopback port, database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def unix_url(self) -> str:
        """unix:// to the same server."""
        return f"unix://{self._folder}/redis.sock"

    def start(self) -> None:
        """Start and wait until it answers; a port that was taken meanwhile is changed for another."""
        for _ in range(3):
            command = [str(locate(self._program))]
            if self._configuration:
                (self._folder / "redis.conf").write_text(self._configuration)
                command.append(str(self._folder / "redis.conf"))
            command += ["--port", str(self.port), "--bind", "127.0.0.1"]
            command += ["--dir", str(self._folder), "--save", "", "--appendonly", "no"]
            command += ["--unixsocket", f"{self._folder}/redis.sock", *self._arguments]
            log = (self._folder / "log").open("ab")
            with log:
                self._process = subprocess.Popen(command, stdout=log, stderr=log)
            if self._answers():
                return
            self.kill()
            self.port = free_port()
        raise RuntimeError(f"redis-server does not start: {(self._folder / 'log').read_text()[-2000:]}")

    def ask(self, *command: str | int) -> bytes:
        """One command over a connection of its own; the raw beginning of the answer. For a healthy server."""
        words = [str(word).encode() for word in command]
        packed = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(packed)
            return connection.recv(4096)

    def flush(self) -> None:
        """Forget all keys."""
        if not (answer := self.ask("FLUSHALL")).startswith(b"+OK"):
            raise RuntimeError(f"FLUSHALL was answered {answer!r}")

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """End it if it runs, and start it empty on the same port."""
        self.kill()
        self.start()

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="fg-redis-"))
        try:
            self.start()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise RuntimeError("redis-server does not run")
        os.kill(self._process.pid, number)

    def _answers(self) -> bool:
        deadline = time.monotonic() + self._start_seconds
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                return False
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                    connection.sendall(b"PING\r\n")
                    if connection.recv(64):  # +PONG, or -NOAUTH: it answers
                        return True
            except OSError:
                time.sleep(0.02)
        return False

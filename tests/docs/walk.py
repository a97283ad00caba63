"""Follows a page as a reader does: saves its files, types its commands, and compares what they say with the page."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tests.docs.shell import Command, commands
from tests.support.pages import ROOT, Block
from tests.support.ports import free_port

_FILE = re.compile(r"# ([\w./-]+\.\w+)\n")
_PORT = "8000"
_NOT_HERE = ("pip ", "make ")
"""Of these, packaging's tests and the gate run what a reader types."""
_WAIT_SECONDS = 60
_LOOK_AGAIN_SECONDS = 10
"""A reader is slower than a test: lines and heartbeats that are on their way have come by then."""


class Walk:
    """A reader's folder and shell. What is exported stays exported; ``uvicorn`` replaces the app that ran before.

    ``instead`` is put in the place of texts of the page: addresses of servers that listen elsewhere here.
    """

    def __init__(self, folder: Path, instead: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._port = free_port()
        self._instead = {f"localhost:{_PORT}": f"localhost:{self._port}", **(instead or {})}
        self._server: subprocess.Popen[bytes] | None = None
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FRAISEQL_")}
        path = f"{Path(sys.executable).parent}:{kept['PATH']}"
        self._environment = {**kept, "PYTHONPATH": str(ROOT), "PATH": path, "NO_PROXY": "*", "COLUMNS": "200"}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def follow(self, blocks: Iterable[Block]) -> int:
        """Do what the blocks say, in their order, and count the commands. AssertionError where the page is wrong."""
        typed = 0
        for block in blocks:
            if block.language in ("sh", "console"):
                for command in commands(block):
                    typed += self._type(block, command)
            elif found := _FILE.match(block):
                (self._folder / found[1]).write_text(block, encoding="utf-8")
        return typed

    def _type(self, block: Block, command: Command) -> bool:
        if command.text.startswith(_NOT_HERE):
            return False
        text = self._here(command.text)
        if text.startswith("uvicorn "):
            self._start(text)
            return True
        deadline = time.monotonic() + _LOOK_AGAIN_SECONDS
        while wrong := self._wrong(text, command):
            assert time.monotonic() < deadline, f"{block.place}: {text}\n{wrong}"
            time.sleep(0.2)
        return True

    def _wrong(self, text: str, command: Command) -> str:
        """Type a command; what it says, if that is not what the page shows."""
        done = subprocess.run(
            ["sh", "-c", f"{text}\ncode=$?; export -p > .exported; exit $code"],
            cwd=self._folder, env=self._environment, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        self._remember()
        if not command.output:
            return f"{done.stdout}{done.stderr}" if done.returncode else ""
        said, expected = _blanks(done.stdout), _blanks(self._here(command.expected))
        pattern = ".*".join(map(re.escape, expected.split("...")))
        return "" if re.fullmatch(pattern, said, re.DOTALL) else f"{said}\n--- the page says\n{expected}"

    def _here(self, text: str) -> str:
        for found, put in self._instead.items():
            text = text.replace(found, put)
        return text

    def _remember(self) -> None:
        """What the shell has exported holds for the commands that follow."""
        shell = ["sh", "-c", ". ./.exported && env -0"]
        told = subprocess.run(shell, cwd=self._folder, env={}, capture_output=True, text=True, check=True)
        pairs = (line.partition("=") for line in told.stdout.split("\0") if "=" in line)
        self._environment = {name: value for name, _, value in pairs}

    def _start(self, text: str) -> None:
        self._stop()
        command = ["sh", "-c", f"exec {text} --port {self._port}"]
        with (self._folder / "server.txt").open("ab") as output:
            self._server = subprocess.Popen(
                command, cwd=self._folder, env=self._environment, stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + _WAIT_SECONDS
        while not self._answers():
            said = (self._folder / "server.txt").read_text()[-3000:]
            assert self._server.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://localhost:{self._port}/health", timeout=5, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def _stop(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)  # its own group, which we have started
            server.wait()


def _blanks(text: str) -> str:
    return re.sub(r"[ \t]+", " ", text.replace("\r", "")).strip()

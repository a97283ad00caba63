"""Four real workers on one real Redis, and the command as an operator types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from typer.testing import CliRunner

from fraiseql_guard.cli import app
from fraiseql_guard.core.settings import name_of
from fraiseql_guard.testing import make_token
from tests.support.processes import STARLETTE, Server
from tests.support.redis_server import RedisServer

WORKERS = 4
SECRET = "an-hmac-secret-of-at-least-thirty-two-bytes"
TOKEN = "a-token-of-the-operator-on-call-0123456789"
PATIENCE_SECONDS = 60.0
"""Far more than the second that a switch takes: the machine may be busy, and no test is about speed."""
QUERY = "{ users(limit: 1) { name } }"

ENVIRONMENT = {
    name_of("jwt_secret"): SECRET,
    name_of("auth_required"): "false",
    name_of("trusted_proxies"): "127.0.0.1",  # tests choose their address by X-Forwarded-For
    name_of("rate_limit_default"): "1000/second",
    name_of("rate_limit_authenticated"): "1000/second",
    name_of("rate_limit_burst"): "0",
    name_of("brute_force_offences"): "3",
    name_of("admin_tokens"): f"oncall={TOKEN}",
}


@dataclass(frozen=True)
class Ran:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def rows(self) -> list[list[str]]:
        """The tab-separated lines of a pipe."""
        return [line.split("\t") for line in self.out.splitlines()]


class Fleet:
    """Starts on entering, ends on leaving."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self.redis = RedisServer()
        self.workers: list[Server] = []

    def __enter__(self) -> Self:
        try:
            self._stack.enter_context(self.redis)
            for number in range(WORKERS):
                folder = self._folder / f"worker-{number}"
                folder.mkdir()
                environment = {**ENVIRONMENT, name_of("redis_url"): self.redis.url}
                server = Server(STARLETTE, folder, environment)
                self._stack.push(lambda *_, server=server: server.end())
                server.start()
                self.workers.append(server)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """Where the HTTP API of one worker is."""
        return f"{self.workers[0].url}/admin"

    def statuses(self, query: str = QUERY, *, user: str | None = None, **options: Any) -> list[int]:
        """What every worker answers, one after the other."""
        token = None if user is None else make_token(SECRET, sub=user)
        return [answer.status_code for answer in self.answers(query, token=token, **options)]

    def answers(
        self, query: str = QUERY, *, address: str = "198.51.100.99", token: str | None = None
    ) -> list[httpx.Response]:
        """Send one request to every worker."""
        headers = {"X-Forwarded-For": address}
        return [server.post(query, token=token, headers=headers) for server in self.workers]

    def felt(self, status: int, query: str = QUERY, **options: Any) -> None:
        """Every worker comes to answer with this status."""
        eventually(
            lambda: set(found := self.statuses(query, **options)) == {status} or found,
            f"every worker should answer {status}",
        )


def eventually(look: Callable[[], Any], sentence: str) -> None:
    """Look again and again until it is True; what was seen last is in the error."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (seen := look()) is not True:
        assert time.monotonic() < deadline, f"{sentence}, and it was {seen}"
        time.sleep(0.05)


@dataclass(frozen=True)
class Operator:
    """An operator at a terminal, with a way in."""

    environment: Mapping[str, str]
    words: Sequence[str] = ()
    """Added to every command: --url."""

    def __call__(self, *words: str, **more: str) -> Ran:
        """Type a command."""
        ended = CliRunner().invoke(app, [*words, *self.words], env={**self.environment, **more})
        if ended.exception is not None and not isinstance(ended.exception, SystemExit):
            raise ended.exception
        return Ran(ended.exit_code, ended.stdout, ended.stderr)

    def in_a_terminal(self, *words: str, **more: str) -> Ran:
        """Type a command that is a process of its own."""
        command = [str(Path(sys.executable).with_name("fraiseql-guard")), *words, *self.words]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("FRAISEQL_")}
        ended = subprocess.run(
            command,
            env={**clean, "PYTHONIOENCODING": "utf-8", **self.environment, **more},
            capture_output=True,
            text=True,
            encoding="utf-8",
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )
        return Ran(ended.returncode, ended.stdout, ended.stderr)

    def done(self, *words: str) -> Ran:
        """Type a command that is done."""
        ran = self(*words)
        assert ran.code == 0, f"{words}: {ran}"
        assert ran.err == "", ran.err
        return ran

"""A start that goes wrong on real servers: it ends with the reason, or nothing is served but the refusal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.ports import free_port
from tests.support.processes import needs_fraiseql

ROOT = Path(__file__).parents[2]
BAD = {"FRAISEQL_RATE_LIMIT_DEFAULT": "often"}
LONGEST_SECONDS = 60
UVICORN_FAILED = 3
"""uvicorn's exit code of a start that failed."""


class Started:
    """A server's process on a free port, with its output and the guard's log in files."""

    def __init__(self, folder: Path, environment: Mapping[str, str], server: str, *arguments: str) -> None:
        self.port = free_port()
        self._log, self._output = folder / "guard.log", folder / "output.txt"
        address = ["--port", str(self.port)] if server == "uvicorn" else ["--bind", f"127.0.0.1:{self.port}"]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FRAISEQL_")}
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", server, *address, *arguments],
                cwd=ROOT,
                env={**inherited, "FRAISEQL_GUARD_LOG_FILE": str(self._log), **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    def lines(self, event: str) -> list[str]:
        """The details of an event's lines."""
        lines = [json.loads(line) for line in self._log.read_text().splitlines()] if self._log.exists() else []
        return [line["context"].get("detail", "") for line in lines if line["event"] == event]

    def ended(self) -> int:
        return self.process.wait(LONGEST_SECONDS)

    def ask(self, method: str = "GET", path: str = "/page", **more: object) -> httpx.Response:
        """One request, once the server listens."""
        until = time.monotonic() + LONGEST_SECONDS
        while True:
            try:
                return httpx.request(method, f"http://127.0.0.1:{self.port}{path}", trust_env=False, timeout=20, **more)
            except httpx.ConnectError:
                if self.process.poll() is not None or time.monotonic() > until:
                    raise AssertionError(self.output) from None
                time.sleep(0.05)

    def waits_for(self, event: str, words: str) -> str:
        """The line of an event with these words, as soon as it is written."""
        until = time.monotonic() + LONGEST_SECONDS
        while time.monotonic() < until:
            if found := [detail for detail in self.lines(event) if words in detail]:
                return found[0]
            time.sleep(0.05)
        raise AssertionError((self.lines(event), self.output))


@contextmanager
def started(folder: Path, environment: Mapping[str, str], server: str, *arguments: str) -> Iterator[Started]:
    found = Started(folder, environment, server, *arguments)
    try:
        yield found
    finally:
        found.process.terminate()
        try:
            found.process.wait(20)
        except subprocess.TimeoutExpired:
            found.process.kill()
            found.process.wait()


@pytest.mark.parametrize(
    ("app", "environment", "words"),
    [
        ("app", BAD, "FRAISEQL_RATE_LIMIT_DEFAULT='often' is not a rate limit"),
        ("app", {"FRAISEQL_REDIS_URL": "redis://:hunter2@h:port"}, "FRAISEQL_REDIS_URL=(secret) has a port"),
        ("app", {"FRAISEQL_GUARD_JWKS_FILE": "/nowhere/jwks.json"}, "FRAISEQL_GUARD_JWKS_FILE='/nowhere/jwks.json'"),
        ("contradicting", {}, "RateLimitMiddleware are mounted on each other and give rate_limit_burst two values"),
        ("without_schema", {}, "schema=nowhere.graphql cannot be read"),
    ],
)
def test_uvicorn_ends_with_the_reason(tmp_path: Path, app: str, environment: Mapping[str, str], words: str) -> None:
    """Under its default lifespan, which takes an exception for an app without one."""
    with started(tmp_path, environment, "uvicorn", f"tests.live.start_app:{app}") as server:
        assert server.ended() == UVICORN_FAILED
        (detail,) = server.lines("guard.start_failed")
        assert words in detail
        assert detail in server.output
        assert "startup complete" not in server.output
        assert "Traceback" not in server.output
        assert "hunter2" not in server.output + detail


@pytest.mark.parametrize("worker", ["asyncio", "uvloop", "trio"])
def test_hypercorn_ends_with_the_reason(tmp_path: Path, worker: str) -> None:
    with started(tmp_path, BAD, "hypercorn", "-k", worker, "tests.live.start_app:app") as server:
        server.ended()
        assert "FRAISEQL_RATE_LIMIT_DEFAULT='often' is not a rate limit" in server.output
        assert len(server.lines("guard.start_failed")) == 1


def test_a_server_on_trio_is_told_what_the_guard_needs(tmp_path: Path) -> None:
    with started(tmp_path, {}, "hypercorn", "-k", "trio", "tests.live.start_app:app") as server:
        server.ended()
        assert "the guard needs it. Accepted: a server or worker of asyncio or uvloop" in server.output


@pytest.mark.parametrize("server_name", ["uvicorn", "hypercorn"])
def test_a_good_start_serves(tmp_path: Path, server_name: str) -> None:
    with started(tmp_path, {}, server_name, "tests.live.start_app:app") as server:
        assert server.ask().json() == {"data": {"reached": True}}
        assert server.lines("guard.start_failed") == []


def test_without_a_lifespan_nothing_is_served_but_the_refusal(tmp_path: Path) -> None:
    with started(tmp_path, BAD, "uvicorn", "--lifespan", "off", "tests.live.start_app:app") as server:
        for method, path in [("GET", "/page"), ("POST", "/graphql"), ("GET", "/health"), ("GET", "/metrics")] * 2:
            answer = server.ask(method, path)
            assert answer.status_code == 503
            assert answer.json()["errors"][0]["extensions"]["code"] == "GUARD_MISCONFIGURED"
            assert "often" not in answer.text
        upgrade = {
            "connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
            "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        }  # fmt: skip
        assert server.ask("GET", "/ws", headers=upgrade).status_code in (403, 503)
        (detail,) = server.lines("guard.start_failed")
        assert "FRAISEQL_RATE_LIMIT_DEFAULT='often' is not a rate limit" in detail
        assert "Traceback" not in server.output


def test_a_peer_that_the_server_has_replaced_is_said_once(tmp_path: Path) -> None:
    """Behind a proxy of this machine uvicorn resolves the header: callers are told apart, and none is shared."""
    few = {"FRAISEQL_RATE_LIMIT_DEFAULT": "2/minute", "FRAISEQL_RATE_LIMIT_BURST": "0"}
    with started(tmp_path, few, "uvicorn", "tests.live.start_app:app") as server:
        statuses = [
            server.ask(headers={"x-forwarded-for": address}).status_code
            for address in ["10.0.0.7", "10.0.0.7", "10.0.0.7", "10.0.0.8"]
        ]
        assert statuses == [200, 200, 429, 200]
        found = server.waits_for("guard.configuration", "in the place of the peer")
        assert "--no-proxy-headers" in found
        assert "FRAISEQL_GUARD_TRUSTED_PROXIES" in found
        assert len([each for each in server.lines("guard.configuration") if "in the place of" in each]) == 1


def test_believing_everyone_is_said_at_the_start(tmp_path: Path) -> None:
    with started(tmp_path, {"FORWARDED_ALLOW_IPS": "*"}, "uvicorn", "tests.live.start_app:app") as server:
        assert "--no-proxy-headers" in server.waits_for("guard.configuration", "FORWARDED_ALLOW_IPS=*")


@pytest.mark.parametrize(
    ("server_name", "options", "settings", "size"),
    [
        ("uvicorn", [], {}, "262144"),
        ("uvicorn", ["--workers", "2"], {"FRAISEQL_GUARD_MAX_MESSAGE_BYTES": "1000"}, "2000"),
        ("uvicorn", ["--ws-max-size", "300000"], {}, None),
        ("uvicorn", ["--ws", "none"], {}, None),
        ("uvicorn", [], {"FRAISEQL_GUARD_SOCKETS": "refuse"}, None),
        ("uvicorn", [], {"FRAISEQL_GUARD_MAX_MESSAGE_BYTES": "10000000"}, None),
        ("hypercorn", [], {}, None),
    ],
)
def test_a_server_that_takes_much_larger_messages_than_the_guard_is_told_which_size_to_set(
    tmp_path: Path, server_name: str, options: list[str], settings: dict[str, str], size: str | None
) -> None:
    with started(tmp_path, settings, server_name, *options, "tests.live.start_app:app") as server:
        assert server.ask().status_code == 200
        server.waits_for("guard.configuration", "--ws-max-size" if size else "FRAISEQL_REDIS_URL")
        said = [each for each in server.lines("guard.configuration") if "--ws-max-size" in each]
        assert {each.rpartition("--ws-max-size ")[2] for each in said} == ({size} if size else set())
        assert len(said) <= (2 if "--workers" in options else 1)


@pytest.mark.fraiseql
@needs_fraiseql[1]
def test_a_fraiseql_app_ends_with_the_reason(tmp_path: Path) -> None:
    with started(tmp_path, BAD, "uvicorn", "tests.live.fraiseql_start_app:app") as server:
        assert server.ended() == UVICORN_FAILED
        assert "FRAISEQL_RATE_LIMIT_DEFAULT='often' is not a rate limit" in server.output
        assert "Traceback" not in server.output

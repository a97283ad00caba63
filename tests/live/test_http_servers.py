"""The table and the command lines of docs/servers.md, held against the servers."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from examples.process import PROJECT
from fraiseql_guard.testing import samples_of
from tests.support.http_servers import COLUMNS, SERVERS, documented, observed
from tests.support.pages import blocks
from tests.support.ports import free_port
from tests.support.socket_servers import APP, PARENT
from tests.support.waiting import until_now
from tools.docs import ROOT

# Servers and apps are installed for the Python that development uses.
pytestmark = pytest.mark.skipif(sys.version_info[:2] != (3, 13), reason="the servers are tested on CPython 3.13")

PAGE = "docs/servers.md"
LINES = {line.split()[0]: line for line in blocks(PAGE, "sh")}
(HYPERCORN,) = blocks(PAGE, "toml")
CLIENT = "203.0.113.7"
DEEP = "{a" * 12 + "}" * 12


@pytest.mark.parametrize("name", SERVERS)
async def test_the_documentation_says_what_this_server_does(name: str, tmp_path: Path) -> None:
    assert await observed(name, tmp_path) == documented(COLUMNS[name])


class Started:
    """A server that was started by the line of the page; only its address and the app are others."""

    def __init__(self, name: str, folder: Path) -> None:
        self.port = free_port()
        self.log = folder / "guard.log"
        self._folder = folder
        metrics = folder / "metrics"
        metrics.mkdir()
        (folder / "hypercorn.toml").write_text(self._here(HYPERCORN))
        program, *arguments = shlex.split(self._here(LINES[name]))
        files = {
            "gunicorn.conf.py": ROOT / "examples/deploy/gunicorn.conf.py",
            "hypercorn.toml": folder / "hypercorn.toml",
        }
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("FRAISEQL_")},
            "FRAISEQL_GUARD_LOG_FILE": str(self.log),
            "FRAISEQL_GUARD_TRUSTED_PROXIES": "127.0.0.1/32",
            "PROMETHEUS_MULTIPROC_DIR": str(metrics),
            "GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{self.port} --no-control-socket",
            "WEB_CONCURRENCY": "2",
            APP: "tests.live.http_app:guarded_app",
            PARENT: str(os.getpid()),
            "PYTHONPATH": str(PROJECT),
        }
        with (folder / "output.txt").open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", program, *(str(files.get(each, each)) for each in arguments)],
                cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip

    def _here(self, text: str) -> str:
        for old, new in {
            "0.0.0.0": "127.0.0.1",
            "8000": str(self.port),
            "main:app": "tests.support.socket_target:app",
        }.items():
            text = text.replace(old, new)
        return text

    @property
    def output(self) -> str:
        return (self._folder / "output.txt").read_text(errors="replace")

    def ask(self, query: str, **headers: str) -> httpx.Response:
        url = f"http://127.0.0.1:{self.port}/graphql"
        return httpx.post(url, json={"query": query}, headers=headers, timeout=30, trust_env=False)

    def answers(self) -> bool:
        assert self.process.poll() is None, self.output
        with contextlib.suppress(httpx.TransportError):
            return self.ask("{ me }").is_success
        return False

    def lines(self, event: str) -> list[dict[str, object]]:
        text = self.log.read_text() if self.log.exists() else ""
        told = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [line["context"] for line in told if line["event"] == event]

    def counted(self) -> float:
        """All requests of all workers that were refused for their depth."""
        page = httpx.get(f"http://127.0.0.1:{self.port}/metrics", timeout=30, trust_env=False).raise_for_status().text
        refused = samples_of(page)["fraiseql_guard_refusals_total"]
        return sum(sample.value for sample in refused if sample.labels["code"] == "QUERY_TOO_DEEP")


@pytest.fixture(params=LINES)
def started(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Started]:
    server = Started(request.param, tmp_path)
    try:
        until_now(server.answers)
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.process.pid, signal.SIGKILL)  # its own group, which we have started
        server.process.wait()


def test_the_line_for_a_server_serves_counts_and_ends_as_the_page_says(started: Started) -> None:
    # Whatever worker answers, one page has the numbers of all, and the guard finds the client itself.
    for _ in range(8):
        refused = started.ask(DEEP, **{"x-forwarded-for": f"198.51.100.99, {CLIENT}", "connection": "close"})
        assert (refused.status_code, refused.json()["errors"][0]["extensions"]["code"]) == (400, "QUERY_TOO_DEEP")
    until_now(lambda: started.counted() == 8)
    until_now(lambda: CLIENT in {line["ip_address"] for line in started.lines("http.request")})
    assert "198.51.100.99" not in started.log.read_text()
    details = [str(line.get("detail")) for line in started.lines("guard.configuration")]
    assert not [each for each in details if "proxy-headers" in each or "MULTIPROC" in each or "ws-max-size" in each]
    started.process.terminate()
    assert started.process.wait(30) in {0, -signal.SIGTERM}


def test_the_line_behind_a_proxy_is_the_same_on_this_machine_alone() -> None:
    behind = [line for line in blocks("docs/proxies.md", "sh") if line.startswith("uvicorn ")]
    assert behind == [LINES["uvicorn"].replace("0.0.0.0", "127.0.0.1")]

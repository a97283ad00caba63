"""Example servers say where they listen, end when they are told to, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from examples.process import PROJECT
from examples.serving import LISTENING
from tests.support.processes import FRAISEQL, STARLETTE, Server, needs_fraiseql

STUBBORN_PARENT = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-m", "examples.starlette_blog.serve", "--bare", "--port", "0",
                          "--end-with", str(os.getpid())])
print(child.pid, flush=True)
sys.stdin.read()
os._exit(0)
"""


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def has_ended(pid: int) -> bool:
    """A process that was not waited for yet has ended as well."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def database_folder(server: Server) -> Path:
    url = server.database_url
    assert url is not None
    return Path(parse_qs(urlsplit(url).query)["host"][0])


@pytest.mark.parametrize("loop", ["asyncio", "auto"])
def test_a_server_listens_on_loopback_and_answers(tmp_path: Path, loop: str) -> None:
    with Server(STARLETTE, tmp_path, bare=True, loop=loop) as server:
        assert server.url.startswith("http://127.0.0.1:")
        assert server.post("{ users(limit: 1) { id } }").json() == {"data": {"users": [{"id": "user-1"}]}}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_server_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    server = Server(STARLETTE, tmp_path, bare=True)
    server.start()
    os.kill(server.pid, number)
    assert server.wait() == 0
    assert server.stderr_file.read_text() == ""
    with pytest.raises(httpx.ConnectError):
        server.post("{ users { id } }")


def test_a_server_ends_with_its_parent() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", STUBBORN_PARENT],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    child = int(parent.stdout.readline())
    assert parent.stdout.readline().startswith(LISTENING)
    parent.kill()
    parent.communicate()
    wait_until(lambda: has_ended(child))


def test_a_bad_variable_is_one_message(tmp_path: Path) -> None:
    server = Server(STARLETTE, tmp_path, {"FRAISEQL_RATE_LIMIT_DEFAULT": "often"})
    with pytest.raises(RuntimeError, match="FRAISEQL_RATE_LIMIT_DEFAULT"):
        server.start()
    assert "Traceback" not in server.stderr_file.read_text()


class TestDatabase:
    """The FraiseQL example's PostgreSQL."""

    pytestmark = needs_fraiseql

    def test_ends_with_its_server(self, tmp_path: Path) -> None:
        with Server(FRAISEQL, tmp_path, bare=True) as server:
            folder = database_folder(server)
            assert folder.is_dir()
        assert not folder.parent.exists()

    def test_ends_when_its_server_is_killed(self, tmp_path: Path) -> None:
        server = Server(FRAISEQL, tmp_path, bare=True)
        server.start()
        folder = database_folder(server)
        postmaster = int((folder / "postmaster.pid").read_text().splitlines()[0])
        os.kill(server.pid, signal.SIGKILL)
        assert server.wait() == -signal.SIGKILL
        wait_until(lambda: has_ended(postmaster) and not folder.parent.exists())

    def test_may_be_shared_by_two_servers(self, tmp_path: Path) -> None:
        (tmp_path / "second").mkdir()
        with Server(FRAISEQL, tmp_path, bare=True) as first:
            url = first.database_url
            with Server(FRAISEQL, tmp_path / "second", {"FRAISEQL_DATABASE_URL": url}, bare=True) as second:
                assert second.post("{ users(limit: 1) { name } }").json()["data"]["users"][0]["name"] == "User 1"
            assert first.post("{ users(limit: 1) { name } }").status_code == 200

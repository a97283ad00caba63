"""Four workers behind one address: whichever is scraped, the pool gauges are those of all that live."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from examples.process import PROJECT, Samples, parse_samples, sum_of
from fraiseql_guard.testing import make_token
from tests.support.fraiseql_host import AT_WORK, SECRET, UNLIMITED, within
from tests.support.ports import free_port
from tests.support.processes import needs_fraiseql

pytestmark = needs_fraiseql

WORKERS = 4
POOL_MAX = 30  # FraiseQL's default: 20 and 10 on top


class Fleet:
    """The example under uvicorn's own process manager, which replaces a worker that dies."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self._port = free_port()
        (folder / "metrics").mkdir()
        environment = {
            **os.environ,
            **UNLIMITED,
            "FRAISEQL_DATABASE_URL": database_url,
            "FRAISEQL_QUERY_TIMEOUT": "20",
            "FRAISEQL_GUARD_LOG_FILE": str(folder / "app.log"),
            "PROMETHEUS_MULTIPROC_DIR": str(folder / "metrics"),
        }
        command = [sys.executable, "-m", "uvicorn", "examples.fraiseql_blog.app:app", "--port", str(self._port),
                   "--workers", str(WORKERS), "--log-level", "warning"]  # fmt: skip
        with (folder / "server.txt").open("wb") as output:
            self._process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=output, stderr=output)

    def samples(self) -> Samples:
        try:
            answer = httpx.get(f"http://127.0.0.1:{self._port}/metrics", timeout=10, trust_env=False)
        except httpx.TransportError:
            return {}
        return parse_samples(answer.text)

    def connections(self, name: str) -> float:
        return sum_of(self.samples(), f"fraiseql_db_connections_{name}")

    def workers(self) -> set[int]:
        labels = (dict(labels) for name, labels in self.samples() if name == "process_resident_memory_bytes")
        return {int(found["pid"]) for found in labels}

    def work(self, seconds: int, user: str) -> threading.Thread:
        def ask() -> None:
            with suppress(httpx.TransportError):  # of a worker that is killed
                httpx.post(
                    f"http://127.0.0.1:{self._port}/graphql",
                    json={"query": f"{{ slowPosts(limit: {seconds}) {{ title }} }}"},
                    headers={"Authorization": f"Bearer {make_token(SECRET, sub=user)}"},
                    timeout=60,
                    trust_env=False,
                )

        thread = threading.Thread(target=ask)
        thread.start()
        return thread

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(30)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[tuple[Fleet, Any]]:
    import psycopg  # comes with FraiseQL

    from examples.fraiseql_blog.database import running_database

    with running_database() as url, psycopg.connect(url, autocommit=True) as database:
        made = Fleet(tmp_path, url)
        try:
            assert within(60, lambda: made.connections("total") == WORKERS * POOL_MAX)
            yield made, database
        finally:
            made.end()


def test_the_pool_gauges_are_those_of_all_workers_also_when_one_is_killed_and_one_is_added(
    fleet: tuple[Fleet, Any],
) -> None:
    made, database = fleet

    def at_work() -> int:
        return database.execute(AT_WORK).fetchone()[0]

    threads = [made.work(12, f"user-{number}") for number in range(8)]
    assert within(10, lambda: at_work() == 8)
    assert within(4, lambda: made.connections("active") == 8)
    before = made.workers()
    assert len(before) == WORKERS
    killed = next(iter(before))
    os.kill(killed, signal.SIGKILL)
    assert within(60, lambda: killed not in made.workers() and len(made.workers()) == WORKERS)
    assert within(60, lambda: made.connections("total") == WORKERS * POOL_MAX)
    for thread in threads:
        thread.join()
    assert within(60, lambda: made.connections("active") == at_work() == 0)

"""The served FraiseQL example with its database and a user: what a client, PostgreSQL and an operator see of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx

from fraiseql_guard.testing import make_token
from tests.support.processes import Server

SECRET = "a-secret-for-the-live-tests-of-32-bytes"
AT_WORK = """
SELECT count(*) FROM pg_stat_activity
WHERE state = 'active' AND pid <> pg_backend_pid() AND query ~ 'v_slow_post|pg_sleep|create_post'
"""
BACKENDS = """
SELECT pid FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name <> 'notifications'
"""
SLOW_BY_FIND = "{ slowPosts(limit: 30) { title } }"
SLOW_BY_RUN = "{ report(seconds: 20) { users } }"
TIMEOUT = "FRAISEQL_QUERY_TIMEOUT"
UNLIMITED = {"FRAISEQL_JWT_SECRET": SECRET, "FRAISEQL_RATE_LIMIT_AUTHENTICATED": "100000/minute"}


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


class Host:
    """The served example, its database, and a user with a token."""

    def __init__(self, server: Server) -> None:
        import psycopg  # comes with FraiseQL, on the Python that FraiseQL is published for

        self.server = server
        self.token = make_token(SECRET, sub="ada")
        self._database = psycopg.connect(server.database_url or "", autocommit=True)

    def ask(self, query: str, *, user: str = "ada", **more: Any) -> httpx.Response:
        token = self.token if user == "ada" else make_token(SECRET, sub=user)
        return self.server.post(query, token=token, **more)

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The contexts of an event's lines so far."""
        return [line["context"] for line in self.server.log_lines() if line["event"] == event]

    def at_work(self) -> int:
        return self._database.execute(AT_WORK).fetchone()[0]

    def backends(self) -> set[int]:
        """The connections of the app's pool."""
        return {pid for (pid,) in self._database.execute(BACKENDS).fetchall()}

    def close(self) -> None:
        self._database.close()

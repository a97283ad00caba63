"""The real FraiseQL app, guarded, inside a main app with a guard of its own: on a real server and a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from examples.process import ExampleServer, sum_of
from fraiseql_guard.testing import make_token
from tests.support.fraiseql_host import SECRET, SLOW_BY_FIND, SLOW_BY_RUN, within
from tests.support.processes import needs_fraiseql

pytestmark = needs_fraiseql

DEEP = "{ users " + "{ posts { author " * 8 + "{ name }" + " } }" * 8 + " }"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleServer]:
    folder = tmp_path_factory.mktemp("nested")
    with ExampleServer("tests.support.nested_fraiseql", folder, {"FRAISEQL_ENVIRONMENT": "production"}) as running:
        yield running


def ask(server: ExampleServer, query: str, *, user: str | None = "ada", path: str = "/api/graphql") -> httpx.Response:
    headers = {} if user is None else {"Authorization": f"Bearer {make_token(SECRET, sub=user)}"}
    return httpx.post(f"{server.url}{path}", json={"query": query}, headers=headers, timeout=30, trust_env=False)


def code_of(answer: httpx.Response) -> Any:
    return answer.json()["errors"][0]["extensions"]["code"]


def test_the_inner_guard_decides_and_fraiseql_knows_its_user(server: ExampleServer) -> None:
    answer = ask(server, "{ viewer { userId } }")
    assert answer.json() == {"data": {"viewer": {"userId": "ada"}}}
    assert len(answer.headers.get_list("x-request-id")) == len(answer.headers.get_list("ratelimit-policy")) == 1
    refused = ask(server, "{ viewer { userId } }", user=None)
    assert (refused.status_code, code_of(refused)) == (401, "UNAUTHENTICATED")
    assert refused.json()["errors"][0]["extensions"]["requestId"] == refused.headers["x-request-id"]
    assert code_of(ask(server, DEEP)) == "QUERY_TOO_DEEP"


def test_a_limit_of_one_mount_holds_below_the_guard_of_all(server: ExampleServer) -> None:
    statuses = [ask(server, "{ viewer { userId } }", path="/tight/graphql").status_code for _ in range(8)]
    assert statuses == [200] * 5 + [429] * 3
    assert ask(server, "{ viewer { userId } }").status_code == 200


@pytest.mark.parametrize(("path", "seconds"), [("/api/graphql", 4.0), ("/hurried/graphql", 1.0)])
@pytest.mark.parametrize("query", [SLOW_BY_FIND, SLOW_BY_RUN])
def test_the_tighter_deadline_stops_postgresql(server: ExampleServer, path: str, seconds: float, query: str) -> None:
    import psycopg

    answer = ask(server, query, path=path)
    assert (answer.status_code, code_of(answer)) == (504, "QUERY_TIMEOUT")
    assert answer.json()["errors"][0]["extensions"]["limit"] == seconds
    working = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"
    with psycopg.connect(server.database_url or "", autocommit=True) as database:
        assert within(5, lambda: database.execute(working).fetchone() == (0,))


def timeouts(server: ExampleServer) -> list[dict[str, Any]]:
    return [line["context"] for line in server.log_lines() if line["event"] == "database.query_timeout"]


def test_what_the_database_worked_on_is_told_by_the_guard_whose_time_was_up(server: ExampleServer) -> None:
    before = len(timeouts(server))
    ask(server, SLOW_BY_FIND, path="/hurried/graphql")
    assert within(5, lambda: len(timeouts(server)) > before)
    told = [(line["table_name"], line["timeout_ms"]) for line in timeouts(server)[before:]]
    assert told == [("v_slow_post", 1000)]


def test_the_outer_guard_s_metrics_are_served_and_the_inner_one_s_below_its_mount(server: ExampleServer) -> None:
    ask(server, "{ viewer { userId } }", user=None)
    refusals = "fraiseql_guard_refusals_total"
    assert sum_of(server.samples(), refusals, code="UNAUTHENTICATED") == 0
    assert sum_of(server.samples(), "fraiseql_http_requests_total", status="401") >= 1


def test_one_line_names_both_of_each_pair(server: ExampleServer) -> None:
    ask(server, "{ viewer { userId } }", path="/hurried/graphql")
    expected = sorted(
        [
            "Guard and Guard",
            "Guard and QueryTimeoutMiddleware",
            "Guard and RateLimitMiddleware",  # the one of /tight
            "Guard and RateLimitMiddleware",  # the one inside of FraiseQL, in its own guard
            "QueryTimeoutMiddleware and Guard",
            "RateLimitMiddleware and Guard",
        ]
    )
    assert within(5, lambda: sorted(pairs(server)) == expected)


def pairs(server: ExampleServer) -> list[str]:
    details = [line["context"]["detail"] for line in server.log_lines() if line["event"] == "guard.configuration"]
    return [detail.split(" guard the same app")[0] for detail in details if "guard the same app" in detail]


def test_guards_in_mounts_write_their_last_lines_at_the_end(tmp_path: Path) -> None:
    server = ExampleServer("tests.support.nested_fraiseql", tmp_path, {})
    with server:
        ask(server, "{ viewer { userId } }")
    answered = [line["context"]["endpoint"] for line in server.log_lines() if line["event"] == "http.request"]
    assert "/api/graphql" in answered
    assert "Traceback" not in server.stderr_file.read_text()

"""The database runbook on the real host: its metrics and events have right values, and PostgreSQL stops by itself."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from examples.process import sum_of
from fraiseql_guard.testing import make_token
from tests.support.fraiseql_host import SECRET, SLOW_BY_FIND, SLOW_BY_RUN, TIMEOUT, UNLIMITED, Host, within
from tests.support.processes import FRAISEQL, Server, needs_fraiseql

pytestmark = needs_fraiseql

SLOW_FROM = "FRAISEQL_GUARD_SLOW_QUERY_SECONDS"
BY_BOTH = pytest.mark.parametrize(
    ("query", "table"), [(f"query Slow {SLOW_BY_FIND}", "v_slow_post"), (f"query Slow {SLOW_BY_RUN}", "tb_user")]
)
CHEAP = "query Cheap { users(limit: 1) { id } }"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    environment = {**UNLIMITED, TIMEOUT: "4", SLOW_FROM: "0.5"}
    with Server(FRAISEQL, tmp_path_factory.mktemp("host"), environment) as server:
        made = Host(server)
        yield made
        made.close()


def in_background(host: Host, query: str, users: list[str], **more: object) -> list[threading.Thread]:
    threads = [threading.Thread(target=host.ask, args=(query,), kwargs={"user": user, **more}) for user in users]
    for thread in threads:
        thread.start()
    return threads


@BY_BOTH
def test_a_query_stopped_at_its_deadline_is_told_once_with_user_operation_and_table(
    host: Host, query: str, table: str
) -> None:
    user = f"late-{table}"
    assert host.ask(query, user=user).status_code == 504
    assert within(30, lambda: any(line["user_id"] == user for line in host.lines("database.query_timeout")))
    (line,) = [line for line in host.lines("database.query_timeout") if line["user_id"] == user]
    assert (line["query_type"], line["table_name"], line["timeout_ms"]) == ("select", table, 4000)
    assert (line["operation"], line["query_duration_ms"] >= 4000) == ("Slow", True)
    samples = host.server.samples()
    assert sum_of(samples, "fraiseql_errors_total", error_code="QUERY_TIMEOUT", user_id=user) == 1
    assert sum_of(samples, "fraiseql_errors_total", user_id=user) == 1
    assert sum_of(samples, "fraiseql_guard_abandoned_total") == 0


@pytest.mark.parametrize(
    ("query", "table"),
    [("{ slowPosts(limit: 1) { title } }", "v_slow_post"), ("{ report(seconds: 1) { users } }", "tb_user")],
)
def test_a_slow_query_is_told_with_its_duration_and_table(host: Host, query: str, table: str) -> None:
    user = f"slow-{table}"
    assert host.ask(query, user=user).status_code == 200
    assert within(30, lambda: any(line["user_id"] == user for line in host.lines("database.slow_query")))
    (line,) = [line for line in host.lines("database.slow_query") if line["user_id"] == user]
    assert (line["query_type"], line["table_name"], line["threshold_ms"]) == ("select", table, 500)
    assert 1000 <= line["query_duration_ms"] < 4000


def test_statements_are_counted_by_type_and_timed_by_table(host: Host) -> None:
    def counted(**labels: str) -> float:
        return sum_of(host.server.samples(), "fraiseql_db_query_duration_seconds_count", **labels)

    reads, calls = (
        counted(query_type="select", table_name="v_user"),
        counted(query_type="call", table_name="create_post"),
    )
    everything = sum_of(host.server.samples(), "fraiseql_db_queries_total")
    author = host.ask("{ users(limit: 1) { id } }").json()["data"]["users"][0]["id"]
    create = 'mutation($author: UUID!) { createPost(input: {authorId: $author, title: "T", body: "b"}) { __typename } }'
    assert host.ask(create, variables={"author": author}).status_code == 200
    assert counted(query_type="select", table_name="v_user") == reads + 1
    assert counted(query_type="call", table_name="create_post") == calls + 1
    assert sum_of(host.server.samples(), "fraiseql_db_queries_total") == everything + 2


def test_the_pool_gauges_follow_the_pool(host: Host) -> None:
    def gauges() -> list[float]:
        samples = host.server.samples()
        return [sum_of(samples, f"fraiseql_db_connections_{name}") for name in ("active", "idle", "total")]

    assert within(30, lambda: gauges() == [0, len(host.backends()), 30])
    threads = in_background(host, SLOW_BY_FIND, ["one", "two", "three"])
    assert within(3.5, lambda: gauges() == [3, len(host.backends()) - 3, 30])
    for thread in threads:
        thread.join()
    assert within(30, lambda: gauges() == [0, len(host.backends()), 30])


@BY_BOTH
def test_postgresql_stops_by_itself_where_the_guard_cannot(host: Host, query: str, table: str) -> None:
    (thread,) = in_background(host, query, [f"frozen-{table}"])
    assert within(5, lambda: host.at_work() == 1)
    os.kill(host.server.pid, signal.SIGSTOP)  # there is no process to cancel it
    try:
        assert within(10, lambda: host.at_work() == 0)  # the query itself would take 20 or 30 s
    finally:
        os.kill(host.server.pid, signal.SIGCONT)
        thread.join(20)
    assert host.ask(CHEAP).status_code == 200


def test_the_user_is_handed_to_fraiseql(host: Host) -> None:
    token = make_token(SECRET, sub="grace", roles=["editor"], permissions=["posts:write"], scope="posts:read")
    answer = host.server.post("{ viewer { userId roles permissions } }", token=token).json()["data"]["viewer"]
    assert (answer["userId"], answer["roles"]) == ("grace", ["editor"])
    assert sorted(answer["permissions"]) == ["posts:read", "posts:write"]


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    environment = {
        **UNLIMITED,
        TIMEOUT: "10",
        "FRAISEQL_GUARD_AUTH_REQUIRED": "false",
        "FRAISEQL_GUARD_TRUSTED_PROXIES": "127.0.0.1",
    }
    with Server(FRAISEQL, tmp_path_factory.mktemp("crowded"), environment) as server:
        made = Host(server)
        assert made.ask(CHEAP).status_code == 200
        yield made
        made.close()


ONE_CALLER = [{"Authorization": f"Bearer {make_token(SECRET, sub='greedy')}"}] * 34
USERS = [{"Authorization": f"Bearer {make_token(SECRET, sub=f'user-{number}')}"} for number in range(34)]
ADDRESSES = [{"X-Forwarded-For": f"198.51.100.{number}"} for number in range(34)]


@pytest.mark.parametrize(
    ("callers", "at_work"),
    [
        pytest.param(ONE_CALLER, 10, id="one caller"),
        pytest.param(ADDRESSES, 15, id="anonymous callers"),  # together half of the pool
        pytest.param(USERS, 26, id="users"),  # two more had their second, two connections are never taken
    ],
)
def test_34_slow_queries_at_once_do_not_starve_anothers_cheap_one(
    crowded: Host, callers: list[dict[str, str]], at_work: int
) -> None:
    url, slow = f"{crowded.server.url}/graphql", {"query": SLOW_BY_FIND}
    with httpx.Client(trust_env=False, timeout=30) as client:
        threads = [
            threading.Thread(target=client.post, args=(url,), kwargs={"json": slow, "headers": h}) for h in callers
        ]
        for thread in threads:
            thread.start()
        time.sleep(1.5)  # a caller that was admitted for a second has had it
        assert within(6, lambda: crowded.at_work() == at_work)
        answers = []
        while sum(thread.is_alive() for thread in threads) >= at_work:
            answers.append(crowded.ask(CHEAP, user="patient", timeout=10.0))  # without the guard it waits for 20 s
        for thread in threads:
            thread.join()
    assert {answer.status_code for answer in answers} == {200}
